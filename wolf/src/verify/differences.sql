-- Where the report is not what its definition says, in the one snapshot of this statement.
-- {month}: the first day of a row's month. {page_date}: the date of the pages' rows.
WITH
-- The hours of a day.
of_day (hour) AS (
    VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12
    ), (13), (14), (15), (16), (17), (18), (19), (20), (21), (22), (23)
),
-- The report's hours, one row each.
reported_hours AS (
    SELECT * FROM (
        SELECT name, date, CAST(of_day.hour AS smallint) AS hour, CASE of_day.hour
        WHEN 0 THEN hour_00 WHEN 1 THEN hour_01 WHEN 2 THEN hour_02 WHEN 3 THEN hour_03 WHEN 4 THEN hour_04 WHEN 5 THEN hour_05
        WHEN 6 THEN hour_06 WHEN 7 THEN hour_07 WHEN 8 THEN hour_08 WHEN 9 THEN hour_09 WHEN 10 THEN hour_10 WHEN 11 THEN hour_11
        WHEN 12 THEN hour_12 WHEN 13 THEN hour_13 WHEN 14 THEN hour_14 WHEN 15 THEN hour_15 WHEN 16 THEN hour_16 WHEN 17 THEN hour_17
        WHEN 18 THEN hour_18 WHEN 19 THEN hour_19 WHEN 20 THEN hour_20 WHEN 21 THEN hour_21 WHEN 22 THEN hour_22 WHEN 23 THEN hour_23
        END AS views
        FROM page_views_report CROSS JOIN of_day
        WHERE grain = 'day'
    ) AS hours
    WHERE views IS NOT NULL
),
-- The hours whose counts changed since the last refresh: nothing is wrong about them, so their own views are believed,
-- and the rows of their days and months are still compared.
marked AS (
    SELECT DISTINCT date, hour FROM stale_hours
),
-- The counts that the report should have.
counted AS (
    SELECT name, date, hour, views FROM page_views
    WHERE NOT EXISTS (SELECT 1 FROM marked WHERE marked.date = page_views.date AND marked.hour = page_views.hour)
    UNION ALL
    SELECT reported.name, reported.date, reported.hour, reported.views
    FROM reported_hours AS reported
    JOIN marked ON marked.date = reported.date AND marked.hour = reported.hour
    WHERE reported.name <> ''
),
-- Their sums by page and day, with the days whose hourly rows were dropped.
days AS (
    SELECT name, date, CAST(sum(views) AS bigint) AS views
    FROM (SELECT name, date, views FROM counted UNION ALL SELECT name, date, views FROM kept_days) AS counted_days
    GROUP BY name, date
),
-- The sums of these by page and month.
months AS (
    SELECT name, {month} AS date, CAST(sum(views) AS bigint) AS views FROM days GROUP BY 1, 2
),
-- The sums that the pages should have, of every hour, day and month.
page_sums (grain, name, date, hour, views) AS (
    SELECT 'hour', name, date, hour, views FROM counted
    UNION ALL
    SELECT 'day', name, date, CAST(0 AS smallint), views FROM days
    UNION ALL
    SELECT 'month', name, date, CAST(0 AS smallint), views FROM months
),
-- All that the report should have: with the sums of the whole site, whose name is empty, and with the pages' titles.
expected AS (
    SELECT grain, name, date, hour, views, NULL AS title FROM page_sums
    UNION ALL
    SELECT grain, '', date, hour, CAST(sum(views) AS bigint), NULL FROM page_sums GROUP BY grain, date, hour
    UNION ALL
    SELECT 'page', viewed.name, {page_date}, CAST(0 AS smallint), 0, pages.title
    FROM (SELECT DISTINCT name FROM days) AS viewed
    LEFT JOIN pages ON pages.name = viewed.name
),
-- All that it has.
reported AS (
    SELECT 'hour' AS grain, name, date, hour, views, NULL AS title FROM reported_hours
    UNION ALL
    SELECT grain, name, date, CAST(0 AS smallint), views, title FROM page_views_report
)
SELECT
    coalesce(expected.grain, reported.grain) AS grain,
    coalesce(expected.name, reported.name) AS name,
    coalesce(expected.date, reported.date) AS date,
    coalesce(expected.hour, reported.hour) AS hour,
    expected.views AS expected_views,
    reported.views AS reported_views,
    expected.title AS expected_title,
    reported.title AS reported_title,
    count(*) OVER () AS differences
FROM expected
FULL JOIN reported
    ON reported.grain = expected.grain AND reported.name = expected.name
    AND reported.date = expected.date AND reported.hour = expected.hour
WHERE expected.views IS DISTINCT FROM reported.views
    OR (expected.title IS DISTINCT FROM reported.title
        AND NOT EXISTS (SELECT 1 FROM stale_titles WHERE stale_titles.name = expected.name))
ORDER BY 1, 3, 4, 2
LIMIT {limit}
