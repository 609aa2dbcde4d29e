-- $1 date[] and $2 bigint[]: by how many the pages grow that were last viewed on each day.
UPDATE page_views_report AS report
SET last_pages = report.last_pages + sent.pages
FROM unnest($1::date[], $2::bigint[]) AS sent (date, pages)
WHERE report.grain = 'day' AND report.date = sent.date AND report.name = '' AND sent.pages <> 0
