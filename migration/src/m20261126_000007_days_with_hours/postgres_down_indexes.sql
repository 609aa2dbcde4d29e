CREATE UNIQUE INDEX page_views_report_key ON page_views_report (grain, date, hour, name);
CREATE INDEX page_views_report_by_name ON page_views_report (grain, name, date);
