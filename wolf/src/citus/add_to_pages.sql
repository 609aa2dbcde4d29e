-- Adds the changes to the rows that pages have of the days and months.
-- {top_views}: from how many views on the rows of a bucket are flagged, or null. {hours_sent}, {no_hours} and {hour_sets}: the hours
-- of the day that change, which a month's rows do not have.
UPDATE page_views_report AS report
SET views = report.views + delta.views,
    top = CASE WHEN report.views + delta.views >= {top_views} THEN true ELSE report.top END{hour_sets}
FROM (
    SELECT 'day' AS grain, name, date, sum(views)::bigint AS views{hours_sent}
    FROM merge_deltas
    WHERE NOT new_in_day
    GROUP BY name, date
    UNION ALL
    SELECT 'month', name, date_trunc('month', date::timestamp)::date, sum(views)::bigint{no_hours}
    FROM merge_deltas
    WHERE NOT new_in_month
    GROUP BY name, date_trunc('month', date::timestamp)::date
) AS delta
WHERE report.grain = delta.grain AND report.date = delta.date AND report.name = delta.name
