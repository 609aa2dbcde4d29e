-- Takes views of hourly counts away. ?1: JSON, [[date, hour of the day, page, views], ...].
UPDATE page_views
SET views = page_views.views - sent.views
FROM (SELECT value->>0 AS date, value->>1 AS hour, value->>2 AS name, value->>3 AS views FROM json_each(?1)) AS sent
WHERE page_views.date = sent.date AND page_views.hour = sent.hour AND page_views.name = sent.name
