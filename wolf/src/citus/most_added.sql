-- The most that a page grows by, in descending order, where it is at least $4. $1 and $2: the first day, and the one after the
-- last. $3: how many.
SELECT sum(views)::bigint
FROM merge_deltas
WHERE date >= $1 AND date < $2
GROUP BY name
HAVING sum(views) >= $4
ORDER BY 1 DESC
LIMIT $3
