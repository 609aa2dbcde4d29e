-- The candidates of a list, most views possible first: the most views of a page without a flag (null if the rows of a bucket are
-- not flagged), and of each candidate the name, by how much its upper bound is above that, and its exact views. There is one
-- row at least.
-- {parts}: the site's rows of each part of the range. {buckets}: all of them. {flagged}: the flagged rows of these buckets.
-- {behind}: leaves out pages that certainly come before the list. {limit}: the most candidates. {exact}: a candidate's views.
WITH {parts}
-- The number of buckets, and the most views of a page that is flagged in none of them.
bound AS (
    SELECT
        count(*) AS buckets,
        CASE WHEN count(*) = count(top_views) THEN CAST(coalesce(sum(top_views - 1), 0) AS bigint) END AS unflagged_max
    FROM ({buckets}) AS bucket
),
-- The pages with the most views possible: in how many buckets they are flagged, the least that they have, and by how much the
-- most is above that of a page without flags.
candidate AS (
    SELECT
        name, count(*) AS flags, CAST(sum(views) AS bigint) AS least,
        CAST(sum(views - top_views + 1) AS bigint) AS more
    FROM ({flagged}) AS flagged
    GROUP BY name {behind}
    ORDER BY more DESC, name LIMIT {limit}
)
SELECT unflagged_max, name, more, CASE WHEN flags = buckets THEN least ELSE {exact} END
FROM bound LEFT JOIN candidate ON true
ORDER BY more DESC, name
