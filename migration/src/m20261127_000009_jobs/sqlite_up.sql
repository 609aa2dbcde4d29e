-- Programs from before would refresh the report and promise what jobs have not done.
UPDATE program_versions SET oldest_allowed = 'm20261127_000009_jobs';

-- Changes of what was counted, done by the Wolf in the order of their ids.
CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL CHECK (kind IN ('rename_page', 'remove_views', 'correct_views', 'undo_import')),
    -- What is to be done, as JSON. Null once the job has ended: then a name that was removed is nowhere.
    task         TEXT,
    -- Why, in the words of who asked for it.
    reason       TEXT,
    -- The SHA-256 of the idempotency key and its client.
    key_digest   BLOB UNIQUE,
    status       TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'refused')),
    requested_at TEXT NOT NULL,
    finished_at  TEXT,
    -- How many pages the job has changed so far, and by how many views.
    pages        INTEGER NOT NULL,
    views        INTEGER NOT NULL,
    -- Why the job was refused.
    error        TEXT
) STRICT;
CREATE INDEX jobs_to_do ON jobs (id) WHERE finished_at IS NULL;

-- Pages whose views count for another page.
CREATE TABLE page_aliases (
    name   TEXT PRIMARY KEY,
    target TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- When what the import counted was taken back.
ALTER TABLE imports ADD COLUMN undone_at TEXT;
