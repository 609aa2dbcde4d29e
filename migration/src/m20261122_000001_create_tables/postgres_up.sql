-- Names are compared by their bytes (COLLATE "C"): as the recorder sorts them, as a prefix is
-- looked up in an index, and several times faster than by a language's rules.

CREATE TABLE pages (
    name          text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    title         text,
    first_seen_at timestamptz NOT NULL
);

-- `views` and `updated_at` are in no index and pages keep room: an update stays HOT.
CREATE TABLE page_views (
    name       text COLLATE "C" NOT NULL,
    date       date NOT NULL,
    hour       smallint NOT NULL CHECK (hour BETWEEN 0 AND 23),
    views      bigint NOT NULL CHECK (views >= 0),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (name, date, hour)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX page_views_by_hour ON page_views (date, hour);

-- The sums of days whose hourly rows were dropped for their age.
CREATE TABLE kept_days (
    name  text COLLATE "C" NOT NULL,
    date  date NOT NULL,
    views bigint NOT NULL,
    PRIMARY KEY (name, date)
);

-- Append-only for writers, emptied by the Wolf: mostly dead rows, so vacuumed by number and not by share.
CREATE TABLE stale_hours (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date date NOT NULL,
    hour smallint NOT NULL CHECK (hour BETWEEN 0 AND 23)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

CREATE INDEX stale_hours_by_hour ON stale_hours (date, hour);

CREATE TABLE stale_titles (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

CREATE TABLE idempotency_keys (
    key         text COLLATE "C" PRIMARY KEY,
    fingerprint bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    kept        boolean NOT NULL
);

CREATE INDEX idempotency_keys_to_prune ON idempotency_keys (recorded_at) WHERE NOT kept;

CREATE TABLE report_refreshes (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    as_of           timestamptz,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    next_refresh_at timestamptz,
    overdue_at      timestamptz,
    hours_since     date,
    content_version bigint NOT NULL,
    hours           integer NOT NULL DEFAULT 0,
    rows_changed    bigint NOT NULL DEFAULT 0,
    error           text
);

-- All that is counted, by day.
CREATE VIEW counted_days AS
    SELECT name, date, views FROM page_views
UNION ALL
    SELECT name, date, views FROM kept_days;

-- The definition of the report: always right, slow. The site's rows have the empty name.
-- A title stands on month rows alone, so that a changed one touches a row a month.
CREATE VIEW page_views_live AS
    SELECT 'hour'::text COLLATE "C" AS grain, name, date, hour, NULL::text AS title, views
    FROM page_views
UNION ALL
    SELECT 'day', name, date, 0::smallint, NULL, sum(views)::bigint
    FROM counted_days GROUP BY name, date
UNION ALL
    SELECT 'month', month.name, month.date, 0::smallint, pages.title, month.views
    FROM (
        SELECT name, date_trunc('month', date::timestamp)::date AS date, sum(views)::bigint AS views
        FROM counted_days GROUP BY 1, 2
    ) AS month
    LEFT JOIN pages ON pages.name = month.name
UNION ALL
    SELECT 'hour', '', date, hour, NULL, sum(views)::bigint
    FROM page_views GROUP BY date, hour
UNION ALL
    SELECT 'day', '', date, 0::smallint, NULL, sum(views)::bigint
    FROM counted_days GROUP BY date
UNION ALL
    SELECT 'month', '', date_trunc('month', date::timestamp)::date, 0::smallint, NULL, sum(views)::bigint
    FROM counted_days GROUP BY 3;

CREATE MATERIALIZED VIEW page_views_report AS
    SELECT grain, name, date, hour, title, views FROM page_views_live;

-- All pages' rows of a range of time. Unique in this order: what a merge looks up lies side by side here.
CREATE UNIQUE INDEX page_views_report_key ON page_views_report (grain, date, hour, name);

-- One page's rows, or the site's, in the order of time. Without the hour, so that no look-up of a row prefers it.
CREATE INDEX page_views_report_by_name ON page_views_report (grain, name, date);
