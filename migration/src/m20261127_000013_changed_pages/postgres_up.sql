-- The pages whose rows in the report differ from those of the version before. A version without a row may have changed any page.
CREATE TABLE report_changes (
    content_version bigint PRIMARY KEY,
    -- Hashes of the pages' names, 8 bytes each: no name is here that was removed elsewhere.
    pages           bytea NOT NULL
);
