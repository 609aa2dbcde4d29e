-- Adds the changes of one day to the pages' rows of the day.
-- $1: the day. $2: from how many views on its rows are flagged, or null.
INSERT INTO page_views_report AS report (
    grain, name, date, views, top,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    'day', name, date, sum(views)::bigint, CASE WHEN sum(views) >= $2::bigint THEN true END,
    CAST(sum(views) FILTER (WHERE hour = 0) AS bigint), CAST(sum(views) FILTER (WHERE hour = 1) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 2) AS bigint), CAST(sum(views) FILTER (WHERE hour = 3) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 4) AS bigint), CAST(sum(views) FILTER (WHERE hour = 5) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 6) AS bigint), CAST(sum(views) FILTER (WHERE hour = 7) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 8) AS bigint), CAST(sum(views) FILTER (WHERE hour = 9) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 10) AS bigint), CAST(sum(views) FILTER (WHERE hour = 11) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 12) AS bigint), CAST(sum(views) FILTER (WHERE hour = 13) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 14) AS bigint), CAST(sum(views) FILTER (WHERE hour = 15) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 16) AS bigint), CAST(sum(views) FILTER (WHERE hour = 17) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 18) AS bigint), CAST(sum(views) FILTER (WHERE hour = 19) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 20) AS bigint), CAST(sum(views) FILTER (WHERE hour = 21) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 22) AS bigint), CAST(sum(views) FILTER (WHERE hour = 23) AS bigint)
FROM merge_deltas
WHERE date = $1
GROUP BY name, date
ON CONFLICT (grain, date, name) DO UPDATE
SET views = report.views + excluded.views,
    top = CASE WHEN report.views + excluded.views >= $2::bigint THEN true ELSE report.top END,
    hour_00 = coalesce(report.hour_00 + excluded.hour_00, excluded.hour_00, report.hour_00),
    hour_01 = coalesce(report.hour_01 + excluded.hour_01, excluded.hour_01, report.hour_01),
    hour_02 = coalesce(report.hour_02 + excluded.hour_02, excluded.hour_02, report.hour_02),
    hour_03 = coalesce(report.hour_03 + excluded.hour_03, excluded.hour_03, report.hour_03),
    hour_04 = coalesce(report.hour_04 + excluded.hour_04, excluded.hour_04, report.hour_04),
    hour_05 = coalesce(report.hour_05 + excluded.hour_05, excluded.hour_05, report.hour_05),
    hour_06 = coalesce(report.hour_06 + excluded.hour_06, excluded.hour_06, report.hour_06),
    hour_07 = coalesce(report.hour_07 + excluded.hour_07, excluded.hour_07, report.hour_07),
    hour_08 = coalesce(report.hour_08 + excluded.hour_08, excluded.hour_08, report.hour_08),
    hour_09 = coalesce(report.hour_09 + excluded.hour_09, excluded.hour_09, report.hour_09),
    hour_10 = coalesce(report.hour_10 + excluded.hour_10, excluded.hour_10, report.hour_10),
    hour_11 = coalesce(report.hour_11 + excluded.hour_11, excluded.hour_11, report.hour_11),
    hour_12 = coalesce(report.hour_12 + excluded.hour_12, excluded.hour_12, report.hour_12),
    hour_13 = coalesce(report.hour_13 + excluded.hour_13, excluded.hour_13, report.hour_13),
    hour_14 = coalesce(report.hour_14 + excluded.hour_14, excluded.hour_14, report.hour_14),
    hour_15 = coalesce(report.hour_15 + excluded.hour_15, excluded.hour_15, report.hour_15),
    hour_16 = coalesce(report.hour_16 + excluded.hour_16, excluded.hour_16, report.hour_16),
    hour_17 = coalesce(report.hour_17 + excluded.hour_17, excluded.hour_17, report.hour_17),
    hour_18 = coalesce(report.hour_18 + excluded.hour_18, excluded.hour_18, report.hour_18),
    hour_19 = coalesce(report.hour_19 + excluded.hour_19, excluded.hour_19, report.hour_19),
    hour_20 = coalesce(report.hour_20 + excluded.hour_20, excluded.hour_20, report.hour_20),
    hour_21 = coalesce(report.hour_21 + excluded.hour_21, excluded.hour_21, report.hour_21),
    hour_22 = coalesce(report.hour_22 + excluded.hour_22, excluded.hour_22, report.hour_22),
    hour_23 = coalesce(report.hour_23 + excluded.hour_23, excluded.hour_23, report.hour_23)
