-- Inserts the rows of pages that are new in a month.
-- $1: the month's first day. $2: from how many views on its rows are flagged, or null.
INSERT INTO page_views_report (grain, name, date, views, top)
SELECT 'month', name, $1::date, sum(views)::bigint, CASE WHEN sum(views) >= $2::bigint THEN true END
FROM merge_deltas
WHERE date_trunc('month', date::timestamp)::date = $1 AND new_in_month
GROUP BY name
