-- Copies the present report into the new one, in the order of the key.
INSERT INTO page_views_report_next (grain, name, date, hour, title, views)
SELECT grain, name, date, hour, title, views FROM page_views_report ORDER BY grain, date, hour, name
