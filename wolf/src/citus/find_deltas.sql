-- The counts that differ from the report, of the pages and hours whose marks are taken, and by how much.
INSERT INTO merge_deltas (name, date, hour, views, new_in_day, new_in_month)
SELECT name, date, hour, views - coalesce(reported, 0), new_in_day, new_in_month
FROM (
    SELECT
        counted.name, counted.date, counted.hour, counted.views,
        CASE counted.hour
            WHEN 0 THEN day.hour_00 WHEN 1 THEN day.hour_01 WHEN 2 THEN day.hour_02 WHEN 3 THEN day.hour_03
            WHEN 4 THEN day.hour_04 WHEN 5 THEN day.hour_05 WHEN 6 THEN day.hour_06 WHEN 7 THEN day.hour_07
            WHEN 8 THEN day.hour_08 WHEN 9 THEN day.hour_09 WHEN 10 THEN day.hour_10 WHEN 11 THEN day.hour_11
            WHEN 12 THEN day.hour_12 WHEN 13 THEN day.hour_13 WHEN 14 THEN day.hour_14 WHEN 15 THEN day.hour_15
            WHEN 16 THEN day.hour_16 WHEN 17 THEN day.hour_17 WHEN 18 THEN day.hour_18 WHEN 19 THEN day.hour_19
            WHEN 20 THEN day.hour_20 WHEN 21 THEN day.hour_21 WHEN 22 THEN day.hour_22 WHEN 23 THEN day.hour_23
        END AS reported,
        day.name IS NULL AS new_in_day,
        -- A page that has a row of the day has one of the month, which need not be looked up.
        CASE WHEN day.name IS NULL THEN NOT EXISTS (
            SELECT FROM page_views_report AS month
            WHERE month.grain = 'month' AND month.name = counted.name
                AND month.date = date_trunc('month', counted.date::timestamp)::date
        ) ELSE false END AS new_in_month
    FROM (SELECT DISTINCT name, date, hour FROM stale_pages WHERE taken AND date IS NOT NULL) AS stale
    JOIN page_views AS counted
        ON counted.name = stale.name AND counted.date = stale.date AND counted.hour = stale.hour
    LEFT JOIN page_views_report AS day
        ON day.grain = 'day' AND day.name = counted.name AND day.date = counted.date
) AS compared
WHERE reported IS DISTINCT FROM views
