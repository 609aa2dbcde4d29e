-- Where the sums of some rows of the report, {rows}, are not what the counts come to, by hour, day and month. A page's are compared
-- on its node; of others the nodes send the sums. {prefix}: how the grains of these rows begin. {name}: whose sums a count is in.
-- {groups} and {has_sums}: the groups of its page, and which sums they have. {marked}: the query of the marks. {limit}: the most
-- differences that are returned.
WITH
-- The hours whose counts changed since the last refresh: the report's views are believed.
marked AS (
    {marked}
)
SELECT
    grain, name, date, CAST(hour AS smallint) AS hour, expected_views, reported_views,
    CAST(NULL AS text) AS expected_title, CAST(NULL AS text) AS reported_title, count(*) OVER () AS differences
FROM (
    SELECT
        grain, name, date, hour,
        CAST(sum(expected) AS bigint) AS expected_views, CAST(sum(reported) AS bigint) AS reported_views
    FROM (
        SELECT
            '{prefix}' || sum_of.grain AS grain, {name} AS name, {bucket} AS date,
            CASE sum_of.grain WHEN 'hour' THEN counted.hour ELSE 0 END AS hour,
            sum(counted.views) AS expected, CAST(NULL AS bigint) AS reported
        FROM page_views AS counted
        CROSS JOIN unnest(ARRAY['hour', 'day', 'month']) AS sum_of (grain)
        {groups}
        WHERE NOT EXISTS (SELECT 1 FROM marked WHERE marked.date = counted.date AND marked.hour = counted.hour) {has_sums}
        GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT
            '{prefix}' || sum_of.grain, {name}, {bucket},
            CASE sum_of.grain WHEN 'hour' THEN marked.hour ELSE 0 END, sum((ARRAY[{hours}])[marked.hour + 1]), NULL
        FROM page_views_report AS counted
        JOIN marked ON marked.date = counted.date
        CROSS JOIN unnest(ARRAY['hour', 'day', 'month']) AS sum_of (grain)
        {groups}
        WHERE counted.grain = 'day' AND counted.name <> '' AND (ARRAY[{hours}])[marked.hour + 1] IS NOT NULL {has_sums}
        GROUP BY 1, 2, 3, 4
        UNION ALL
        -- The hours of these are not known any more.
        SELECT '{prefix}' || sum_of.grain, {name}, {bucket}, 0, sum(counted.views), NULL
        FROM kept_days AS counted
        CROSS JOIN unnest(ARRAY['day', 'month']) AS sum_of (grain)
        {groups}
        WHERE true {has_sums}
        GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT '{prefix}hour', counted.name, counted.date, CAST(of_day.number - 1 AS int), NULL, of_day.views
        FROM page_views_report AS counted
        CROSS JOIN LATERAL unnest(ARRAY[{hours}]) WITH ORDINALITY AS of_day (views, number)
        WHERE counted.grain = '{prefix}day' AND {rows} AND of_day.views IS NOT NULL
        UNION ALL
        SELECT counted.grain, counted.name, counted.date, 0, NULL, counted.views
        FROM page_views_report AS counted
        WHERE counted.grain IN ('{prefix}day', '{prefix}month') AND {rows}
    ) AS sums
    GROUP BY grain, name, date, hour
    HAVING sum(expected) IS DISTINCT FROM sum(reported)
) AS differing
ORDER BY grain, date, hour, name
LIMIT {limit}
