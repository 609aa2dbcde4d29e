-- $1 date[] and $2 smallint[]: the stale hours. There are no flags and no numbers of pages: lists and counts read rows.
WITH
-- The pages whose count of a stale hour differs from the report's, and by how much.
changed AS MATERIALIZED (
    SELECT counted.name, counted.date, counted.hour, counted.views - coalesce(reported.views, 0) AS views
    FROM unnest($1::date[], $2::smallint[]) AS stale (date, hour)
    JOIN page_views AS counted ON counted.date = stale.date AND counted.hour = stale.hour
    LEFT JOIN LATERAL (
        SELECT CASE counted.hour
        WHEN 0 THEN reported.hour_00 WHEN 1 THEN reported.hour_01 WHEN 2 THEN reported.hour_02 WHEN 3 THEN reported.hour_03
        WHEN 4 THEN reported.hour_04 WHEN 5 THEN reported.hour_05 WHEN 6 THEN reported.hour_06 WHEN 7 THEN reported.hour_07
        WHEN 8 THEN reported.hour_08 WHEN 9 THEN reported.hour_09 WHEN 10 THEN reported.hour_10 WHEN 11 THEN reported.hour_11
        WHEN 12 THEN reported.hour_12 WHEN 13 THEN reported.hour_13 WHEN 14 THEN reported.hour_14 WHEN 15 THEN reported.hour_15
        WHEN 16 THEN reported.hour_16 WHEN 17 THEN reported.hour_17 WHEN 18 THEN reported.hour_18 WHEN 19 THEN reported.hour_19
        WHEN 20 THEN reported.hour_20 WHEN 21 THEN reported.hour_21 WHEN 22 THEN reported.hour_22 WHEN 23 THEN reported.hour_23
        END AS views
        FROM page_views_report AS reported
        WHERE reported.grain = 'day' AND reported.name = counted.name AND reported.date = counted.date
    ) AS reported ON true
    WHERE reported.views IS DISTINCT FROM counted.views
),
-- The same for each day of a page.
days AS (
    SELECT
        name, date, sum(views)::bigint AS views,
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
    FROM changed GROUP BY name, date
),
-- And for the month, and for the whole site, whose name is empty; and the days of the pages.
deltas AS (
    SELECT 'day' AS grain, name, date, NULL::date AS last_date, views,
        hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07, hour_08, hour_09, hour_10, hour_11,
        hour_12, hour_13, hour_14, hour_15, hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
    FROM days
    UNION ALL
    SELECT 'month', name, date_trunc('month', date::timestamp)::date, NULL, sum(views)::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
    FROM days GROUP BY 2, 3
    UNION ALL
    SELECT 'day', '', date, NULL, sum(views)::bigint,
        sum(hour_00)::bigint, sum(hour_01)::bigint, sum(hour_02)::bigint, sum(hour_03)::bigint,
        sum(hour_04)::bigint, sum(hour_05)::bigint, sum(hour_06)::bigint, sum(hour_07)::bigint,
        sum(hour_08)::bigint, sum(hour_09)::bigint, sum(hour_10)::bigint, sum(hour_11)::bigint,
        sum(hour_12)::bigint, sum(hour_13)::bigint, sum(hour_14)::bigint, sum(hour_15)::bigint,
        sum(hour_16)::bigint, sum(hour_17)::bigint, sum(hour_18)::bigint, sum(hour_19)::bigint,
        sum(hour_20)::bigint, sum(hour_21)::bigint, sum(hour_22)::bigint, sum(hour_23)::bigint
    FROM days GROUP BY date
    UNION ALL
    SELECT 'month', '', date_trunc('month', date::timestamp)::date, NULL, sum(views)::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
    FROM days GROUP BY 3
    UNION ALL
    SELECT 'page', name, '1970-01-01', max(date), 0,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint
    FROM days GROUP BY name
)
INSERT INTO page_views_report (
    grain, name, date, title, last_date, views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    deltas.grain, deltas.name, deltas.date, pages.title, deltas.last_date, deltas.views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
FROM deltas
LEFT JOIN pages ON deltas.grain = 'page' AND pages.name = deltas.name
ON CONFLICT (grain, date, name) DO UPDATE
SET views = page_views_report.views + excluded.views,
    last_date = greatest(page_views_report.last_date, excluded.last_date),
    hour_00 = coalesce(page_views_report.hour_00 + excluded.hour_00, excluded.hour_00, page_views_report.hour_00),
    hour_01 = coalesce(page_views_report.hour_01 + excluded.hour_01, excluded.hour_01, page_views_report.hour_01),
    hour_02 = coalesce(page_views_report.hour_02 + excluded.hour_02, excluded.hour_02, page_views_report.hour_02),
    hour_03 = coalesce(page_views_report.hour_03 + excluded.hour_03, excluded.hour_03, page_views_report.hour_03),
    hour_04 = coalesce(page_views_report.hour_04 + excluded.hour_04, excluded.hour_04, page_views_report.hour_04),
    hour_05 = coalesce(page_views_report.hour_05 + excluded.hour_05, excluded.hour_05, page_views_report.hour_05),
    hour_06 = coalesce(page_views_report.hour_06 + excluded.hour_06, excluded.hour_06, page_views_report.hour_06),
    hour_07 = coalesce(page_views_report.hour_07 + excluded.hour_07, excluded.hour_07, page_views_report.hour_07),
    hour_08 = coalesce(page_views_report.hour_08 + excluded.hour_08, excluded.hour_08, page_views_report.hour_08),
    hour_09 = coalesce(page_views_report.hour_09 + excluded.hour_09, excluded.hour_09, page_views_report.hour_09),
    hour_10 = coalesce(page_views_report.hour_10 + excluded.hour_10, excluded.hour_10, page_views_report.hour_10),
    hour_11 = coalesce(page_views_report.hour_11 + excluded.hour_11, excluded.hour_11, page_views_report.hour_11),
    hour_12 = coalesce(page_views_report.hour_12 + excluded.hour_12, excluded.hour_12, page_views_report.hour_12),
    hour_13 = coalesce(page_views_report.hour_13 + excluded.hour_13, excluded.hour_13, page_views_report.hour_13),
    hour_14 = coalesce(page_views_report.hour_14 + excluded.hour_14, excluded.hour_14, page_views_report.hour_14),
    hour_15 = coalesce(page_views_report.hour_15 + excluded.hour_15, excluded.hour_15, page_views_report.hour_15),
    hour_16 = coalesce(page_views_report.hour_16 + excluded.hour_16, excluded.hour_16, page_views_report.hour_16),
    hour_17 = coalesce(page_views_report.hour_17 + excluded.hour_17, excluded.hour_17, page_views_report.hour_17),
    hour_18 = coalesce(page_views_report.hour_18 + excluded.hour_18, excluded.hour_18, page_views_report.hour_18),
    hour_19 = coalesce(page_views_report.hour_19 + excluded.hour_19, excluded.hour_19, page_views_report.hour_19),
    hour_20 = coalesce(page_views_report.hour_20 + excluded.hour_20, excluded.hour_20, page_views_report.hour_20),
    hour_21 = coalesce(page_views_report.hour_21 + excluded.hour_21, excluded.hour_21, page_views_report.hour_21),
    hour_22 = coalesce(page_views_report.hour_22 + excluded.hour_22, excluded.hour_22, page_views_report.hour_22),
    hour_23 = coalesce(page_views_report.hour_23 + excluded.hour_23, excluded.hour_23, page_views_report.hour_23)
