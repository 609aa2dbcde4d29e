-- A row for each page of the report {target}: its title, and the last day on which it was viewed.
INSERT INTO {target} (grain, name, date, views, title, last_date)
SELECT 'page', viewed.name, {epoch}, 0, pages.title, viewed.last_date
FROM (SELECT name, max(date) AS last_date FROM {target} WHERE grain = 'day' AND name <> '' GROUP BY name) AS viewed
LEFT JOIN pages ON pages.name = viewed.name
ORDER BY viewed.name
