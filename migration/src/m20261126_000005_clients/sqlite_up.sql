-- `client`: whose key it is: a client's name, `sha256:` and the beginning of the hash of a token without a name, or
-- `(anonymous)`. Empty for keys of imports, and for those that any client had claimed before this migration.
CREATE TABLE idempotency_keys_next (
    key         TEXT NOT NULL,
    client      TEXT NOT NULL DEFAULT '',
    fingerprint BLOB NOT NULL,
    recorded_at TEXT NOT NULL,
    kept        INTEGER NOT NULL CHECK (kept IN (0, 1)),
    claimed_ms  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (key, client)
) STRICT, WITHOUT ROWID;

INSERT INTO idempotency_keys_next (key, fingerprint, recorded_at, kept, claimed_ms)
SELECT key, fingerprint, recorded_at, kept, claimed_ms FROM idempotency_keys ORDER BY key;

DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_next RENAME TO idempotency_keys;

CREATE INDEX idempotency_keys_to_prune ON idempotency_keys (claimed_ms) WHERE NOT kept;

UPDATE program_versions SET oldest_allowed = 'm20261126_000005_clients';
