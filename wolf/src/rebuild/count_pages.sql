-- How many pages the buckets of the report {target} have.
UPDATE {target} SET pages = counted.pages
FROM (SELECT grain, date, count(*) AS pages FROM {target} WHERE name <> '' AND grain IN ('day', 'month') GROUP BY grain, date) AS counted
WHERE {target}.grain = counted.grain AND {target}.date = counted.date AND {target}.name = ''
