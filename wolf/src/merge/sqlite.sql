-- ?1: the stale hours as JSON, [["2026-11-22", 20], ...].
WITH
-- The pages whose count of a stale hour differs from the report's, and by how much.
changed AS MATERIALIZED (
    SELECT counted.name, counted.date, counted.hour, counted.views - coalesce(reported.views, 0) AS views
    -- CROSS JOIN keeps the order: from the few stale hours to their counts, by index.
    FROM json_each(?1) AS stale
    CROSS JOIN page_views AS counted ON counted.date = stale.value->>0 AND counted.hour = stale.value->>1
    LEFT JOIN page_views_report AS reported
        ON reported.grain = 'hour'
        AND reported.name = counted.name AND reported.date = counted.date AND reported.hour = counted.hour
    WHERE reported.views IS NOT counted.views
),
-- The same for each day and month of a page.
page_deltas (grain, name, date, hour, views) AS MATERIALIZED (
    SELECT 'hour', name, date, hour, views FROM changed
    UNION ALL
    SELECT 'day', name, date, 0, sum(views) FROM changed GROUP BY name, date
    UNION ALL
    SELECT 'month', name, date(date, 'start of month'), 0, sum(views) FROM changed GROUP BY 2, 3
),
-- And for the whole site, whose name is empty.
deltas AS (
    SELECT * FROM page_deltas
    UNION ALL
    SELECT grain, '', date, hour, sum(views) FROM page_deltas GROUP BY grain, date, hour
)
INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT deltas.grain, deltas.name, deltas.date, deltas.hour, pages.title, deltas.views
FROM deltas
LEFT JOIN pages ON deltas.grain = 'month' AND pages.name = deltas.name
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ORDER BY deltas.grain, deltas.name, deltas.date, deltas.hour
ON CONFLICT (grain, name, date, hour) DO UPDATE SET views = views + excluded.views
