-- How many rows of each bucket are flagged.
SELECT grain, date, count(*) FROM page_views_report WHERE top AND (grain, date) IN ({buckets}) GROUP BY grain, date
