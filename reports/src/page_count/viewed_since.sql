-- How many pages of {viewed}, which have views in the last hours of a day, were not viewed on a later day.
-- {page_date}: the date of the pages' rows. {day}: the day.
SELECT count(*) FROM ({viewed}) AS viewed
JOIN page_views_report AS page ON page.grain = 'page' AND page.date = {page_date} AND page.name = viewed.name
WHERE page.last_date = {day}
