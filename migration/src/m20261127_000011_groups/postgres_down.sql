-- The definition of the report: always right, slow. The site's rows have the empty name. A day's row has the views of each
-- of its hours; a page's row, at the grain `page`, its title and the last day on which it was viewed.
CREATE OR REPLACE VIEW page_views_live AS
SELECT
    'day'::text COLLATE "C" AS grain, name, date, NULL::text AS title, NULL::date AS last_date, CAST(sum(views) AS bigint) AS views,
    CAST(sum(views) FILTER (WHERE hour = 0) AS bigint) AS hour_00, CAST(sum(views) FILTER (WHERE hour = 1) AS bigint) AS hour_01,
    CAST(sum(views) FILTER (WHERE hour = 2) AS bigint) AS hour_02, CAST(sum(views) FILTER (WHERE hour = 3) AS bigint) AS hour_03,
    CAST(sum(views) FILTER (WHERE hour = 4) AS bigint) AS hour_04, CAST(sum(views) FILTER (WHERE hour = 5) AS bigint) AS hour_05,
    CAST(sum(views) FILTER (WHERE hour = 6) AS bigint) AS hour_06, CAST(sum(views) FILTER (WHERE hour = 7) AS bigint) AS hour_07,
    CAST(sum(views) FILTER (WHERE hour = 8) AS bigint) AS hour_08, CAST(sum(views) FILTER (WHERE hour = 9) AS bigint) AS hour_09,
    CAST(sum(views) FILTER (WHERE hour = 10) AS bigint) AS hour_10, CAST(sum(views) FILTER (WHERE hour = 11) AS bigint) AS hour_11,
    CAST(sum(views) FILTER (WHERE hour = 12) AS bigint) AS hour_12, CAST(sum(views) FILTER (WHERE hour = 13) AS bigint) AS hour_13,
    CAST(sum(views) FILTER (WHERE hour = 14) AS bigint) AS hour_14, CAST(sum(views) FILTER (WHERE hour = 15) AS bigint) AS hour_15,
    CAST(sum(views) FILTER (WHERE hour = 16) AS bigint) AS hour_16, CAST(sum(views) FILTER (WHERE hour = 17) AS bigint) AS hour_17,
    CAST(sum(views) FILTER (WHERE hour = 18) AS bigint) AS hour_18, CAST(sum(views) FILTER (WHERE hour = 19) AS bigint) AS hour_19,
    CAST(sum(views) FILTER (WHERE hour = 20) AS bigint) AS hour_20, CAST(sum(views) FILTER (WHERE hour = 21) AS bigint) AS hour_21,
    CAST(sum(views) FILTER (WHERE hour = 22) AS bigint) AS hour_22, CAST(sum(views) FILTER (WHERE hour = 23) AS bigint) AS hour_23
FROM counted_hours GROUP BY name, date
UNION ALL
SELECT
    'day', '', date, NULL, NULL, CAST(sum(views) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 0) AS bigint), CAST(sum(views) FILTER (WHERE hour = 1) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 2) AS bigint), CAST(sum(views) FILTER (WHERE hour = 3) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 4) AS bigint), CAST(sum(views) FILTER (WHERE hour = 5) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 6) AS bigint), CAST(sum(views) FILTER (WHERE hour = 7) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 8) AS bigint), CAST(sum(views) FILTER (WHERE hour = 9) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 10) AS bigint), CAST(sum(views) FILTER (WHERE hour = 11) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 12) AS bigint), CAST(sum(views) FILTER (WHERE hour = 13) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 14) AS bigint), CAST(sum(views) FILTER (WHERE hour = 15) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 16) AS bigint), CAST(sum(views) FILTER (WHERE hour = 17) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 18) AS bigint), CAST(sum(views) FILTER (WHERE hour = 19) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 20) AS bigint), CAST(sum(views) FILTER (WHERE hour = 21) AS bigint),
    CAST(sum(views) FILTER (WHERE hour = 22) AS bigint), CAST(sum(views) FILTER (WHERE hour = 23) AS bigint)
FROM counted_hours GROUP BY date
UNION ALL
SELECT
    'month', name, date_trunc('month', date::timestamp)::date, NULL, NULL, CAST(sum(views) AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM counted_hours GROUP BY 2, 3
UNION ALL
SELECT
    'month', '', date_trunc('month', date::timestamp)::date, NULL, NULL, CAST(sum(views) AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM counted_hours GROUP BY 3
UNION ALL
SELECT
    'page', pages.name, '1970-01-01'::date, pages.title, viewed.last_date, 0,
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM pages
JOIN (SELECT name, max(date) AS last_date FROM counted_hours GROUP BY name) AS viewed ON viewed.name = pages.name;

DROP VIEW counted_hours_of_groups;
DROP TABLE page_groups;
DROP TABLE page_memberships;
UPDATE program_versions SET oldest_allowed = 'm20261127_000009_jobs';
