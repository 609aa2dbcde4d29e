-- `views` is in no index and pages keep room, so that adding to a sum is a HOT update.
CREATE TABLE page_views_report_next (
    grain text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    date  date NOT NULL,
    hour  smallint NOT NULL,
    title text,
    views bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
