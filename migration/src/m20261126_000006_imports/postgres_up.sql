-- The runs of the import that counted something, or looked at lines that none had seen, one row for each log of a run.
CREATE TABLE imports (
    -- Random, chosen by the run, so that a repeated transaction finds the rows of the first one.
    id         bigint PRIMARY KEY,
    began_at   timestamptz NOT NULL,
    -- When the last lines were recorded.
    last_at    timestamptz NOT NULL,
    -- The name of the file, as it was given.
    source     text NOT NULL,
    -- The rules by which lines counted, as options of the command line.
    rules      text NOT NULL,
    -- The version of the program.
    program    text NOT NULL,
    -- Lines by their results; a line that counted is a page view.
    lines      bigint NOT NULL,
    counted    bigint NOT NULL,
    left_out   bigint NOT NULL,
    unreadable bigint NOT NULL
);

-- The logs that were read, as a tree of chunks of consecutive lines: a log is the way from a first chunk to a last one. Logs that
-- are equal up to the end of a chunk share the chunks up to there.
CREATE TABLE import_chunks (
    -- Random, chosen by the run.
    id           bigint PRIMARY KEY,
    -- The chunk before; 0 for the first chunk of a log.
    parent       bigint NOT NULL,
    -- The beginning of the SHA-256 of the chunk's first line.
    first_line   bytea NOT NULL,
    -- The number, from 0, among chunks with the same parent and first line.
    ordinal      integer NOT NULL,
    -- The decompressed length and the number of lines of the chunk.
    bytes        bigint NOT NULL,
    lines        bigint NOT NULL,
    -- The SHA-256 of the decompressed log up to the end of the chunk.
    digest       bytea NOT NULL,
    -- Two bytes for each line: the low half of the CRC-32 of the chunk up to the end of the line, little-endian. They tell whether
    -- a shorter log is the beginning of this one.
    line_checks  bytea NOT NULL,
    -- Whether the chunk ends within a line: 0 no, 1 and that line was counted or left out already, 2 and it was not.
    open_line    smallint NOT NULL CHECK (open_line BETWEEN 0 AND 2),
    -- Whether import_counts has all that was counted: not where a program from before this table imported the chunk.
    counts_known boolean NOT NULL,
    -- Whether another chunk follows, so that this one grows no more.
    sealed       boolean NOT NULL DEFAULT false,
    -- How often lines that were left out were looked at again.
    revision     integer NOT NULL DEFAULT 0,
    UNIQUE (parent, first_line, ordinal)
);

-- What an import counted of a chunk.
CREATE TABLE import_counts (
    chunk   bigint NOT NULL REFERENCES import_chunks,
    import  bigint NOT NULL REFERENCES imports,
    -- The sum of the views.
    views   bigint NOT NULL,
    -- A line for each page and hour, compressed with zlib: the hours since 1970, the views and the page, separated by tabs.
    counted bytea NOT NULL,
    PRIMARY KEY (chunk, import)
);
CREATE INDEX import_counts_by_import ON import_counts (import);

-- The logs that programs from before these tables have imported.
CREATE INDEX idempotency_keys_of_imports ON idempotency_keys (key) WHERE kept;
