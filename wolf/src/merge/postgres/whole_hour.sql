-- By how much the counts of the hour $1 (date) and $2 (smallint) differ from the report: of at most $4 (bigint) pages
-- whose names come after $3 (text), in the order of names. {hour}: the column of this hour.
WITH
-- The pages whose count differs from the report's: by how much, and whether the report has the page on this day.
changed AS (
    SELECT
        counted.name,
        counted.views - coalesce(reported.views, 0) AS views,
        reported.name IS NOT NULL AS known
    FROM page_views AS counted
    LEFT JOIN (
        SELECT name, {hour} AS views FROM page_views_report
        WHERE grain = 'day' AND date = $1 AND name > $3
        -- The planner does not know of rows that a join may leave out that an index has them in order. Here it does.
        ORDER BY name OFFSET 0
    ) AS reported ON reported.name = counted.name
    WHERE counted.date = $1 AND counted.hour = $2 AND counted.name > $3
        AND reported.views IS DISTINCT FROM counted.views
    ORDER BY counted.name
    LIMIT $4
)
SELECT
    coalesce(array_agg(name) FILTER (WHERE known), '{}'),
    coalesce(array_agg(views) FILTER (WHERE known), '{}'),
    coalesce(array_agg(name) FILTER (WHERE NOT known), '{}'),
    coalesce(array_agg(views) FILTER (WHERE NOT known), '{}')
FROM changed
