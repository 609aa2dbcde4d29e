CREATE UNIQUE INDEX page_views_report_next_key ON page_views_report_next (grain, date, hour, name);
CREATE INDEX page_views_report_next_by_name ON page_views_report_next (grain, name, date);
ANALYZE page_views_report_next;
