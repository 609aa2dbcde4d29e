-- The last of some buckets in which each page has a row. {sent}: the buckets, with `date` and `name`. {grain}: theirs.
SELECT sent.name, max(report.date)
FROM {sent}
CROSS JOIN page_views_report AS report
WHERE report.grain = {grain} AND report.date = sent.date AND report.name = sent.name
GROUP BY sent.name
