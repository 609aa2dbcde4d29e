-- $1 text[], $2 date[] and $4 text[]: pages, the last days on which they were viewed, and their titles, empty where there is none.
-- $3: the date of their rows.
INSERT INTO page_views_report (grain, date, name, views, title, last_date)
SELECT 'page', $3, sent.name, 0, nullif(sent.title, ''), sent.last_date
FROM unnest($1::text[], $2::date[], $4::text[]) AS sent (name, last_date, title)
ON CONFLICT (grain, date, name) DO UPDATE SET last_date = excluded.last_date
