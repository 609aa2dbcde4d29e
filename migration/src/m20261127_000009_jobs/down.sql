ALTER TABLE imports DROP COLUMN undone_at;
DROP TABLE page_aliases;
DROP TABLE jobs;
UPDATE program_versions SET oldest_allowed = 'm20261126_000007_days_with_hours';
