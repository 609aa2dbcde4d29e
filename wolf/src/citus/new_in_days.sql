-- How many pages are new in each day.
SELECT date, count(DISTINCT name) FROM merge_deltas WHERE new_in_day GROUP BY date
