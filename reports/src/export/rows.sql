-- The next rows of days, in the order of the key, with one lower bound, so that it is found by the key.
SELECT row.date, {hours}, row.name, row.views
FROM page_views_report AS row
WHERE row.grain = 'day' AND {begin} AND row.date < {end} AND row.name <> '' AND {condition}
ORDER BY row.date, row.name
LIMIT {rows_max}
