-- The same as viewed.sql, each node reading all days of its pages: rows of different nodes can't be looked up by one another.
SELECT begun.name, {first_hours}, {last_hours}, page_row.title
FROM (
    SELECT page.name, min(page.date) AS first_date
    FROM page_views_report AS page
    WHERE page.grain = 'day' AND {condition}
    GROUP BY page.name
) AS begun
JOIN page_views_report AS page_row
    ON page_row.grain = 'page' AND page_row.date = {page_date} AND page_row.name = begun.name
JOIN page_views_report AS first ON first.grain = 'day' AND first.date = begun.first_date AND first.name = begun.name
JOIN page_views_report AS last ON last.grain = 'day' AND last.date = page_row.last_date AND last.name = begun.name
