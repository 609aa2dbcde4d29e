-- ?1: JSON, [[page, the last day on which it was viewed], ...]. ?2: the date of the pages' rows.
INSERT INTO page_views_report (grain, date, name, views, title, last_date)
SELECT 'page', ?2, value->>0, 0, (SELECT title FROM pages WHERE pages.name = value->>0), value->>1
FROM json_each(?1)
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (grain, date, name) DO UPDATE SET last_date = excluded.last_date
