-- By how much the counts of the hour ?1 (date) and ?2 (hour of the day) differ from the report, of at most ?3 pages:
-- JSON, [[name, views, whether the report has the page on this day], ...]. {hour}: the column of this hour.
SELECT json_group_array(json_array(name, views, known))
FROM (
    SELECT
        counted.name,
        counted.views - coalesce(reported.{hour}, 0) AS views,
        reported.name IS NOT NULL AS known
    FROM page_views AS counted
    LEFT JOIN page_views_report AS reported
        ON reported.grain = 'day' AND reported.date = ?1 AND reported.name = counted.name
    WHERE counted.date = ?1 AND counted.hour = ?2 AND reported.{hour} IS NOT counted.views
    ORDER BY counted.name
    LIMIT ?3
)
