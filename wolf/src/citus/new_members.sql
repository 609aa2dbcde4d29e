-- The pages that change and of which no groups are noted.
SELECT DISTINCT merge_deltas.name
FROM merge_deltas
LEFT JOIN page_memberships ON page_memberships.name = merge_deltas.name
WHERE page_memberships.name IS NULL
