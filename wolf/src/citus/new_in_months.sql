-- How many pages are new in each month.
SELECT date_trunc('month', date::timestamp)::date, count(DISTINCT name) FROM merge_deltas WHERE new_in_month GROUP BY 1
