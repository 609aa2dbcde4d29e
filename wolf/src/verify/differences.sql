-- Where the report is not what its definition says, in the one snapshot of this statement.
-- {month}: the first day of a row's month.
WITH
-- The hours whose counts changed since the last refresh: nothing is wrong about them, so their own rows are believed,
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
    FROM page_views_report AS reported
    JOIN marked ON marked.date = reported.date AND marked.hour = reported.hour
    WHERE reported.grain = 'hour' AND reported.name <> ''
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
-- The rows that the pages should have, at every grain.
page_sums (grain, name, date, hour, views) AS (
    SELECT 'hour', name, date, hour, views FROM counted
    UNION ALL
    SELECT 'day', name, date, CAST(0 AS smallint), views FROM days
    UNION ALL
    SELECT 'month', name, date, CAST(0 AS smallint), views FROM months
),
-- The rows that the report should have: with titles, and with those of the whole site, whose name is empty.
expected AS (
    SELECT page_sums.grain, page_sums.name, date, hour, pages.title, views
    FROM page_sums
    LEFT JOIN pages ON page_sums.grain = 'month' AND pages.name = page_sums.name
    UNION ALL
    SELECT grain, '', date, hour, NULL, CAST(sum(views) AS bigint) FROM page_sums GROUP BY grain, date, hour
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
FULL JOIN page_views_report AS reported
    ON reported.grain = expected.grain AND reported.name = expected.name
    AND reported.date = expected.date AND reported.hour = expected.hour
WHERE expected.views IS DISTINCT FROM reported.views
    OR (expected.title IS DISTINCT FROM reported.title
        AND NOT EXISTS (SELECT 1 FROM stale_titles WHERE stale_titles.name = expected.name))
ORDER BY 1, 3, 4, 2
LIMIT {limit}
