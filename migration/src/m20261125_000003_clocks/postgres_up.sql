-- What refreshes know of time: one row, written by each refresh before it looks at the marks.
CREATE TABLE refresh_clock (
    id             smallint PRIMARY KEY CHECK (id = 1),
    -- What the refresh will promise as its as_of. Only grows: whoever commits later records a later time.
    announced_at   timestamptz NOT NULL,
    -- What the database's clock showed; null before the first refresh.
    read_at        timestamptz,
    -- The time that has passed by the Wolf's monotonic clock. Idempotency keys age by it.
    elapsed_ms     bigint NOT NULL,
    -- `elapsed_ms` when the database's clock was last found far ahead of what had passed; null when it never was.
    jumped_at_ms   bigint
);

INSERT INTO refresh_clock (id, announced_at, elapsed_ms)
SELECT 1, coalesce(max(as_of), 'epoch'), 0 FROM report_refreshes;

-- `looked_at` is the time of the database's clock that `as_of` stands for: that is later once a clock went back.
-- `scheduled_at` is when `next_refresh_at` and `overdue_at` were said. Null in the rows of older programs.
ALTER TABLE report_refreshes
    ADD COLUMN looked_at    timestamptz,
    ADD COLUMN scheduled_at timestamptz,
    ADD COLUMN duration_ms  bigint,
    ADD COLUMN elapsed_ms   bigint;

-- Which announcement is old enough for the keys before it to be forgotten.
CREATE INDEX report_refreshes_by_elapsed ON report_refreshes (elapsed_ms);

-- The `elapsed_ms` of `refresh_clock` when the key was claimed.
ALTER TABLE idempotency_keys ADD COLUMN claimed_ms bigint NOT NULL DEFAULT 0;
DROP INDEX idempotency_keys_to_prune;
CREATE INDEX idempotency_keys_to_prune ON idempotency_keys (claimed_ms) WHERE NOT kept;
