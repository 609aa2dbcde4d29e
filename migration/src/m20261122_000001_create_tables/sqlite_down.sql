DROP TABLE page_views_report;
DROP VIEW page_views_live;
DROP TABLE report_refreshes;
DROP TABLE idempotency_keys;
DROP TABLE stale_titles;
DROP TABLE stale_hours;
DROP TABLE page_views;
DROP TABLE pages;
