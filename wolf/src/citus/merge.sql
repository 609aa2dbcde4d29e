-- $1 date[] and $2 smallint[]: the stale hours.
WITH
-- The pages whose count of a stale hour differs from the report's, and by how much.
changed AS MATERIALIZED (
    SELECT counted.name, counted.date, counted.hour, counted.views - coalesce(reported.views, 0) AS views
    FROM unnest($1::date[], $2::smallint[]) AS stale (date, hour)
    JOIN page_views AS counted ON counted.date = stale.date AND counted.hour = stale.hour
    LEFT JOIN page_views_report AS reported
        ON reported.grain = 'hour'
        AND reported.name = counted.name AND reported.date = counted.date AND reported.hour = counted.hour
    WHERE reported.views IS DISTINCT FROM counted.views
),
-- The same for each day and month of a page.
page_deltas (grain, name, date, hour, views) AS (
    SELECT 'hour', name, date, hour, views FROM changed
    UNION ALL
    SELECT 'day', name, date, 0::smallint, sum(views)::bigint FROM changed GROUP BY name, date
    UNION ALL
    SELECT 'month', name, date_trunc('month', date::timestamp)::date, 0::smallint, sum(views)::bigint
    FROM changed GROUP BY 2, 3
),
-- And for the whole site, whose name is empty.
deltas AS (
    SELECT * FROM page_deltas
    UNION ALL
    SELECT grain, '', date, hour, sum(views)::bigint FROM page_deltas GROUP BY grain, date, hour
)
INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT deltas.grain, deltas.name, deltas.date, deltas.hour, pages.title, deltas.views
FROM deltas
LEFT JOIN pages ON deltas.grain = 'month' AND pages.name = deltas.name
ON CONFLICT (grain, name, date, hour) DO UPDATE SET views = page_views_report.views + excluded.views
