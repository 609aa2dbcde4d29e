-- Dates and times are ISO 8601 texts in UTC, which sort as what they mean.

CREATE TABLE pages (
    name          TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    title         TEXT,
    first_seen_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE page_views (
    name       TEXT NOT NULL,
    date       TEXT NOT NULL,
    hour       INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    views      INTEGER NOT NULL CHECK (views >= 0),
    updated_at TEXT NOT NULL,
    PRIMARY KEY (name, date, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX page_views_by_hour ON page_views (date, hour);

-- The sums of days whose hourly rows were dropped for their age.
CREATE TABLE kept_days (
    name  TEXT NOT NULL,
    date  TEXT NOT NULL,
    views INTEGER NOT NULL,
    PRIMARY KEY (name, date)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the ids of deleted marks do not return.
CREATE TABLE stale_hours (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    date TEXT NOT NULL,
    hour INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23)
) STRICT;

CREATE INDEX stale_hours_by_hour ON stale_hours (date, hour);

CREATE TABLE stale_titles (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    key         TEXT NOT NULL PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    recorded_at TEXT NOT NULL,
    kept        INTEGER NOT NULL CHECK (kept IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_to_prune ON idempotency_keys (recorded_at) WHERE NOT kept;

CREATE TABLE report_refreshes (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    as_of           TEXT,
    started_at      TEXT NOT NULL,
    finished_at     TEXT,
    next_refresh_at TEXT,
    overdue_at      TEXT,
    hours_since     TEXT,
    content_version INTEGER NOT NULL,
    hours           INTEGER NOT NULL DEFAULT 0,
    rows_changed    INTEGER NOT NULL DEFAULT 0,
    error           TEXT
) STRICT;

-- All that is counted, by day.
CREATE VIEW counted_days AS
    SELECT name, date, views FROM page_views
UNION ALL
    SELECT name, date, views FROM kept_days;

-- The definition of the report: always right, slow. The site's rows have the empty name.
-- A title stands on month rows alone, so that a changed one touches a row a month.
CREATE VIEW page_views_live AS
    SELECT 'hour' AS grain, name, date, hour, NULL AS title, views
    FROM page_views
UNION ALL
    SELECT 'day', name, date, 0, NULL, sum(views)
    FROM counted_days GROUP BY name, date
UNION ALL
    SELECT 'month', month.name, month.date, 0, pages.title, month.views
    FROM (
        SELECT name, date(date, 'start of month') AS date, sum(views) AS views
        FROM counted_days GROUP BY 1, 2
    ) AS month
    LEFT JOIN pages ON pages.name = month.name
UNION ALL
    SELECT 'hour', '', date, hour, NULL, sum(views)
    FROM page_views GROUP BY date, hour
UNION ALL
    SELECT 'day', '', date, 0, NULL, sum(views)
    FROM counted_days GROUP BY date
UNION ALL
    SELECT 'month', '', date(date, 'start of month'), 0, NULL, sum(views)
    FROM counted_days GROUP BY 3;

-- One page's rows, or the site's, in the order of time.
CREATE TABLE page_views_report (
    grain TEXT NOT NULL CHECK (grain IN ('hour', 'day', 'month')),
    name  TEXT NOT NULL,
    date  TEXT NOT NULL,
    hour  INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    title TEXT,
    views INTEGER NOT NULL,
    PRIMARY KEY (grain, name, date, hour)
) STRICT, WITHOUT ROWID;

-- All pages' rows of a range of time.
CREATE INDEX page_views_report_by_hour ON page_views_report (grain, date, hour, name);
