-- Writes the pages that are new or have another title. Returns their names, and whether each has a title.
-- ?1: JSON, [[name, title or null], ...]. ?2: when new pages are first seen.
INSERT INTO pages (name, title, first_seen_at)
SELECT value->>0, value->>1, ?2 FROM json_each(?1)
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (name) DO UPDATE SET title = excluded.title
WHERE excluded.title IS NOT NULL AND pages.title IS NOT excluded.title
RETURNING name, title IS NOT NULL
