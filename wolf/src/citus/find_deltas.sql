-- The counts that differ from the report, of the pages and hours whose marks are taken, and by how much.
INSERT INTO merge_deltas (name, date, hour, views, new_in_day, new_in_month)
SELECT
    counted.name, counted.date, counted.hour, counted.views - coalesce(reported.views, 0),
    reported.name IS NULL, month.name IS NULL
FROM (SELECT DISTINCT name, date, hour FROM stale_pages WHERE taken AND date IS NOT NULL) AS stale
JOIN page_views AS counted
    ON counted.name = stale.name AND counted.date = stale.date AND counted.hour = stale.hour
LEFT JOIN (
    SELECT day.name, day.date, hours.hour, hours.views
    FROM page_views_report AS day
    CROSS JOIN LATERAL (VALUES
        (0::smallint, day.hour_00), (1::smallint, day.hour_01), (2::smallint, day.hour_02), (3::smallint, day.hour_03),
        (4::smallint, day.hour_04), (5::smallint, day.hour_05), (6::smallint, day.hour_06), (7::smallint, day.hour_07),
        (8::smallint, day.hour_08), (9::smallint, day.hour_09), (10::smallint, day.hour_10), (11::smallint, day.hour_11),
        (12::smallint, day.hour_12), (13::smallint, day.hour_13), (14::smallint, day.hour_14), (15::smallint, day.hour_15),
        (16::smallint, day.hour_16), (17::smallint, day.hour_17), (18::smallint, day.hour_18), (19::smallint, day.hour_19),
        (20::smallint, day.hour_20), (21::smallint, day.hour_21), (22::smallint, day.hour_22), (23::smallint, day.hour_23)
    ) AS hours (hour, views)
    WHERE day.grain = 'day'
) AS reported
    ON reported.name = counted.name AND reported.date = counted.date AND reported.hour = counted.hour
LEFT JOIN page_views_report AS month
    ON month.grain = 'month' AND month.name = counted.name
    AND month.date = date_trunc('month', counted.date::timestamp)::date
WHERE reported.views IS DISTINCT FROM counted.views
