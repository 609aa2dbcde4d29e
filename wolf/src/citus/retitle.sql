-- Copies the titles of the pages whose marks are taken.
UPDATE page_views_report AS report
SET title = pages.title
FROM pages, (SELECT DISTINCT name FROM stale_pages WHERE taken AND date IS NULL) AS stale
WHERE report.grain = 'page' AND report.date = '1970-01-01' AND report.name = pages.name AND stale.name = pages.name
    AND pages.title IS NOT NULL AND report.title IS DISTINCT FROM pages.title
