-- The other sums of the report {target}, from its rows of pages by day: first the months of the pages, each on its node, then the
-- rows of the whole site, whose name is empty and which count the pages. {hours}: the columns of the hours. {sums_of_hours}: their
-- sums.
INSERT INTO {target} (grain, name, date, views)
SELECT 'month', name, date_trunc('month', date::timestamp)::date, CAST(sum(views) AS bigint)
FROM {target}
WHERE grain = 'day' AND name <> ''
GROUP BY 2, 3;
INSERT INTO {target} (grain, name, date, views, pages, {hours})
SELECT 'day', '', date, CAST(sum(views) AS bigint), count(*), {sums_of_hours}
FROM {target}
WHERE grain = 'day' AND name <> ''
GROUP BY date;
INSERT INTO {target} (grain, name, date, views, pages)
SELECT 'month', '', date, CAST(sum(views) AS bigint), count(*)
FROM {target}
WHERE grain = 'month' AND name <> ''
GROUP BY date;
