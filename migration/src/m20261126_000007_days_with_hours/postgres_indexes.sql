-- The rows of a bucket by name.
CREATE UNIQUE INDEX page_views_report_key ON page_views_report (grain, date, name);
-- The site's rows: which buckets there are.
CREATE INDEX page_views_report_of_site ON page_views_report (grain, date) WHERE name = '';
-- The rows that are among the most viewed of their bucket.
CREATE INDEX page_views_report_top ON page_views_report (grain, date) WHERE top;
