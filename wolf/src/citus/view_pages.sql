-- Inserts the rows of new pages, with their titles, and sets the last days of those that were viewed on a later one.
INSERT INTO page_views_report AS page (grain, name, date, views, title, last_date)
SELECT 'page', viewed.name, '1970-01-01'::date, 0, pages.title, viewed.last_date
FROM (SELECT name, max(date) AS last_date FROM merge_deltas WHERE new_in_day GROUP BY name) AS viewed
LEFT JOIN pages ON pages.name = viewed.name
ON CONFLICT (grain, date, name) DO UPDATE SET last_date = excluded.last_date
WHERE page.last_date IS NULL OR page.last_date < excluded.last_date
