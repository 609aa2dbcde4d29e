-- Inserts the keys that are new, and returns their ids. A key is not new either if its client has claimed it with a former id for
-- the same increments.
-- ?1: JSON, [[key, client's id, client's former id, fingerprint in hexadecimal], ...]. ?2: when they are recorded.
WITH
-- The keys of ?1, one row each.
sent AS (
    SELECT
        value->>0 AS key, value->>1 AS client, value->>2 AS former, unhex(value->>3) AS fingerprint
    FROM json_each(?1)
)
INSERT INTO idempotency_keys (key, client, fingerprint, recorded_at, kept, claimed_ms)
SELECT key, client, fingerprint, ?2, 0, (SELECT elapsed_ms FROM refresh_clock) FROM sent
WHERE NOT EXISTS (
    SELECT 1 FROM idempotency_keys AS earlier
    WHERE earlier.key = sent.key AND earlier.client IN ('', sent.former) AND earlier.client <> sent.client
        AND earlier.fingerprint = sent.fingerprint
)
ON CONFLICT (key, client) DO NOTHING
RETURNING key, client
