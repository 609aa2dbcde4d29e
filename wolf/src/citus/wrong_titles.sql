-- Which pages have another row of the grain {grain} than they should have, or one with another title. Each page's is compared on its
-- node. {titles}: the table of the titles. {title} and {is_titled}: the column, and which rows of it tell of one. {expected}: whether
-- a page should have a row. {marked}: the query of the marks. {page_date}: the date of these rows. {limit}: the most differences
-- that are returned.
WITH
-- The hours whose counts changed since the last refresh: the report's views are believed.
marked AS (
    {marked}
)
SELECT '{grain}' AS grain, name, {page_date} AS date, CAST(0 AS smallint) AS hour, expected_views, reported_views,
    CASE WHEN expected_views = 0 THEN expected_title END AS expected_title, reported_title, count(*) OVER () AS differences
FROM (
    SELECT
        name,
        CASE WHEN {expected} THEN CAST(0 AS bigint) END AS expected_views,
        max(reported_views) AS reported_views, max(expected_title) AS expected_title, max(reported_title) AS reported_title,
        bool_or(is_retitled) AS is_retitled
    FROM (
        SELECT name, true AS is_viewed, false AS is_titled, false AS is_retitled, CAST(NULL AS text) AS expected_title,
            CAST(NULL AS bigint) AS reported_views, CAST(NULL AS text) AS reported_title
        FROM page_views
        WHERE NOT EXISTS (SELECT 1 FROM marked WHERE marked.date = page_views.date AND marked.hour = page_views.hour)
        UNION ALL
        SELECT counted.name, true, false, false, NULL, NULL, NULL
        FROM page_views_report AS counted
        JOIN marked ON marked.date = counted.date
        WHERE counted.grain = 'day' AND counted.name <> '' AND (ARRAY[{hours}])[marked.hour + 1] IS NOT NULL
        UNION ALL
        SELECT name, true, false, false, NULL, NULL, NULL FROM kept_days
        UNION ALL
        SELECT name, false, true, false, {title}, NULL, NULL FROM {titles} WHERE {is_titled}
        UNION ALL
        SELECT name, false, false, true, NULL, NULL, NULL FROM stale_pages WHERE date IS NULL AND '{grain}' = 'page'
        UNION ALL
        SELECT name, false, false, false, NULL, views, title FROM page_views_report
        WHERE grain = '{grain}' AND date = {page_date}
    ) AS rows
    GROUP BY name
) AS compared
WHERE expected_views IS DISTINCT FROM reported_views
    OR (expected_views = 0 AND expected_title IS DISTINCT FROM reported_title AND NOT is_retitled
        AND ('{grain}' <> 'page' OR name NOT IN (SELECT name FROM stale_titles)))
ORDER BY name
LIMIT {limit}
