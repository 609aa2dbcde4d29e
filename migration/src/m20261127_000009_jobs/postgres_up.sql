-- Programs from before would refresh the report and promise what jobs have not done.
UPDATE program_versions SET oldest_allowed = 'm20261127_000009_jobs';

-- Changes of what was counted, done by the Wolf in the order of their ids.
CREATE TABLE jobs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('rename_page', 'remove_views', 'correct_views', 'undo_import')),
    -- What is to be done, as JSON. Null once the job has ended: then a name that was removed is nowhere.
    task         text,
    -- Why, in the words of who asked for it.
    reason       text,
    -- The SHA-256 of the idempotency key and its client.
    key_digest   bytea UNIQUE,
    status       text NOT NULL CHECK (status IN ('queued', 'running', 'done', 'refused')),
    requested_at timestamptz NOT NULL,
    finished_at  timestamptz,
    -- How many pages the job has changed so far, and by how many views.
    pages        bigint NOT NULL,
    views        bigint NOT NULL,
    -- Why the job was refused.
    error        text
);
CREATE INDEX jobs_to_do ON jobs (id) WHERE finished_at IS NULL;

-- Pages whose views count for another page.
CREATE TABLE page_aliases (
    name   text COLLATE "C" PRIMARY KEY,
    target text COLLATE "C" NOT NULL
);

-- When what the import counted was taken back.
ALTER TABLE imports ADD COLUMN undone_at timestamptz;
