-- Adds views to the counts, and marks them stale.
-- $1 text[], $2 date[], $3 smallint[] and $4 bigint[]: the counts' names, dates and hours, in order, and what each grows by.
-- $5: when they change. $6: whether the marks name the pages. Otherwise they are of the whole hours.
WITH
-- The counts, in the order in which all processes lock them.
sent AS (
    SELECT *
    FROM unnest($1::text[], $2::date[], $3::smallint[], $4::bigint[]) AS sent (name, date, hour, views)
),
-- The marks, one of each hour.
marked AS (
    INSERT INTO stale_hours (date, hour, names)
    SELECT date, hour, array_agg(name) FILTER (WHERE $6)
    FROM sent
    GROUP BY date, hour
)
INSERT INTO page_views (name, date, hour, views, updated_at)
SELECT name, date, hour, views, $5
FROM sent
ON CONFLICT (name, date, hour)
DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at
