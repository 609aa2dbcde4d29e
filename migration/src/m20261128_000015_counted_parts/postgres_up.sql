-- On a Citus cluster the nodes count a request with a key each for itself, a part for each shard. The number of the request's
-- claim of its key tells its parts from those of a later request with the same key. Null for a key that was counted as a whole.
CREATE SEQUENCE claims;
ALTER TABLE idempotency_keys ADD COLUMN claim bigint;
CREATE INDEX idempotency_keys_in_parts ON idempotency_keys (claim) WHERE claim IS NOT NULL;

-- The parts that were counted. A cluster distributes them beside the counts.
CREATE TABLE counted_parts (
    claim bigint NOT NULL,
    -- The first of the names of the part's pages.
    name  text COLLATE "C" NOT NULL,
    PRIMARY KEY (claim, name)
);
