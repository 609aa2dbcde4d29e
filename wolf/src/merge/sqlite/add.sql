-- ?1: the rows' grain and date; ?2: names, what their rows grow by, and by hour. Both are JSON, lists of lists. ?3 and ?4: from
-- how many views on rows of the day and of the month are flagged. {hour_names}, {hours_sent}, {hour_values} and {hour_sets}: the hours of the day that change.
WITH
-- The buckets, one row each.
bucket AS MATERIALIZED (
    SELECT value->>0 AS grain, value->>1 AS date FROM json_each(?1)
),
-- What the rows of each bucket grow by, in the order of names.
delta AS MATERIALIZED (
    SELECT value->>0 AS name, value->>1 AS views{hours_sent} FROM json_each(?2)
)
-- A bucket without a site's row has no rows: all that will be in it is counted and flagged.
INSERT INTO page_views_report AS report (grain, name, date, views, top, pages, last_pages, top_views{hour_names})
SELECT
    bucket.grain, delta.name, bucket.date, delta.views,
    CASE WHEN delta.name <> '' AND delta.views >= CASE bucket.grain WHEN 'day' THEN ?3 ELSE ?4 END THEN 1 END,
    CASE delta.name WHEN '' THEN 0 END,
    CASE WHEN delta.name = '' AND bucket.grain = 'day' THEN 0 END,
    CASE delta.name WHEN '' THEN 1 END{hour_values}
FROM bucket CROSS JOIN delta
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (grain, date, name) DO UPDATE
SET views = report.views + excluded.views,
    top = CASE
        WHEN report.name <> '' AND report.views + excluded.views
            >= CASE report.grain WHEN 'day' THEN ?3 ELSE ?4 END
        THEN 1
        ELSE report.top
    END{hour_sets}
