-- Adds the changes of one day to the rows that pages have of the day.
-- $1: the day. $2: from how many views on its rows are flagged, or null. {hours_sent} and {hour_sets}: the hours of the day that
-- change.
UPDATE page_views_report AS report
SET views = report.views + delta.views,
    top = CASE WHEN report.views + delta.views >= $2::bigint THEN true ELSE report.top END{hour_sets}
FROM (
    SELECT name, sum(views)::bigint AS views{hours_sent}
    FROM merge_deltas
    WHERE date = $1 AND NOT new_in_day
    GROUP BY name
) AS delta
WHERE report.grain = 'day' AND report.date = $1 AND report.name = delta.name
