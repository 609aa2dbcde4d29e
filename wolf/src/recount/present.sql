-- Those of some buckets in which a page has a row. {sent}: the buckets, with `date` and `name`. {grain}: theirs.
SELECT report.date, report.name
FROM {sent}
CROSS JOIN page_views_report AS report
WHERE report.grain = {grain} AND report.date = sent.date AND report.name = sent.name
