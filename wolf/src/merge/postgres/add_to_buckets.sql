-- $1 text[] and $2 bigint[]: names, in order, and what their rows grow by. {buckets}: the rows' grain, date and hour.
UPDATE page_views_report AS report
SET views = report.views + delta.views
FROM unnest($1::text[], $2::bigint[]) AS delta (name, views)
WHERE (report.grain, report.date, report.hour) IN ({buckets})
    AND report.name BETWEEN ($1::text[])[1] AND ($1::text[])[cardinality($1)]
    AND report.name = delta.name
