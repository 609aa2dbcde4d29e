-- The new report as a materialized view. It has no flags and no counts of pages: lists and counts read its rows.
CREATE MATERIALIZED VIEW page_views_report_next AS
SELECT
    grain, name, date, title, views, last_date,
    NULL::boolean AS top, NULL::bigint AS pages, NULL::bigint AS last_pages, NULL::bigint AS top_views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
FROM page_views_live
