CREATE MATERIALIZED VIEW page_views_report_next AS
    SELECT grain, name, date, hour, title, views FROM page_views_live;

CREATE UNIQUE INDEX page_views_report_next_key ON page_views_report_next (grain, name, date, hour);
CREATE INDEX page_views_report_next_by_hour ON page_views_report_next (grain, date, hour, name);
ANALYZE page_views_report_next;

DROP TABLE page_views_report;
ALTER MATERIALIZED VIEW page_views_report_next RENAME TO page_views_report;
ALTER INDEX page_views_report_next_key RENAME TO page_views_report_key;
ALTER INDEX page_views_report_next_by_hour RENAME TO page_views_report_by_hour;
