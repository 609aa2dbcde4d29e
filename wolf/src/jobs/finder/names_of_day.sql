-- $1: a day. $2: a name, after which the pages come that have a row on this day.
SELECT name FROM page_views_report WHERE grain = 'day' AND date = $1 AND name > $2 ORDER BY name
