-- $1 text[] and $2 bigint[]: names, and what their rows grow by. {buckets}: the rows' grain, date and hour.
UPDATE page_views_report AS report
SET views = report.views + delta.views
FROM unnest($1::text[], $2::bigint[]) AS delta (name, views)
CROSS JOIN (VALUES {buckets}) AS bucket (grain, date, hour)
-- LIMIT keeps this what it is: one look-up of the key for each row.
CROSS JOIN LATERAL (
    SELECT reported.ctid FROM page_views_report AS reported
    WHERE reported.grain = bucket.grain AND reported.date = bucket.date AND reported.hour = bucket.hour
        AND reported.name = delta.name
    LIMIT 1
) AS found
WHERE report.ctid = found.ctid
