-- Adds to a group's row of a bucket, or inserts it.
-- $1: the grain. $2: the date. $3: the group. $4: the views. {hour_names}, {hour_arrays} and {hour_sets}: the hours of the day that
-- change, from $5 on.
INSERT INTO page_views_report AS report (grain, date, name, views{hour_names})
VALUES ($1::text, $2, $3, $4{hour_arrays})
ON CONFLICT (grain, date, name) DO UPDATE
SET views = report.views + excluded.views{hour_sets}
