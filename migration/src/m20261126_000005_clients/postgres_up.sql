-- Whose key it is: a client's name, `sha256:` and the beginning of the hash of a token without a name, or `(anonymous)`.
-- Empty for keys of imports, and for those that any client had claimed before this migration.
ALTER TABLE idempotency_keys ADD COLUMN client text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys ADD PRIMARY KEY (key, client);

UPDATE program_versions SET oldest_allowed = 'm20261126_000005_clients';
