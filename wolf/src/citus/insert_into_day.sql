-- Inserts the rows of pages that are new in a day.
-- $1: the day. $2: from how many views on its rows are flagged, or null. {hour_names} and {hour_arrays}: the hours of the day that
-- change.
INSERT INTO page_views_report (grain, name, date, views, top{hour_names})
SELECT 'day', name, date, sum(views)::bigint, CASE WHEN sum(views) >= $2::bigint THEN true END{hour_arrays}
FROM merge_deltas
WHERE date = $1 AND new_in_day
GROUP BY name, date
