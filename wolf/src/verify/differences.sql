-- Where the report is not what its definition says, in the one snapshot of this statement.
-- {marked} and {retitled}: the queries of the marks. {member_of}: the groups of a page. {building}: why a group has no sums yet. {month}: the first day of a row's month. {page_date}: the date of the pages' rows. {limit}: the most differences that are
-- returned.
WITH
-- The hours whose counts changed since the last refresh: nothing is wrong about them, so the report's views are believed, and
-- the sums of their days and months are still compared.
marked AS (
    {marked}
),
-- The pages whose titles changed since.
retitled AS (
    {retitled}
),
-- The counts that the report should have. The hours of `kept_days` are not known any more.
counted AS (
    SELECT name, date, hour, views FROM page_views
    WHERE NOT EXISTS (SELECT 1 FROM marked WHERE marked.date = page_views.date AND marked.hour = page_views.hour)
    UNION ALL
    SELECT name, date, hour, views
    FROM (
        SELECT reported.name, reported.date, marked.hour, CASE marked.hour
            WHEN 0 THEN reported.hour_00 WHEN 1 THEN reported.hour_01 WHEN 2 THEN reported.hour_02 WHEN 3 THEN reported.hour_03
            WHEN 4 THEN reported.hour_04 WHEN 5 THEN reported.hour_05 WHEN 6 THEN reported.hour_06 WHEN 7 THEN reported.hour_07
            WHEN 8 THEN reported.hour_08 WHEN 9 THEN reported.hour_09 WHEN 10 THEN reported.hour_10 WHEN 11 THEN reported.hour_11
            WHEN 12 THEN reported.hour_12 WHEN 13 THEN reported.hour_13 WHEN 14 THEN reported.hour_14 WHEN 15 THEN reported.hour_15
            WHEN 16 THEN reported.hour_16 WHEN 17 THEN reported.hour_17 WHEN 18 THEN reported.hour_18 WHEN 19 THEN reported.hour_19
            WHEN 20 THEN reported.hour_20 WHEN 21 THEN reported.hour_21 WHEN 22 THEN reported.hour_22 WHEN 23 THEN reported.hour_23
            END AS views
        FROM marked
        JOIN page_views_report AS reported ON reported.grain = 'day' AND reported.date = marked.date
        WHERE reported.name <> ''
    ) AS believed
    WHERE views IS NOT NULL
    UNION ALL
    SELECT name, date, CAST(NULL AS smallint), views FROM kept_days
),
-- Their sums by page and day.
days AS (
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
-- The sums of these by page and month.
months AS (
    SELECT name, {month} AS date, CAST(sum(views) AS bigint) AS views FROM days GROUP BY 1, 2
),
-- The sums by page and day, once for each group of the page. A group that is being built has them from a day on.
days_of_groups AS (
    SELECT
        page_groups.name AS group_name, page_groups.is_complete, page_groups.built_from, days.date, days.views,
        days.hour_00, days.hour_01, days.hour_02, days.hour_03, days.hour_04, days.hour_05, days.hour_06, days.hour_07,
        days.hour_08, days.hour_09, days.hour_10, days.hour_11, days.hour_12, days.hour_13, days.hour_14, days.hour_15,
        days.hour_16, days.hour_17, days.hour_18, days.hour_19, days.hour_20, days.hour_21, days.hour_22, days.hour_23
    FROM days
    JOIN page_memberships ON page_memberships.name = days.name
    CROSS JOIN {member_of}
    JOIN page_groups ON page_groups.name = member_of.value
    WHERE page_groups.effective IS NOT NULL AND page_groups.problem IS NULL
),
-- The rows that the report should have: of the pages, of the whole site, whose name is empty, those with the titles, and those
-- of groups.
expected AS (
    SELECT
        'day' AS grain, name, date, views, NULL AS title,
        hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
        hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
        hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
    FROM days
    UNION ALL
    SELECT
        'day', '', date, CAST(sum(views) AS bigint), NULL,
        CAST(sum(hour_00) AS bigint), CAST(sum(hour_01) AS bigint), CAST(sum(hour_02) AS bigint), CAST(sum(hour_03) AS bigint),
        CAST(sum(hour_04) AS bigint), CAST(sum(hour_05) AS bigint), CAST(sum(hour_06) AS bigint), CAST(sum(hour_07) AS bigint),
        CAST(sum(hour_08) AS bigint), CAST(sum(hour_09) AS bigint), CAST(sum(hour_10) AS bigint), CAST(sum(hour_11) AS bigint),
        CAST(sum(hour_12) AS bigint), CAST(sum(hour_13) AS bigint), CAST(sum(hour_14) AS bigint), CAST(sum(hour_15) AS bigint),
        CAST(sum(hour_16) AS bigint), CAST(sum(hour_17) AS bigint), CAST(sum(hour_18) AS bigint), CAST(sum(hour_19) AS bigint),
        CAST(sum(hour_20) AS bigint), CAST(sum(hour_21) AS bigint), CAST(sum(hour_22) AS bigint), CAST(sum(hour_23) AS bigint)
    FROM days GROUP BY date
    UNION ALL
    SELECT
        'month', name, date, views, NULL,
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM months
    UNION ALL
    SELECT
        'month', '', date, CAST(sum(views) AS bigint), NULL,
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM months GROUP BY date
    UNION ALL
    SELECT
        'page', viewed.name, {page_date}, 0, pages.title,
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM (SELECT DISTINCT name FROM days) AS viewed
    LEFT JOIN pages ON pages.name = viewed.name
    UNION ALL
    SELECT
        'member', page_memberships.name, {page_date}, 0, page_memberships.member_of,
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM (SELECT DISTINCT name FROM days) AS viewed
    JOIN page_memberships ON page_memberships.name = viewed.name
    WHERE page_memberships.member_of <> '[]'
    UNION ALL
    SELECT
        'group', name, {page_date}, 0, coalesce(problem, CASE WHEN NOT is_complete THEN '{building}' END),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM page_groups WHERE effective IS NOT NULL
    UNION ALL
    SELECT
        'group_day', group_name, date, CAST(sum(views) AS bigint), NULL,
        CAST(sum(hour_00) AS bigint), CAST(sum(hour_01) AS bigint), CAST(sum(hour_02) AS bigint), CAST(sum(hour_03) AS bigint),
        CAST(sum(hour_04) AS bigint), CAST(sum(hour_05) AS bigint), CAST(sum(hour_06) AS bigint), CAST(sum(hour_07) AS bigint),
        CAST(sum(hour_08) AS bigint), CAST(sum(hour_09) AS bigint), CAST(sum(hour_10) AS bigint), CAST(sum(hour_11) AS bigint),
        CAST(sum(hour_12) AS bigint), CAST(sum(hour_13) AS bigint), CAST(sum(hour_14) AS bigint), CAST(sum(hour_15) AS bigint),
        CAST(sum(hour_16) AS bigint), CAST(sum(hour_17) AS bigint), CAST(sum(hour_18) AS bigint), CAST(sum(hour_19) AS bigint),
        CAST(sum(hour_20) AS bigint), CAST(sum(hour_21) AS bigint), CAST(sum(hour_22) AS bigint), CAST(sum(hour_23) AS bigint)
    FROM days_of_groups WHERE is_complete OR date >= built_from GROUP BY group_name, date
    UNION ALL
    SELECT
        'group_month', group_name, {month}, CAST(sum(views) AS bigint), NULL,
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
        CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
    FROM days_of_groups WHERE is_complete OR {month} >= built_from GROUP BY 2, 3
),
-- The rows that differ, with both sides.
differing AS (
    SELECT
        coalesce(expected.grain, reported.grain) AS grain,
        coalesce(expected.name, reported.name) AS name,
        coalesce(expected.date, reported.date) AS date,
        expected.views AS expected_views, reported.views AS reported_views,
        expected.title AS expected_title, reported.title AS reported_title,
        expected.hour_00 AS expected_00, reported.hour_00 AS reported_00, expected.hour_01 AS expected_01, reported.hour_01 AS reported_01,
        expected.hour_02 AS expected_02, reported.hour_02 AS reported_02, expected.hour_03 AS expected_03, reported.hour_03 AS reported_03,
        expected.hour_04 AS expected_04, reported.hour_04 AS reported_04, expected.hour_05 AS expected_05, reported.hour_05 AS reported_05,
        expected.hour_06 AS expected_06, reported.hour_06 AS reported_06, expected.hour_07 AS expected_07, reported.hour_07 AS reported_07,
        expected.hour_08 AS expected_08, reported.hour_08 AS reported_08, expected.hour_09 AS expected_09, reported.hour_09 AS reported_09,
        expected.hour_10 AS expected_10, reported.hour_10 AS reported_10, expected.hour_11 AS expected_11, reported.hour_11 AS reported_11,
        expected.hour_12 AS expected_12, reported.hour_12 AS reported_12, expected.hour_13 AS expected_13, reported.hour_13 AS reported_13,
        expected.hour_14 AS expected_14, reported.hour_14 AS reported_14, expected.hour_15 AS expected_15, reported.hour_15 AS reported_15,
        expected.hour_16 AS expected_16, reported.hour_16 AS reported_16, expected.hour_17 AS expected_17, reported.hour_17 AS reported_17,
        expected.hour_18 AS expected_18, reported.hour_18 AS reported_18, expected.hour_19 AS expected_19, reported.hour_19 AS reported_19,
        expected.hour_20 AS expected_20, reported.hour_20 AS reported_20, expected.hour_21 AS expected_21, reported.hour_21 AS reported_21,
        expected.hour_22 AS expected_22, reported.hour_22 AS reported_22, expected.hour_23 AS expected_23, reported.hour_23 AS reported_23
    FROM expected
    FULL JOIN page_views_report AS reported
        ON reported.grain = expected.grain AND reported.date = expected.date AND reported.name = expected.name
    WHERE expected.views IS DISTINCT FROM reported.views
        OR expected.title IS DISTINCT FROM reported.title
        OR expected.hour_00 IS DISTINCT FROM reported.hour_00 OR expected.hour_01 IS DISTINCT FROM reported.hour_01
        OR expected.hour_02 IS DISTINCT FROM reported.hour_02 OR expected.hour_03 IS DISTINCT FROM reported.hour_03
        OR expected.hour_04 IS DISTINCT FROM reported.hour_04 OR expected.hour_05 IS DISTINCT FROM reported.hour_05
        OR expected.hour_06 IS DISTINCT FROM reported.hour_06 OR expected.hour_07 IS DISTINCT FROM reported.hour_07
        OR expected.hour_08 IS DISTINCT FROM reported.hour_08 OR expected.hour_09 IS DISTINCT FROM reported.hour_09
        OR expected.hour_10 IS DISTINCT FROM reported.hour_10 OR expected.hour_11 IS DISTINCT FROM reported.hour_11
        OR expected.hour_12 IS DISTINCT FROM reported.hour_12 OR expected.hour_13 IS DISTINCT FROM reported.hour_13
        OR expected.hour_14 IS DISTINCT FROM reported.hour_14 OR expected.hour_15 IS DISTINCT FROM reported.hour_15
        OR expected.hour_16 IS DISTINCT FROM reported.hour_16 OR expected.hour_17 IS DISTINCT FROM reported.hour_17
        OR expected.hour_18 IS DISTINCT FROM reported.hour_18 OR expected.hour_19 IS DISTINCT FROM reported.hour_19
        OR expected.hour_20 IS DISTINCT FROM reported.hour_20 OR expected.hour_21 IS DISTINCT FROM reported.hour_21
        OR expected.hour_22 IS DISTINCT FROM reported.hour_22 OR expected.hour_23 IS DISTINCT FROM reported.hour_23
),
-- The hours of a day.
of_day (hour) AS (
    VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11),
    (12), (13), (14), (15), (16), (17), (18), (19), (20), (21), (22), (23)
),
-- The sums and titles that differ, one a row.
differences AS (
    SELECT grain, name, date, CAST(0 AS smallint) AS hour, expected_views, reported_views, expected_title, reported_title
    FROM differing
    WHERE expected_views IS DISTINCT FROM reported_views
        OR (expected_title IS DISTINCT FROM reported_title
            AND (differing.grain <> 'page' OR differing.name NOT IN (SELECT name FROM retitled)))
    UNION ALL
    SELECT CASE grain WHEN 'day' THEN 'hour' ELSE 'group_hour' END, name, date, hour, expected_views, reported_views, NULL, NULL
    FROM (
        SELECT
            grain, name, date, CAST(of_day.hour AS smallint) AS hour,
            CASE of_day.hour
            WHEN 0 THEN expected_00 WHEN 1 THEN expected_01 WHEN 2 THEN expected_02 WHEN 3 THEN expected_03
            WHEN 4 THEN expected_04 WHEN 5 THEN expected_05 WHEN 6 THEN expected_06 WHEN 7 THEN expected_07
            WHEN 8 THEN expected_08 WHEN 9 THEN expected_09 WHEN 10 THEN expected_10 WHEN 11 THEN expected_11
            WHEN 12 THEN expected_12 WHEN 13 THEN expected_13 WHEN 14 THEN expected_14 WHEN 15 THEN expected_15
            WHEN 16 THEN expected_16 WHEN 17 THEN expected_17 WHEN 18 THEN expected_18 WHEN 19 THEN expected_19
            WHEN 20 THEN expected_20 WHEN 21 THEN expected_21 WHEN 22 THEN expected_22 WHEN 23 THEN expected_23
            END AS expected_views,
            CASE of_day.hour
            WHEN 0 THEN reported_00 WHEN 1 THEN reported_01 WHEN 2 THEN reported_02 WHEN 3 THEN reported_03
            WHEN 4 THEN reported_04 WHEN 5 THEN reported_05 WHEN 6 THEN reported_06 WHEN 7 THEN reported_07
            WHEN 8 THEN reported_08 WHEN 9 THEN reported_09 WHEN 10 THEN reported_10 WHEN 11 THEN reported_11
            WHEN 12 THEN reported_12 WHEN 13 THEN reported_13 WHEN 14 THEN reported_14 WHEN 15 THEN reported_15
            WHEN 16 THEN reported_16 WHEN 17 THEN reported_17 WHEN 18 THEN reported_18 WHEN 19 THEN reported_19
            WHEN 20 THEN reported_20 WHEN 21 THEN reported_21 WHEN 22 THEN reported_22 WHEN 23 THEN reported_23
            END AS reported_views
        FROM differing CROSS JOIN of_day
        WHERE grain IN ('day', 'group_day')
    ) AS hours
    WHERE expected_views IS DISTINCT FROM reported_views
)
SELECT *, count(*) OVER () AS differences
FROM differences
ORDER BY grain, date, hour, name
LIMIT {limit}
