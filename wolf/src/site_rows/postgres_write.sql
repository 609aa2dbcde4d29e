-- Writes what the site's rows tell of their buckets.
-- $1 text[], $2 date[]: the buckets' grains and dates. $3 and $4 bigint[]: how many pages they have, and from how many views
-- on their rows are flagged; -1 where it is not known.
UPDATE page_views_report AS report
SET pages = coalesce(nullif(sent.pages, -1), report.pages),
    top_views = coalesce(nullif(sent.top_views, -1), report.top_views)
FROM unnest($1::text[], $2::date[], $3::bigint[], $4::bigint[]) AS sent (grain, date, pages, top_views)
WHERE report.grain = sent.grain AND report.date = sent.date AND report.name = ''
    AND (report.pages <> sent.pages OR report.top_views <> sent.top_views)
