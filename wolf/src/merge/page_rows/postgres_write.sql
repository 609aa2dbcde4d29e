-- $1 text[] and $2 date[]: pages, and the last days on which they were viewed. $3: the date of their rows.
INSERT INTO page_views_report (grain, date, name, views, title, last_date)
SELECT 'page', $3, sent.name, 0, (SELECT title FROM pages WHERE pages.name = sent.name), sent.last_date
FROM unnest($1::text[], $2::date[]) AS sent (name, last_date)
ON CONFLICT (grain, date, name) DO UPDATE SET last_date = excluded.last_date
