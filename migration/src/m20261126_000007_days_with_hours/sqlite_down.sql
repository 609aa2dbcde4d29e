DROP VIEW page_views_live;
DROP VIEW counted_hours;
DROP INDEX page_views_report_of_site;
DROP INDEX page_views_report_top;
ALTER TABLE page_views_report RENAME TO page_views_report_before;

CREATE TABLE page_views_report (
    grain TEXT NOT NULL CHECK (grain IN ('hour', 'day', 'month')),
    name  TEXT NOT NULL,
    date  TEXT NOT NULL,
    hour  INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    title TEXT,
    views INTEGER NOT NULL,
    PRIMARY KEY (grain, date, hour, name)
) STRICT, WITHOUT ROWID;

INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT 'hour', name, date, hour, NULL, views
FROM (
    SELECT
        name, date, of_day.hour,
        CASE of_day.hour
            WHEN 0 THEN hour_00 WHEN 1 THEN hour_01 WHEN 2 THEN hour_02 WHEN 3 THEN hour_03 WHEN 4 THEN hour_04 WHEN 5 THEN hour_05
            WHEN 6 THEN hour_06 WHEN 7 THEN hour_07 WHEN 8 THEN hour_08 WHEN 9 THEN hour_09 WHEN 10 THEN hour_10 WHEN 11 THEN hour_11
            WHEN 12 THEN hour_12 WHEN 13 THEN hour_13 WHEN 14 THEN hour_14 WHEN 15 THEN hour_15 WHEN 16 THEN hour_16 WHEN 17 THEN hour_17
            WHEN 18 THEN hour_18 WHEN 19 THEN hour_19 WHEN 20 THEN hour_20 WHEN 21 THEN hour_21 WHEN 22 THEN hour_22 WHEN 23 THEN hour_23
        END AS views
    FROM page_views_report_before
    CROSS JOIN (WITH RECURSIVE of_day (hour) AS (SELECT 0 UNION ALL SELECT hour + 1 FROM of_day WHERE hour < 23) SELECT hour FROM of_day) AS of_day
    WHERE grain = 'day'
) AS hours
WHERE views IS NOT NULL;

INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT rows.grain, rows.name, rows.date, 0, CASE rows.grain WHEN 'month' THEN page.title END, rows.views
FROM page_views_report_before AS rows
LEFT JOIN page_views_report_before AS page ON page.grain = 'page' AND page.name = rows.name
WHERE rows.grain IN ('day', 'month');

DROP TABLE page_views_report_before;

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

ALTER TABLE stale_hours DROP COLUMN names;

UPDATE program_versions SET oldest_allowed = 'm20261126_000005_clients';
