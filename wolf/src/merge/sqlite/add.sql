-- ?1: the rows' grain, date and hour; ?2: names, and what their rows grow by. Both are JSON, lists of lists.
WITH
-- The buckets, one row each.
bucket AS MATERIALIZED (
    SELECT value->>0 AS grain, value->>1 AS date, value->>2 AS hour FROM json_each(?1)
),
-- What the rows of each bucket grow by, in the order of names.
delta AS MATERIALIZED (
    SELECT value->>0 AS name, value->>1 AS views FROM json_each(?2)
)
INSERT INTO page_views_report (grain, name, date, hour, title, views)
SELECT
    bucket.grain, delta.name, bucket.date, bucket.hour,
    CASE bucket.grain WHEN 'month' THEN (SELECT title FROM pages WHERE pages.name = delta.name) END,
    delta.views
FROM bucket CROSS JOIN delta
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (grain, date, hour, name) DO UPDATE SET views = views + excluded.views
