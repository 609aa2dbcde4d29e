DROP INDEX stale_pages_batch;
ALTER TABLE stale_pages DROP COLUMN batch;
ALTER TABLE stale_pages DROP COLUMN views;
