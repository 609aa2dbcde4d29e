-- Inserts the keys that are new, and returns their ids. A key is not new either if its client has claimed it with a former id for
-- the same increments.
-- $1 text[], $2 text[], $3 text[], $4 bytea[] and $5 boolean[]: the keys, their clients' present and former ids, the fingerprints,
-- and whether the key is kept. $6: when they are recorded.
INSERT INTO idempotency_keys (key, client, fingerprint, recorded_at, kept, claimed_ms)
SELECT key, client, fingerprint, $6, kept, (SELECT elapsed_ms FROM refresh_clock)
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::boolean[]) AS sent (key, client, former, fingerprint, kept)
WHERE NOT EXISTS (
    SELECT FROM idempotency_keys AS earlier
    WHERE earlier.key = sent.key AND earlier.client IN ('', sent.former) AND earlier.client <> sent.client
        AND earlier.fingerprint = sent.fingerprint
)
ON CONFLICT (key, client) DO NOTHING
RETURNING key, client
