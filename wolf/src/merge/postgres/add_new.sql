-- $1 text[] and $2 bigint[]: names, and what their rows grow by. {buckets}: the rows' grain, date and hour.
INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT
    bucket.grain, delta.name, bucket.date, bucket.hour,
    CASE WHEN bucket.grain = 'month' THEN (SELECT title FROM pages WHERE pages.name = delta.name) END,
    delta.views
FROM (VALUES {buckets}) AS bucket (grain, date, hour)
CROSS JOIN unnest($1::text[], $2::bigint[]) AS delta (name, views)
ON CONFLICT (grain, name, date, hour) DO UPDATE SET views = page_views_report.views + excluded.views
