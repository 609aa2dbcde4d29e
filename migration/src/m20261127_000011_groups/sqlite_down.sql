-- A table whose constraint changes is made anew, and a view that reads it goes first.
DROP VIEW page_views_live;
CREATE TABLE page_views_report_next (
    grain      TEXT NOT NULL CHECK (grain IN ('day', 'month', 'page')),
    date       TEXT NOT NULL,
    name       TEXT NOT NULL,
    views      INTEGER NOT NULL,
    top        INTEGER,
    title      TEXT,
    last_date  TEXT,
    pages      INTEGER,
    last_pages INTEGER,
    top_views  INTEGER,
    hour_00 INTEGER, hour_01 INTEGER, hour_02 INTEGER, hour_03 INTEGER, hour_04 INTEGER, hour_05 INTEGER,
    hour_06 INTEGER, hour_07 INTEGER, hour_08 INTEGER, hour_09 INTEGER, hour_10 INTEGER, hour_11 INTEGER,
    hour_12 INTEGER, hour_13 INTEGER, hour_14 INTEGER, hour_15 INTEGER, hour_16 INTEGER, hour_17 INTEGER,
    hour_18 INTEGER, hour_19 INTEGER, hour_20 INTEGER, hour_21 INTEGER, hour_22 INTEGER, hour_23 INTEGER,
    PRIMARY KEY (grain, date, name)
) STRICT, WITHOUT ROWID;
INSERT INTO page_views_report_next (
    grain, date, name, views, top, title, last_date, pages, last_pages, top_views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    grain, date, name, views, top, title, last_date, pages, last_pages, top_views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
FROM page_views_report WHERE grain IN ('day', 'month', 'page') ORDER BY grain, date, name;
DROP TABLE page_views_report;
ALTER TABLE page_views_report_next RENAME TO page_views_report;
-- The site's rows: which buckets there are.
CREATE INDEX page_views_report_of_site ON page_views_report (grain, date) WHERE name = '';
-- The rows that are among the most viewed of their bucket.
CREATE INDEX page_views_report_top ON page_views_report (grain, date) WHERE top;

-- The definition of the report: always right, slow. The site's rows have the empty name. A day's row has the views of each
-- of its hours; a page's row, at the grain `page`, its title and the last day on which it was viewed.
CREATE VIEW page_views_live AS
SELECT
    'day' AS grain, name, date, NULL AS title, NULL AS last_date, sum(views) AS views,
    CAST(sum(views) FILTER (WHERE hour = 0) AS INTEGER) AS hour_00, CAST(sum(views) FILTER (WHERE hour = 1) AS INTEGER) AS hour_01,
    CAST(sum(views) FILTER (WHERE hour = 2) AS INTEGER) AS hour_02, CAST(sum(views) FILTER (WHERE hour = 3) AS INTEGER) AS hour_03,
    CAST(sum(views) FILTER (WHERE hour = 4) AS INTEGER) AS hour_04, CAST(sum(views) FILTER (WHERE hour = 5) AS INTEGER) AS hour_05,
    CAST(sum(views) FILTER (WHERE hour = 6) AS INTEGER) AS hour_06, CAST(sum(views) FILTER (WHERE hour = 7) AS INTEGER) AS hour_07,
    CAST(sum(views) FILTER (WHERE hour = 8) AS INTEGER) AS hour_08, CAST(sum(views) FILTER (WHERE hour = 9) AS INTEGER) AS hour_09,
    CAST(sum(views) FILTER (WHERE hour = 10) AS INTEGER) AS hour_10, CAST(sum(views) FILTER (WHERE hour = 11) AS INTEGER) AS hour_11,
    CAST(sum(views) FILTER (WHERE hour = 12) AS INTEGER) AS hour_12, CAST(sum(views) FILTER (WHERE hour = 13) AS INTEGER) AS hour_13,
    CAST(sum(views) FILTER (WHERE hour = 14) AS INTEGER) AS hour_14, CAST(sum(views) FILTER (WHERE hour = 15) AS INTEGER) AS hour_15,
    CAST(sum(views) FILTER (WHERE hour = 16) AS INTEGER) AS hour_16, CAST(sum(views) FILTER (WHERE hour = 17) AS INTEGER) AS hour_17,
    CAST(sum(views) FILTER (WHERE hour = 18) AS INTEGER) AS hour_18, CAST(sum(views) FILTER (WHERE hour = 19) AS INTEGER) AS hour_19,
    CAST(sum(views) FILTER (WHERE hour = 20) AS INTEGER) AS hour_20, CAST(sum(views) FILTER (WHERE hour = 21) AS INTEGER) AS hour_21,
    CAST(sum(views) FILTER (WHERE hour = 22) AS INTEGER) AS hour_22, CAST(sum(views) FILTER (WHERE hour = 23) AS INTEGER) AS hour_23
FROM counted_hours GROUP BY name, date
UNION ALL
SELECT
    'day', '', date, NULL, NULL, sum(views),
    CAST(sum(views) FILTER (WHERE hour = 0) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 1) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 2) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 3) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 4) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 5) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 6) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 7) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 8) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 9) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 10) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 11) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 12) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 13) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 14) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 15) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 16) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 17) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 18) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 19) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 20) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 21) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 22) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 23) AS INTEGER)
FROM counted_hours GROUP BY date
UNION ALL
SELECT
    'month', name, date(date, 'start of month'), NULL, NULL, sum(views),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM counted_hours GROUP BY 2, 3
UNION ALL
SELECT
    'month', '', date(date, 'start of month'), NULL, NULL, sum(views),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM counted_hours GROUP BY 3
UNION ALL
SELECT
    'page', pages.name, '1970-01-01', pages.title, viewed.last_date, 0,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pages
JOIN (SELECT name, max(date) AS last_date FROM counted_hours GROUP BY name) AS viewed ON viewed.name = pages.name;

DROP VIEW counted_hours_of_groups;
DROP TABLE page_groups;
DROP TABLE page_memberships;
UPDATE program_versions SET oldest_allowed = 'm20261127_000009_jobs';
