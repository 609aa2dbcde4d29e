-- $1 text[] and $2 bigint[]: names, and what their rows grow by. $3 and $4 bigint: from how many views on rows of the day and
-- of the month are flagged. {buckets}: the rows' grain and date. {hour_names}, {hour_arrays} and {hour_sets}: the hours of the
-- day that change.
UPDATE page_views_report AS report
SET views = report.views + delta.views,
    top = CASE
        WHEN report.views + delta.views >= CASE report.grain WHEN 'day' THEN $3::bigint ELSE $4::bigint END THEN true
        ELSE report.top
    END{hour_sets}
FROM unnest($1::text[], $2::bigint[]{hour_arrays}) AS delta (name, views{hour_names})
CROSS JOIN (VALUES {buckets}) AS bucket (grain, date)
-- LIMIT keeps this what it is: one look-up of the key for each row.
CROSS JOIN LATERAL (
    SELECT reported.ctid FROM page_views_report AS reported
    WHERE reported.grain = bucket.grain AND reported.date = bucket.date AND reported.name = delta.name
    LIMIT 1
) AS found
WHERE report.ctid = found.ctid
