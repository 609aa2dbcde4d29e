-- What each hour changes by on the whole site.
SELECT date, hour, sum(views)::bigint FROM merge_deltas GROUP BY date, hour
