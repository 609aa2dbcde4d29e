-- Sets the titles of the pages that have none, and returns the names of these pages.
-- $1 text[] and $2 text[]: names and titles.
UPDATE pages SET title = sent.title
FROM unnest($1::text[], $2::text[]) AS sent (name, title)
WHERE pages.name = sent.name AND pages.title IS NULL
RETURNING pages.name
