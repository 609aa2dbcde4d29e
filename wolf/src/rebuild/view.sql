-- The new report as a materialized view.
CREATE MATERIALIZED VIEW page_views_report_next AS
SELECT grain, name, date, hour, title, views FROM page_views_live
