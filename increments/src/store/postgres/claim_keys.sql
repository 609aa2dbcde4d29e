-- Inserts the keys that are new, and returns their ids. A key is not new either if its client has claimed it with a former id for
-- the same increments.
-- $1 text[], $2 text[], $3 text[] and $4 bytea[]: the keys, their clients' present and former ids, and the fingerprints.
-- $5: when they are recorded. $6: whether the nodes of a Citus cluster count the increments, so that the claims are numbered.
INSERT INTO idempotency_keys (key, client, fingerprint, recorded_at, kept, claimed_ms, claim)
SELECT
    key, client, fingerprint, $5, false, (SELECT elapsed_ms FROM refresh_clock), CASE WHEN $6 THEN nextval('claims') END
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS sent (key, client, former, fingerprint)
WHERE NOT EXISTS (
    SELECT FROM idempotency_keys AS earlier
    WHERE earlier.key = sent.key AND earlier.client IN ('', sent.former) AND earlier.client <> sent.client
        AND earlier.fingerprint = sent.fingerprint
)
ON CONFLICT (key, client) DO NOTHING
RETURNING key, client
