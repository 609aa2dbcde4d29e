-- What each hour changes by on the whole site, by how many pages, how many of them are new in the day and in the month, and
-- the most that a page changes by.
SELECT
    date, hour, sum(views)::bigint, count(*),
    count(*) FILTER (WHERE new_in_day), count(*) FILTER (WHERE new_in_month), max(views)
FROM merge_deltas
GROUP BY date, hour
