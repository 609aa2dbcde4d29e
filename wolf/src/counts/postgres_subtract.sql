-- Takes views of hourly counts away. $1 date[], $2 smallint[], $3 text[] and $4 bigint[]: dates, hours of the day, pages, views.
UPDATE page_views
SET views = page_views.views - sent.views
FROM unnest($1::date[], $2::smallint[], $3::text[], $4::bigint[]) AS sent (date, hour, name, views)
WHERE page_views.date = sent.date AND page_views.hour = sent.hour AND page_views.name = sent.name
