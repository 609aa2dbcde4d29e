-- ?1: JSON, [[day, by how many the pages grow that were last viewed on it], ...].
UPDATE page_views_report
SET last_pages = last_pages + sent.pages
FROM (SELECT value->>0 AS date, value->>1 AS pages FROM json_each(?1)) AS sent
WHERE page_views_report.grain = 'day' AND page_views_report.date = sent.date AND page_views_report.name = ''
