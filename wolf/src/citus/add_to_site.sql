-- Adds to the site's row of a bucket, or inserts it.
-- $1: the grain. $2: the date. $3: the views. $4 and $5: how many pages the bucket has, and from how many views on its rows are
-- flagged, or null. {hour_names}, {hour_arrays} and {hour_sets}: the hours of the day that change, from $6 on.
-- A day's new row tells of no page that was viewed last then: these are added after the pages' rows.
INSERT INTO page_views_report AS report (grain, name, date, views, pages, top_views, last_pages{hour_names})
VALUES ($1::text, '', $2, $3, $4, $5, CASE $1::text WHEN 'day' THEN 0 END{hour_arrays})
ON CONFLICT (grain, date, name) DO UPDATE
SET views = report.views + excluded.views{hour_sets}
