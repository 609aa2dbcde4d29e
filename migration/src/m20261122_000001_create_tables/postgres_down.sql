-- The Wolf may have turned the report into a table.
DO $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'page_views_report'::regclass) = 'm' THEN
        DROP MATERIALIZED VIEW page_views_report;
    ELSE
        DROP TABLE page_views_report;
    END IF;
END $$;
DROP VIEW page_views_live;
DROP VIEW counted_days;
DROP TABLE report_refreshes;
DROP TABLE idempotency_keys;
DROP TABLE stale_titles;
DROP TABLE stale_hours;
DROP TABLE kept_days;
DROP TABLE page_views;
DROP TABLE pages;
