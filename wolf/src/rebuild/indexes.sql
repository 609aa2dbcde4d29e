CREATE UNIQUE INDEX page_views_report_next_key ON page_views_report_next (grain, date, name);
CREATE INDEX page_views_report_next_of_site ON page_views_report_next (grain, date) WHERE name = '';
CREATE INDEX page_views_report_next_top ON page_views_report_next (grain, date) WHERE top;
ANALYZE page_views_report_next;
