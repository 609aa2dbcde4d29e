-- `views` is in no index and pages keep room, so that adding to a sum is a HOT update: nearly as much room as there are
-- rows, since a refresh may change all rows of a page. Columns of fixed size come first, which saves what aligning them takes.
CREATE TABLE page_views_report_next (
    views bigint NOT NULL,
    date  date NOT NULL,
    hour  smallint NOT NULL,
    grain text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    title text
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
