-- Programs from before would leave the sums of groups as they are.
UPDATE program_versions SET oldest_allowed = 'm20261127_000011_groups';

-- The groups of pages that are declared.
CREATE TABLE page_groups (
    name        text COLLATE "C" PRIMARY KEY,
    -- The patterns that are declared, as a JSON list; null when the group is to be removed.
    rules       text,
    -- The patterns that the report goes by, or is being built by; null before the first refresh, and when the group is removed.
    effective   text,
    -- Whether the report has the sums of the group.
    is_complete boolean NOT NULL,
    -- Why the report can't have them.
    problem     text,
    -- The last page whose groups are brought to the rules; null when all are.
    walked_to   text,
    -- The report has the sums from this day on; null when it has none, or all.
    built_from  date
);

-- The groups of each page of the report, as a JSON list. Empty while there are no groups.
CREATE TABLE page_memberships (
    name      text COLLATE "C" PRIMARY KEY,
    member_of text NOT NULL
);

-- Where the tables of a Citus cluster are distributed already, this view is on all nodes, and can't be given tables that are not.
-- A new one stays on the coordinator. It can't be dropped where the report is a materialized view, which depends on it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
        AND EXISTS (SELECT FROM pg_class WHERE oid = 'page_views_report'::regclass AND relkind = 'r') THEN
        DROP VIEW page_views_live;
    END IF;
END;
$$;

-- All that is counted of each group, by day and hour.
CREATE VIEW counted_hours_of_groups AS
SELECT
    page_groups.name AS group_name, page_groups.is_complete, page_groups.built_from,
    counted_hours.date, date_trunc('month', counted_hours.date::timestamp)::date AS month,
    counted_hours.hour, counted_hours.views
FROM counted_hours
JOIN page_memberships ON page_memberships.name = counted_hours.name
CROSS JOIN LATERAL jsonb_array_elements_text(page_memberships.member_of::jsonb) AS member_of (group_name)
JOIN page_groups ON page_groups.name = member_of.group_name
WHERE page_groups.effective IS NOT NULL AND page_groups.problem IS NULL;

-- The definition of the report: always right, slow. The site's rows have the empty name. A day's row has the views of each
-- of its hours; a page's row, at the grain `page`, its title and the last day on which it was viewed. The rows of groups have
-- grains of their own, so that no page's name collides with theirs.
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
JOIN (SELECT name, max(date) AS last_date FROM counted_hours GROUP BY name) AS viewed ON viewed.name = pages.name
UNION ALL
-- The groups of each page that is in any.
SELECT
    'member', name, '1970-01-01'::date, member_of, NULL, 0,
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM page_memberships
WHERE member_of <> '[]' AND EXISTS (SELECT 1 FROM counted_hours WHERE counted_hours.name = page_memberships.name)
UNION ALL
-- The groups, each with the reason why its sums are not complete. A page that was counted just now may have no groups yet.
SELECT
    'group', name, '1970-01-01'::date,
    CASE
        WHEN problem IS NOT NULL THEN problem
        WHEN NOT is_complete THEN 'it is being built'
        WHEN EXISTS (
            SELECT 1 FROM counted_hours
            WHERE NOT EXISTS (SELECT 1 FROM page_memberships WHERE page_memberships.name = counted_hours.name)
        ) THEN 'it is being built'
    END,
    NULL, 0,
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM page_groups WHERE effective IS NOT NULL
UNION ALL
SELECT
    'group_day', group_name, date, NULL, NULL, CAST(sum(views) AS bigint),
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
FROM counted_hours_of_groups
WHERE is_complete OR date >= built_from
GROUP BY group_name, date
UNION ALL
SELECT
    'group_month', group_name, month, NULL, NULL, CAST(sum(views) AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint),
    CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint), CAST(NULL AS bigint)
FROM counted_hours_of_groups
WHERE is_complete OR month >= built_from
GROUP BY group_name, month;
