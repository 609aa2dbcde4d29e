CREATE TABLE page_views_report (
    views bigint NOT NULL,
    date  date NOT NULL,
    hour  smallint NOT NULL,
    grain text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    title text
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

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
    CROSS JOIN generate_series(0, 23) AS of_day (hour)
    WHERE grain = 'day'
) AS hours
WHERE views IS NOT NULL;

INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT rows.grain, rows.name, rows.date, 0, CASE rows.grain WHEN 'month' THEN page.title END, rows.views
FROM page_views_report_before AS rows
LEFT JOIN page_views_report_before AS page ON page.grain = 'page' AND page.name = rows.name
WHERE rows.grain IN ('day', 'month');

DROP TABLE page_views_report_before;
