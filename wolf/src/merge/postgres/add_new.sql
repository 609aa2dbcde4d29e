-- $1 text[] and $2 bigint[]: names, and what their rows grow by. $3 and $4 bigint: from how many views on rows of the day and
-- of the month are flagged. {buckets}: the rows' grain and date. {hour_names}, {hour_arrays} and {hour_sets}: the hours of the
-- day that change.
WITH
-- The rows, inserted or added to. A bucket without a site's row has no rows: all that will be in it is counted and flagged.
written AS (
    INSERT INTO page_views_report AS report (
        grain, name, date, views, top, pages, last_pages, top_views{hour_names}
    )
    SELECT
        bucket.grain, delta.name, bucket.date, delta.views,
        CASE
            WHEN delta.name <> '' AND delta.views >= CASE bucket.grain WHEN 'day' THEN $3::bigint ELSE $4::bigint END
            THEN true
        END,
        CASE delta.name WHEN '' THEN 0 END,
        CASE WHEN delta.name = '' AND bucket.grain = 'day' THEN 0 END,
        CASE delta.name WHEN '' THEN 1 END{hour_values}
    FROM (VALUES {buckets}) AS bucket (grain, date)
    CROSS JOIN unnest($1::text[], $2::bigint[]{hour_arrays}) AS delta (name, views{hour_names})
    ON CONFLICT (grain, date, name) DO UPDATE
    SET views = report.views + excluded.views,
        top = CASE
            WHEN report.name <> ''
                AND report.views + excluded.views
                    >= CASE report.grain WHEN 'day' THEN $3::bigint ELSE $4::bigint END
            THEN true
            ELSE report.top
        END{hour_sets}
    -- An inserted row has never been locked or deleted by another transaction.
    RETURNING report.grain, report.name, report.xmax = 0 AS is_new
)
SELECT
    count(*),
    count(*) FILTER (WHERE is_new AND name <> '' AND grain = 'day'),
    count(*) FILTER (WHERE is_new AND name <> '' AND grain = 'month')
FROM written
