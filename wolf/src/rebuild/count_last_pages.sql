-- How many pages of the report {target} were viewed on a day, and not since.
UPDATE {target} SET last_pages = coalesce((
    SELECT counted.pages FROM (
        SELECT last_date, count(*) AS pages FROM {target} WHERE grain = 'page' GROUP BY last_date
    ) AS counted
    WHERE counted.last_date = {target}.date
), 0)
WHERE grain = 'day' AND name = ''
