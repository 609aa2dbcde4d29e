-- Adds the changes of one day to the pages' rows of the day.
-- $1: the day. $2: from how many views on its rows are flagged, or null. {hour_names}, {hour_arrays} and {hour_sets}: the hours of
-- the day that change.
INSERT INTO page_views_report AS report (grain, name, date, views, top{hour_names})
SELECT 'day', name, date, sum(views)::bigint, CASE WHEN sum(views) >= $2::bigint THEN true END{hour_arrays}
FROM merge_deltas
WHERE date = $1
GROUP BY name, date
ON CONFLICT (grain, date, name) DO UPDATE
SET views = report.views + excluded.views,
    top = CASE WHEN report.views + excluded.views >= $2::bigint THEN true ELSE report.top END{hour_sets}
