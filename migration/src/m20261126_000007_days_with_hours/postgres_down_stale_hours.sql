ALTER TABLE stale_hours DROP COLUMN names;

UPDATE program_versions SET oldest_allowed = 'm20261126_000005_clients';
