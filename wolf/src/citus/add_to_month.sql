-- Adds the changes of one month to the pages' rows of the month.
-- $1: the month's first day. $2: from how many views on its rows are flagged, or null.
INSERT INTO page_views_report AS report (grain, name, date, views, top)
SELECT 'month', name, $1::date, sum(views)::bigint, CASE WHEN sum(views) >= $2::bigint THEN true END
FROM merge_deltas
WHERE date_trunc('month', date::timestamp)::date = $1
GROUP BY name
ON CONFLICT (grain, date, name) DO UPDATE
SET views = report.views + excluded.views,
    top = CASE WHEN report.views + excluded.views >= $2::bigint THEN true ELSE report.top END
