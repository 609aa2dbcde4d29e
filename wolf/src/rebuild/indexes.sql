CREATE UNIQUE INDEX page_views_report_next_key ON page_views_report_next (grain, name, date, hour);
CREATE INDEX page_views_report_next_by_hour ON page_views_report_next (grain, date, hour, name);
ANALYZE page_views_report_next;
