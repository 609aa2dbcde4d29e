-- `views` is in no index and pages keep room, so that adding to a sum is a HOT update. Columns that are mostly null come last.
CREATE TABLE page_views_report (
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
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- A day with the views of its hours. Hours were dropped of days that are older than --keep-hours.
INSERT INTO page_views_report (
    grain, name, date, views, pages,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    'day', name, date, CAST(sum(views) FILTER (WHERE grain = 'day') AS bigint), NULL,
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 0) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 1) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 2) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 3) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 4) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 5) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 6) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 7) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 8) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 9) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 10) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 11) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 12) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 13) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 14) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 15) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 16) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 17) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 18) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 19) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 20) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 21) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 22) AS bigint),
    CAST(sum(views) FILTER (WHERE grain = 'hour' AND hour = 23) AS bigint)
FROM page_views_report_before WHERE grain IN ('hour', 'day') GROUP BY name, date;

INSERT INTO page_views_report (grain, name, date, views) SELECT 'month', name, date, views FROM page_views_report_before WHERE grain = 'month';

-- A row a page: its title, and the last day on which it was viewed.
INSERT INTO page_views_report (grain, name, date, views, title, last_date)
SELECT 'page', days.name, '1970-01-01'::date, 0, months.title, days.last_date
FROM (SELECT name, max(date) AS last_date FROM page_views_report WHERE grain = 'day' AND name <> '' GROUP BY name) AS days
LEFT JOIN (
    SELECT name, max(title) AS title FROM page_views_report_before WHERE grain = 'month' GROUP BY name
) AS months ON months.name = days.name;

-- How many pages each bucket has.
UPDATE page_views_report SET pages = counted.pages
FROM (SELECT grain, date, count(*) AS pages FROM page_views_report WHERE name <> '' AND grain <> 'page' GROUP BY grain, date) AS counted
WHERE page_views_report.grain = counted.grain AND page_views_report.date = counted.date AND page_views_report.name = '';

-- And how many of them were last viewed on each day.
UPDATE page_views_report SET last_pages = 0 WHERE grain = 'day' AND name = '';
UPDATE page_views_report SET last_pages = counted.pages
FROM (SELECT last_date, count(*) AS pages FROM page_views_report WHERE grain = 'page' GROUP BY last_date) AS counted
WHERE page_views_report.grain = 'day' AND page_views_report.date = counted.last_date AND page_views_report.name = '';

DROP TABLE page_views_report_before;
