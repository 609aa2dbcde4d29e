-- Rows of the report that no definition has: of another grain or date, or sums with a title. {page_date}: the date of the rows of
-- pages and groups. {limit}: the most of them that are returned.
SELECT
    grain, name, date, CAST(0 AS smallint) AS hour, CAST(NULL AS bigint) AS expected_views, views AS reported_views,
    CAST(NULL AS text) AS expected_title, title AS reported_title, count(*) OVER () AS differences
FROM page_views_report
WHERE NOT CASE
    WHEN grain IN ('page', 'member', 'group') THEN date = {page_date}
    ELSE grain IN ('day', 'month', 'group_day', 'group_month') AND title IS NULL
END
ORDER BY grain, date, name
LIMIT {limit}
