-- Copies the present report into the new one, in the order of the key. The rows of groups are built from it.
INSERT INTO page_views_report_next (
    grain, name, date, title, views, last_date,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    grain, name, date, title, views, last_date,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
FROM page_views_report WHERE grain IN ('day', 'month', 'page') ORDER BY grain, date, name
