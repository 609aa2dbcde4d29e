-- Adds the views of the counts that this transaction has copied as marks, on their nodes.
-- $1: the number of the transaction. $2: when the counts change.
INSERT INTO page_views (name, date, hour, views, updated_at)
SELECT name, date, hour, views, $2 FROM stale_pages WHERE batch = $1
ON CONFLICT (name, date, hour)
DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at
