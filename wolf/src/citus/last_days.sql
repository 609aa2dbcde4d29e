-- From which last day to which the pages go on that were viewed on a later one, and how many they are.
SELECT page.last_date, viewed.last_date, count(*)
FROM (SELECT name, max(date) AS last_date FROM merge_deltas WHERE new_in_day GROUP BY name) AS viewed
LEFT JOIN page_views_report AS page ON page.grain = 'page' AND page.name = viewed.name AND page.date = '1970-01-01'
WHERE page.last_date IS NULL OR page.last_date < viewed.last_date
GROUP BY page.last_date, viewed.last_date
