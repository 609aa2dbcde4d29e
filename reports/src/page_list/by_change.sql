-- Pages by how much their views changed: the name, the views, and the change without its sign.
-- {sums}: rows of pages with `views` in the interval, and `compared` and `previous` in the two parts that are compared.
-- {behind}: leaves out pages that come before the list. {limit}: the most pages.
SELECT name, views, change FROM (
    SELECT
        name, CAST(sum(views) AS bigint) AS views,
        CAST(abs(sum(compared) - sum(previous)) AS bigint) AS change
    FROM ({sums}) AS sums
    GROUP BY name
) AS page
{behind}
ORDER BY change DESC, name LIMIT {limit}
