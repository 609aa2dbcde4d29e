-- On a Citus cluster many counts of one transaction are copied into `stale_pages`, as their marks, and added to `page_views` from
-- there, on their nodes. A mark that came so has the views that it adds, and the number of its transaction.
ALTER TABLE stale_pages ADD COLUMN views bigint;
ALTER TABLE stale_pages ADD COLUMN batch bigint;
CREATE INDEX stale_pages_batch ON stale_pages (batch) WHERE batch IS NOT NULL;
