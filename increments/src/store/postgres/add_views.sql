-- Adds views to the counts.
-- $1 text[], $2 date[], $3 smallint[] and $4 bigint[]: the counts' names, dates and hours, in order, and what each grows by.
-- $5: when they change.
INSERT INTO page_views (name, date, hour, views, updated_at)
SELECT name, date, hour, views, $5
FROM unnest($1::text[], $2::date[], $3::smallint[], $4::bigint[]) AS sent (name, date, hour, views)
ON CONFLICT (name, date, hour)
DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at
