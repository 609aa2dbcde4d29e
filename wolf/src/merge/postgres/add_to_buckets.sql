-- $1 text[] and $2 bigint[]: names, in order, and what their rows grow by. $3 and $4 bigint: from how many views on rows of
-- the day and of the month are flagged. {buckets}: the rows' grain and date. {hour_names}, {hour_arrays} and {hour_sets}: the
-- hours of the day that change.
UPDATE page_views_report AS report
SET views = report.views + delta.views,
    top = CASE
        WHEN report.views + delta.views >= CASE report.grain WHEN 'day' THEN $3::bigint ELSE $4::bigint END THEN true
        ELSE report.top
    END{hour_sets}
FROM unnest($1::text[], $2::bigint[]{hour_arrays}) AS delta (name, views{hour_names})
WHERE (report.grain, report.date) IN ({buckets})
    AND report.name BETWEEN ($1::text[])[1] AND ($1::text[])[cardinality($1)]
    AND report.name = delta.name
