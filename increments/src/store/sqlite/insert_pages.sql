-- Writes the pages that are new.
-- ?1: JSON, {name: title or null, ...}. ?2: when new pages are first seen.
INSERT INTO pages (name, title, first_seen_at)
SELECT key, value, ?2 FROM json_each(?1)
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (name) DO NOTHING
