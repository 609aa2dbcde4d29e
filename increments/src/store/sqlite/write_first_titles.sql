-- Sets the titles of the pages that have none, and returns the names of these pages.
-- ?1: JSON, [[name, title], ...].
UPDATE pages SET title = sent.title
FROM (SELECT value->>0 AS name, value->>1 AS title FROM json_each(?1)) AS sent
WHERE pages.name = sent.name AND pages.title IS NULL
RETURNING name
