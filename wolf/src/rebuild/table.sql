-- `views` is in no index and pages keep room, so that adding to a sum is a HOT update: nearly as much room as there are
-- rows, since a refresh may change all rows of a page. Columns that are mostly null come last.
CREATE TABLE page_views_report_next (
    views      bigint NOT NULL,
    date       date NOT NULL,
    grain      text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    top        boolean,
    title      text,
    last_date  date,
    pages      bigint,
    last_pages bigint,
    top_views  bigint,
    hour_00 bigint, hour_01 bigint, hour_02 bigint, hour_03 bigint, hour_04 bigint, hour_05 bigint,
    hour_06 bigint, hour_07 bigint, hour_08 bigint, hour_09 bigint, hour_10 bigint, hour_11 bigint,
    hour_12 bigint, hour_13 bigint, hour_14 bigint, hour_15 bigint, hour_16 bigint, hour_17 bigint,
    hour_18 bigint, hour_19 bigint, hour_20 bigint, hour_21 bigint, hour_22 bigint, hour_23 bigint
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)
