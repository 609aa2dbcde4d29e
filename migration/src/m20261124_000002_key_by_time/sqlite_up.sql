-- A table that a view reads can't be replaced: the views go first and come back, as they were.
DROP VIEW page_views_live;
DROP VIEW counted_days;

CREATE TABLE page_views_next (
    name       TEXT NOT NULL,
    date       TEXT NOT NULL,
    hour       INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    views      INTEGER NOT NULL CHECK (views >= 0),
    updated_at TEXT NOT NULL,
    PRIMARY KEY (date, hour, name)
) STRICT, WITHOUT ROWID;

INSERT INTO page_views_next (name, date, hour, views, updated_at)
SELECT name, date, hour, views, updated_at FROM page_views ORDER BY date, hour, name;

DROP TABLE page_views;
ALTER TABLE page_views_next RENAME TO page_views;

-- All pages' rows of a range of time.
CREATE TABLE page_views_report_next (
    grain TEXT NOT NULL CHECK (grain IN ('hour', 'day', 'month')),
    name  TEXT NOT NULL,
    date  TEXT NOT NULL,
    hour  INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    title TEXT,
    views INTEGER NOT NULL,
    PRIMARY KEY (grain, date, hour, name)
) STRICT, WITHOUT ROWID;

INSERT INTO page_views_report_next (grain, name, date, hour, title, views)
SELECT grain, name, date, hour, title, views FROM page_views_report ORDER BY grain, date, hour, name;

DROP TABLE page_views_report;
ALTER TABLE page_views_report_next RENAME TO page_views_report;

-- One page's rows, or the site's, in the order of time.
CREATE INDEX page_views_report_by_name ON page_views_report (grain, name, date, hour);

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
