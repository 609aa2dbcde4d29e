-- Adds the changes of one month to the rows that pages have of the month.
-- $1: the month's first day. $2: from how many views on its rows are flagged, or null.
UPDATE page_views_report AS report
SET views = report.views + delta.views,
    top = CASE WHEN report.views + delta.views >= $2::bigint THEN true ELSE report.top END
FROM (
    SELECT name, sum(views)::bigint AS views
    FROM merge_deltas
    WHERE date_trunc('month', date::timestamp)::date = $1 AND NOT new_in_month
    GROUP BY name
) AS delta
WHERE report.grain = 'month' AND report.date = $1 AND report.name = delta.name
