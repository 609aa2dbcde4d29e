-- By how much the counts of the hour ?1 (date) and ?2 (hour of the day) differ from the report, of at most ?3 of the pages ?4,
-- whose names are in order: JSON, [[name, views, whether the report has the page on this day], ...]. {hour}: the column of this hour.
SELECT json_group_array(json_array(name, views, known))
FROM (
    SELECT
        counted.name,
        counted.views - coalesce(reported.{hour}, 0) AS views,
        reported.name IS NOT NULL AS known
    FROM json_each(?4) AS stale
    CROSS JOIN page_views AS counted ON counted.date = ?1 AND counted.hour = ?2 AND counted.name = stale.value
    LEFT JOIN page_views_report AS reported
        ON reported.grain = 'day' AND reported.date = ?1 AND reported.name = counted.name
    WHERE reported.{hour} IS NOT counted.views
    ORDER BY stale.key
    LIMIT ?3
)
