-- What each hour changes by on the whole site, by how many pages, and how many of them are new in the day and in the month.
SELECT
    date, hour, sum(views)::bigint, count(*),
    count(*) FILTER (WHERE new_in_day), count(*) FILTER (WHERE new_in_month)
FROM merge_deltas
GROUP BY date, hour
