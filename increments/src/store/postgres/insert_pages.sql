-- Writes the pages that are new. Rows that are there are neither changed nor locked, which would be as dear as a change.
-- $1 text[] and $2 text[]: names, in order, and titles or null. $3: when new pages are first seen.
INSERT INTO pages (name, title, first_seen_at)
SELECT name, title, $3 FROM unnest($1::text[], $2::text[]) AS sent (name, title)
ON CONFLICT (name) DO NOTHING
