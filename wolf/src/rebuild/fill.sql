-- The report's rows of one month, from the counts as this one statement sees them.
-- {target}: the report to fill; {start} and {end}: the first days of the month and of the next one.
INSERT INTO {target} (
    grain, name, date, views, pages,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
WITH
-- The counts of the month. The hours of `kept_days` are not known any more.
counted AS (
    SELECT name, date, hour, views FROM page_views WHERE date >= {start} AND date < {end}
    UNION ALL
    SELECT name, date, CAST(NULL AS smallint), views FROM kept_days WHERE date >= {start} AND date < {end}
),
-- Their sums by page and day.
days AS MATERIALIZED (
    SELECT
        name, date, CAST(sum(views) AS bigint) AS views,
        CAST(sum(views) FILTER (WHERE hour = 0) AS bigint) AS hour_00, CAST(sum(views) FILTER (WHERE hour = 1) AS bigint) AS hour_01,
        CAST(sum(views) FILTER (WHERE hour = 2) AS bigint) AS hour_02, CAST(sum(views) FILTER (WHERE hour = 3) AS bigint) AS hour_03,
        CAST(sum(views) FILTER (WHERE hour = 4) AS bigint) AS hour_04, CAST(sum(views) FILTER (WHERE hour = 5) AS bigint) AS hour_05,
        CAST(sum(views) FILTER (WHERE hour = 6) AS bigint) AS hour_06, CAST(sum(views) FILTER (WHERE hour = 7) AS bigint) AS hour_07,
        CAST(sum(views) FILTER (WHERE hour = 8) AS bigint) AS hour_08, CAST(sum(views) FILTER (WHERE hour = 9) AS bigint) AS hour_09,
        CAST(sum(views) FILTER (WHERE hour = 10) AS bigint) AS hour_10, CAST(sum(views) FILTER (WHERE hour = 11) AS bigint) AS hour_11,
        CAST(sum(views) FILTER (WHERE hour = 12) AS bigint) AS hour_12, CAST(sum(views) FILTER (WHERE hour = 13) AS bigint) AS hour_13,
        CAST(sum(views) FILTER (WHERE hour = 14) AS bigint) AS hour_14, CAST(sum(views) FILTER (WHERE hour = 15) AS bigint) AS hour_15,
        CAST(sum(views) FILTER (WHERE hour = 16) AS bigint) AS hour_16, CAST(sum(views) FILTER (WHERE hour = 17) AS bigint) AS hour_17,
        CAST(sum(views) FILTER (WHERE hour = 18) AS bigint) AS hour_18, CAST(sum(views) FILTER (WHERE hour = 19) AS bigint) AS hour_19,
        CAST(sum(views) FILTER (WHERE hour = 20) AS bigint) AS hour_20, CAST(sum(views) FILTER (WHERE hour = 21) AS bigint) AS hour_21,
        CAST(sum(views) FILTER (WHERE hour = 22) AS bigint) AS hour_22, CAST(sum(views) FILTER (WHERE hour = 23) AS bigint) AS hour_23
    FROM counted GROUP BY name, date
),
-- The rows of the pages, by day and month, and those of the whole site, whose name is empty and which count the pages.
sums AS (
    SELECT 'day' AS grain, name, date, views, CAST(NULL AS bigint) AS pages,
        hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
        hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
        hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
    FROM days
    UNION ALL
    SELECT 'month', name, {start}, CAST(sum(views) AS bigint), NULL,
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM days GROUP BY name
    UNION ALL
    SELECT 'day', '', date, CAST(sum(views) AS bigint), count(*),
        CAST(sum(hour_00) AS bigint), CAST(sum(hour_01) AS bigint), CAST(sum(hour_02) AS bigint), CAST(sum(hour_03) AS bigint),
        CAST(sum(hour_04) AS bigint), CAST(sum(hour_05) AS bigint), CAST(sum(hour_06) AS bigint), CAST(sum(hour_07) AS bigint),
        CAST(sum(hour_08) AS bigint), CAST(sum(hour_09) AS bigint), CAST(sum(hour_10) AS bigint), CAST(sum(hour_11) AS bigint),
        CAST(sum(hour_12) AS bigint), CAST(sum(hour_13) AS bigint), CAST(sum(hour_14) AS bigint), CAST(sum(hour_15) AS bigint),
        CAST(sum(hour_16) AS bigint), CAST(sum(hour_17) AS bigint), CAST(sum(hour_18) AS bigint), CAST(sum(hour_19) AS bigint),
        CAST(sum(hour_20) AS bigint), CAST(sum(hour_21) AS bigint), CAST(sum(hour_22) AS bigint), CAST(sum(hour_23) AS bigint)
    FROM days GROUP BY date
    UNION ALL
    SELECT 'month', '', {start}, CAST(sum(views) AS bigint), count(DISTINCT name),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM days HAVING count(*) > 0
)
SELECT
    grain, name, date, views, pages,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
FROM sums
ORDER BY grain, date, name
