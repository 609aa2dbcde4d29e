-- The rows of the report {target} for the pages' days from $1 up to $2, from their counts: each node those of its pages.
-- {hours}: the columns of the hours. {hour_sums}: their sums.
INSERT INTO {target} (grain, name, date, views, {hours})
SELECT 'day', name, date, CAST(sum(views) AS bigint), {hour_sums}
FROM (
    SELECT name, date, hour, views FROM page_views WHERE date >= $1::date AND date < $2::date
    UNION ALL
    -- The hours of these are not known any more.
    SELECT name, date, CAST(NULL AS smallint), views FROM kept_days WHERE date >= $1::date AND date < $2::date
) AS counted
GROUP BY name, date
