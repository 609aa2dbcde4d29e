-- The pages that are counted and of which no groups are noted.
SELECT DISTINCT counted.name
FROM (SELECT name FROM page_views UNION ALL SELECT name FROM kept_days) AS counted
WHERE NOT EXISTS (SELECT 1 FROM page_memberships WHERE page_memberships.name = counted.name)
