-- The pages whose counts changed; null where the whole hour has to be looked through. Not compressed: it is written by every
-- commit, read once and deleted.
ALTER TABLE stale_hours ADD COLUMN names text[] COLLATE "C";
ALTER TABLE stale_hours ALTER COLUMN names SET STORAGE EXTERNAL;

UPDATE program_versions SET oldest_allowed = 'm20261126_000007_days_with_hours';
