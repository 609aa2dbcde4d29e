-- Writes the pages that are new or have another title. Returns their names, and whether each has a title.
-- $1 text[] and $2 text[]: names, in order, and titles or null. $3: when new pages are first seen.
INSERT INTO pages (name, title, first_seen_at)
SELECT name, title, $3 FROM unnest($1::text[], $2::text[]) AS sent (name, title)
ON CONFLICT (name) DO UPDATE SET title = excluded.title
WHERE excluded.title IS NOT NULL AND pages.title IS DISTINCT FROM excluded.title
RETURNING name, title IS NOT NULL
