UPDATE program_versions SET oldest_allowed = 'm20261125_000004_program_versions';

CREATE TABLE idempotency_keys_next (
    key         TEXT NOT NULL PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    recorded_at TEXT NOT NULL,
    kept        INTEGER NOT NULL CHECK (kept IN (0, 1)),
    claimed_ms  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Of equal keys of several clients one remains.
INSERT INTO idempotency_keys_next (key, fingerprint, recorded_at, kept, claimed_ms)
SELECT key, fingerprint, recorded_at, kept, claimed_ms FROM idempotency_keys AS key
WHERE NOT EXISTS (
    SELECT 1 FROM idempotency_keys AS other WHERE other.key = key.key AND other.client < key.client
)
ORDER BY key;

DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_next RENAME TO idempotency_keys;

CREATE INDEX idempotency_keys_to_prune ON idempotency_keys (claimed_ms) WHERE NOT kept;
