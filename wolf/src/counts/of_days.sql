-- The hourly counts of some pages' days. {sent}: the days, with `date` and `name`.
SELECT counted.date, counted.name, counted.hour, counted.views
FROM {sent}
CROSS JOIN page_views AS counted
WHERE counted.date = sent.date
    AND counted.hour IN (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)
    AND counted.name = sent.name
