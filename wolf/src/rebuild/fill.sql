-- The report's rows of one month, from the counts as this one statement sees them.
-- {target}: the report to fill; {start} and {end}: the first days of the month and of the next one.
INSERT INTO {target} (grain, name, date, hour, title, views)
WITH
-- The counts of the month.
counted AS MATERIALIZED (
    SELECT name, date, hour, views FROM page_views WHERE date >= {start} AND date < {end}
),
-- Their sums by page and day, with the days whose hourly rows were dropped.
days AS MATERIALIZED (
    SELECT name, date, CAST(sum(views) AS bigint) AS views
    FROM (
        SELECT name, date, views FROM counted
        UNION ALL
        SELECT name, date, views FROM kept_days WHERE date >= {start} AND date < {end}
    ) AS counted_days
    GROUP BY name, date
),
-- The rows of the pages, at every grain.
page_sums (grain, name, date, hour, views) AS (
    SELECT 'hour', name, date, hour, views FROM counted
    UNION ALL
    SELECT 'day', name, date, CAST(0 AS smallint), views FROM days
    UNION ALL
    SELECT 'month', name, {start}, CAST(0 AS smallint), CAST(sum(views) AS bigint) FROM days GROUP BY name
),
-- The same rows, and those of the whole site, whose name is empty.
sums AS (
    SELECT grain, name, date, hour, views FROM page_sums
    UNION ALL
    SELECT grain, '', date, hour, CAST(sum(views) AS bigint) FROM page_sums GROUP BY grain, date, hour
)
SELECT sums.grain, sums.name, sums.date, sums.hour, pages.title, sums.views
FROM sums
LEFT JOIN pages ON sums.grain = 'month' AND pages.name = sums.name
ORDER BY sums.grain, sums.date, sums.hour, sums.name
