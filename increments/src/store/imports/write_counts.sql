-- Writes what an import has counted of a chunk, in place of what it had counted of it before.
-- $1 to $4: the columns in order.
INSERT INTO import_counts (chunk, import, views, counted) VALUES ($1, $2, $3, $4)
ON CONFLICT (chunk, import) DO UPDATE SET views = excluded.views, counted = excluded.counted
