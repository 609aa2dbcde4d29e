-- `views` is in no index and pages keep room, so that adding to a sum is a HOT update.
CREATE TABLE page_views_report_next (
    grain text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    date  date NOT NULL,
    hour  smallint NOT NULL,
    title text,
    views bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

INSERT INTO page_views_report_next (grain, name, date, hour, title, views)
SELECT grain, name, date, hour, title, views FROM page_views_report ORDER BY grain, date, hour, name;

CREATE UNIQUE INDEX page_views_report_next_key ON page_views_report_next (grain, name, date, hour);
CREATE INDEX page_views_report_next_by_hour ON page_views_report_next (grain, date, hour, name);
ANALYZE page_views_report_next;

DROP MATERIALIZED VIEW page_views_report;
ALTER TABLE page_views_report_next RENAME TO page_views_report;
ALTER INDEX page_views_report_next_key RENAME TO page_views_report_key;
ALTER INDEX page_views_report_next_by_hour RENAME TO page_views_report_by_hour;
