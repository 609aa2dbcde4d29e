-- The rows of some buckets. {sent}: the buckets, with `date` and `name`. {grain}: theirs.
SELECT
    report.date, report.name, report.views, report.top, report.pages, report.top_views,
    report.hour_00, report.hour_01, report.hour_02, report.hour_03, report.hour_04, report.hour_05,
    report.hour_06, report.hour_07, report.hour_08, report.hour_09, report.hour_10, report.hour_11,
    report.hour_12, report.hour_13, report.hour_14, report.hour_15, report.hour_16, report.hour_17,
    report.hour_18, report.hour_19, report.hour_20, report.hour_21, report.hour_22, report.hour_23
FROM {sent}
CROSS JOIN page_views_report AS report
WHERE report.grain = {grain} AND report.date = sent.date AND report.name = sent.name
