-- Writes what the site's rows tell of their buckets.
-- ?1: JSON, [[grain, date, how many pages there are, from how many views on rows are flagged], ...];
-- null where it is not known.
UPDATE page_views_report
SET pages = coalesce(sent.pages, page_views_report.pages),
    top_views = coalesce(sent.top_views, page_views_report.top_views)
FROM (
    SELECT value->>0 AS grain, value->>1 AS date, value->>2 AS pages, value->>3 AS top_views FROM json_each(?1)
) AS sent
WHERE page_views_report.grain = sent.grain AND page_views_report.date = sent.date AND page_views_report.name = ''
