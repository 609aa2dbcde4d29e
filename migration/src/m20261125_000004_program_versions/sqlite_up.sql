-- Which programs may use the database: one row. A migration that programs of before can't work with sets it to its own
-- name when it goes up, and back when it goes down.
CREATE TABLE program_versions (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    -- A migration: the oldest program that is allowed is the first one that had it.
    oldest_allowed TEXT NOT NULL
) STRICT;

INSERT INTO program_versions (id, oldest_allowed) VALUES (1, 'm20261125_000004_program_versions');
