UPDATE program_versions SET oldest_allowed = 'm20261125_000004_program_versions';

-- Of equal keys of several clients one remains.
DELETE FROM idempotency_keys AS key USING idempotency_keys AS other WHERE other.key = key.key AND other.client < key.client;
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys DROP COLUMN client;
ALTER TABLE idempotency_keys ADD PRIMARY KEY (key);
