-- By how much the counts of the hour ?1 (date) and ?2 (hour of the day) differ from the report, of at most ?3 pages:
-- JSON, [[name, views, whether the report has the page in this hour], ...].
SELECT json_group_array(json_array(name, views, known))
FROM (
    SELECT
        counted.name,
        counted.views - coalesce(reported.views, 0) AS views,
        reported.name IS NOT NULL AS known
    FROM page_views AS counted
    LEFT JOIN page_views_report AS reported
        ON reported.grain = 'hour' AND reported.name = counted.name AND reported.date = ?1 AND reported.hour = ?2
    WHERE counted.date = ?1 AND counted.hour = ?2 AND reported.views IS NOT counted.views
    ORDER BY counted.name
    LIMIT ?3
)
