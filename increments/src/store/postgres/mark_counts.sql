-- Marks the hours of counts stale, with the names of the pages.
-- $1 text[], $2 date[] and $3 smallint[]: the counts' names, dates and hours.
INSERT INTO stale_hours (date, hour, names)
SELECT date, hour, array_agg(name)
FROM unnest($1::text[], $2::date[], $3::smallint[]) AS sent (name, date, hour)
GROUP BY date, hour
