-- How many pages of the report {target} were viewed on a day, and not since. Joined, and not looked up for each day: that
-- would read the rows of all pages as many times as there are days.
UPDATE {target} SET last_pages = counted.pages
FROM (
    SELECT site.date, coalesce(last_viewed.pages, 0) AS pages
    FROM {target} AS site
    LEFT JOIN (
        SELECT last_date, count(*) AS pages FROM {target} WHERE grain = 'page' GROUP BY last_date
    ) AS last_viewed ON last_viewed.last_date = site.date
    WHERE site.grain = 'day' AND site.name = ''
) AS counted
WHERE {target}.grain = 'day' AND {target}.name = '' AND {target}.date = counted.date
