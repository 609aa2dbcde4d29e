-- By how much the counts of the hour $1 (date) and $2 (smallint) differ from the report, of the pages $3 (text[]), whose names
-- are in order. {hour}: the column of this hour.
WITH
-- The pages whose count differs from the report's: by how much, and whether the report has the page on this day.
changed AS (
    SELECT
        counted.name,
        counted.views - coalesce(reported.views, 0) AS views,
        reported.name IS NOT NULL AS known
    FROM unnest($3::text[]) WITH ORDINALITY AS stale (name, ordinal)
    -- LIMIT keeps each of these what it is: one look-up of a key.
    CROSS JOIN LATERAL (
        SELECT name, views FROM page_views
        WHERE page_views.date = $1 AND page_views.hour = $2 AND page_views.name = stale.name
        LIMIT 1
    ) AS counted
    LEFT JOIN LATERAL (
        SELECT name, {hour} AS views FROM page_views_report AS report
        WHERE report.grain = 'day' AND report.date = $1 AND report.name = stale.name
        LIMIT 1
    ) AS reported ON true
    WHERE reported.views IS DISTINCT FROM counted.views
    ORDER BY stale.ordinal
)
SELECT
    coalesce(array_agg(name) FILTER (WHERE known), '{}'),
    coalesce(array_agg(views) FILTER (WHERE known), '{}'),
    coalesce(array_agg(name) FILTER (WHERE NOT known), '{}'),
    coalesce(array_agg(views) FILTER (WHERE NOT known), '{}')
FROM changed
