-- Which groups have another row than they should have: with why they have no sums. {building}: that they are being built.
-- {page_date}: the date of these rows. {limit}: the most differences that are returned.
SELECT
    'group' AS grain, coalesce(declared.name, report.name) AS name, {page_date} AS date, CAST(0 AS smallint) AS hour,
    declared.views AS expected_views, report.views AS reported_views, declared.problem AS expected_title,
    report.title AS reported_title, count(*) OVER () AS differences
FROM (
    SELECT name, CAST(0 AS bigint) AS views, coalesce(problem, CASE WHEN NOT is_complete THEN '{building}' END) AS problem
    FROM page_groups
    WHERE effective IS NOT NULL
) AS declared
FULL JOIN (SELECT name, views, title FROM page_views_report WHERE grain = 'group' AND date = {page_date}) AS report ON report.name = declared.name
WHERE declared.views IS DISTINCT FROM report.views OR declared.problem IS DISTINCT FROM report.title
ORDER BY 2
LIMIT {limit}
