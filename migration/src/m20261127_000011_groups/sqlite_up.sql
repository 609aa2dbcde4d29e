-- Programs from before would leave the sums of groups as they are.
UPDATE program_versions SET oldest_allowed = 'm20261127_000011_groups';

-- The groups of pages that are declared.
CREATE TABLE page_groups (
    name        TEXT PRIMARY KEY,
    -- The patterns that are declared, as a JSON list; null when the group is to be removed.
    rules       TEXT,
    -- The patterns that the report goes by, or is being built by; null before the first refresh, and when the group is removed.
    effective   TEXT,
    -- Whether the report has the sums of the group.
    is_complete INTEGER NOT NULL,
    -- Why the report can't have them.
    problem     TEXT,
    -- The last page whose groups are brought to the rules; null when all are.
    walked_to   TEXT,
    -- The report has the sums from this day on; null when it has none, or all.
    built_from  TEXT
) STRICT, WITHOUT ROWID;

-- The groups of each page of the report, as a JSON list. Empty while there are no groups.
CREATE TABLE page_memberships (
    name      TEXT PRIMARY KEY,
    member_of TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A table whose constraint changes is made anew, and a view that reads it goes first.
DROP VIEW page_views_live;
CREATE TABLE page_views_report_next (
    grain      TEXT NOT NULL CHECK (grain IN ('day', 'month', 'page', 'group', 'group_day', 'group_month', 'member')),
    date       TEXT NOT NULL,
    name       TEXT NOT NULL,
    views      INTEGER NOT NULL,
    top        INTEGER,
    title      TEXT,
    last_date  TEXT,
    pages      INTEGER,
    last_pages INTEGER,
    top_views  INTEGER,
    hour_00 INTEGER, hour_01 INTEGER, hour_02 INTEGER, hour_03 INTEGER, hour_04 INTEGER, hour_05 INTEGER,
    hour_06 INTEGER, hour_07 INTEGER, hour_08 INTEGER, hour_09 INTEGER, hour_10 INTEGER, hour_11 INTEGER,
    hour_12 INTEGER, hour_13 INTEGER, hour_14 INTEGER, hour_15 INTEGER, hour_16 INTEGER, hour_17 INTEGER,
    hour_18 INTEGER, hour_19 INTEGER, hour_20 INTEGER, hour_21 INTEGER, hour_22 INTEGER, hour_23 INTEGER,
    PRIMARY KEY (grain, date, name)
) STRICT, WITHOUT ROWID;
INSERT INTO page_views_report_next (
    grain, date, name, views, top, title, last_date, pages, last_pages, top_views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    grain, date, name, views, top, title, last_date, pages, last_pages, top_views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
FROM page_views_report ORDER BY grain, date, name;
DROP TABLE page_views_report;
ALTER TABLE page_views_report_next RENAME TO page_views_report;
-- The site's rows: which buckets there are.
CREATE INDEX page_views_report_of_site ON page_views_report (grain, date) WHERE name = '';
-- The rows that are among the most viewed of their bucket.
CREATE INDEX page_views_report_top ON page_views_report (grain, date) WHERE top;

-- All that is counted of each group, by day and hour.
CREATE VIEW counted_hours_of_groups AS
SELECT
    page_groups.name AS group_name, page_groups.is_complete, page_groups.built_from,
    counted_hours.date, date(counted_hours.date, 'start of month') AS month,
    counted_hours.hour, counted_hours.views
FROM counted_hours
JOIN page_memberships ON page_memberships.name = counted_hours.name
CROSS JOIN json_each(page_memberships.member_of) AS member_of
JOIN page_groups ON page_groups.name = member_of.value
WHERE page_groups.effective IS NOT NULL AND page_groups.problem IS NULL;

-- The definition of the report: always right, slow. The site's rows have the empty name. A day's row has the views of each
-- of its hours; a page's row, at the grain `page`, its title and the last day on which it was viewed. The rows of groups have
-- grains of their own, so that no page's name collides with theirs.
CREATE VIEW page_views_live AS
SELECT
    'day' AS grain, name, date, NULL AS title, NULL AS last_date, sum(views) AS views,
    CAST(sum(views) FILTER (WHERE hour = 0) AS INTEGER) AS hour_00, CAST(sum(views) FILTER (WHERE hour = 1) AS INTEGER) AS hour_01,
    CAST(sum(views) FILTER (WHERE hour = 2) AS INTEGER) AS hour_02, CAST(sum(views) FILTER (WHERE hour = 3) AS INTEGER) AS hour_03,
    CAST(sum(views) FILTER (WHERE hour = 4) AS INTEGER) AS hour_04, CAST(sum(views) FILTER (WHERE hour = 5) AS INTEGER) AS hour_05,
    CAST(sum(views) FILTER (WHERE hour = 6) AS INTEGER) AS hour_06, CAST(sum(views) FILTER (WHERE hour = 7) AS INTEGER) AS hour_07,
    CAST(sum(views) FILTER (WHERE hour = 8) AS INTEGER) AS hour_08, CAST(sum(views) FILTER (WHERE hour = 9) AS INTEGER) AS hour_09,
    CAST(sum(views) FILTER (WHERE hour = 10) AS INTEGER) AS hour_10, CAST(sum(views) FILTER (WHERE hour = 11) AS INTEGER) AS hour_11,
    CAST(sum(views) FILTER (WHERE hour = 12) AS INTEGER) AS hour_12, CAST(sum(views) FILTER (WHERE hour = 13) AS INTEGER) AS hour_13,
    CAST(sum(views) FILTER (WHERE hour = 14) AS INTEGER) AS hour_14, CAST(sum(views) FILTER (WHERE hour = 15) AS INTEGER) AS hour_15,
    CAST(sum(views) FILTER (WHERE hour = 16) AS INTEGER) AS hour_16, CAST(sum(views) FILTER (WHERE hour = 17) AS INTEGER) AS hour_17,
    CAST(sum(views) FILTER (WHERE hour = 18) AS INTEGER) AS hour_18, CAST(sum(views) FILTER (WHERE hour = 19) AS INTEGER) AS hour_19,
    CAST(sum(views) FILTER (WHERE hour = 20) AS INTEGER) AS hour_20, CAST(sum(views) FILTER (WHERE hour = 21) AS INTEGER) AS hour_21,
    CAST(sum(views) FILTER (WHERE hour = 22) AS INTEGER) AS hour_22, CAST(sum(views) FILTER (WHERE hour = 23) AS INTEGER) AS hour_23
FROM counted_hours GROUP BY name, date
UNION ALL
SELECT
    'day', '', date, NULL, NULL, sum(views),
    CAST(sum(views) FILTER (WHERE hour = 0) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 1) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 2) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 3) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 4) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 5) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 6) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 7) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 8) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 9) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 10) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 11) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 12) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 13) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 14) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 15) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 16) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 17) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 18) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 19) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 20) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 21) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 22) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 23) AS INTEGER)
FROM counted_hours GROUP BY date
UNION ALL
SELECT
    'month', name, date(date, 'start of month'), NULL, NULL, sum(views),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM counted_hours GROUP BY 2, 3
UNION ALL
SELECT
    'month', '', date(date, 'start of month'), NULL, NULL, sum(views),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM counted_hours GROUP BY 3
UNION ALL
SELECT
    'page', pages.name, '1970-01-01', pages.title, viewed.last_date, 0,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pages
JOIN (SELECT name, max(date) AS last_date FROM counted_hours GROUP BY name) AS viewed ON viewed.name = pages.name
UNION ALL
-- The groups of each page that is in any.
SELECT
    'member', name, '1970-01-01', member_of, NULL, 0,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM page_memberships
WHERE member_of <> '[]' AND EXISTS (SELECT 1 FROM counted_hours WHERE counted_hours.name = page_memberships.name)
UNION ALL
-- The groups, each with the reason why its sums are not complete. A page that was counted just now may have no groups yet.
SELECT
    'group', name, '1970-01-01',
    CASE
        WHEN problem IS NOT NULL THEN problem
        WHEN NOT is_complete THEN 'it is being built'
        WHEN EXISTS (
            SELECT 1 FROM counted_hours
            WHERE NOT EXISTS (SELECT 1 FROM page_memberships WHERE page_memberships.name = counted_hours.name)
        ) THEN 'it is being built'
    END,
    NULL, 0,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM page_groups WHERE effective IS NOT NULL
UNION ALL
SELECT
    'group_day', group_name, date, NULL, NULL, sum(views),
    CAST(sum(views) FILTER (WHERE hour = 0) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 1) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 2) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 3) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 4) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 5) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 6) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 7) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 8) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 9) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 10) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 11) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 12) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 13) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 14) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 15) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 16) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 17) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 18) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 19) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 20) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 21) AS INTEGER),
    CAST(sum(views) FILTER (WHERE hour = 22) AS INTEGER), CAST(sum(views) FILTER (WHERE hour = 23) AS INTEGER)
FROM counted_hours_of_groups
WHERE is_complete OR date >= built_from
GROUP BY group_name, date
UNION ALL
SELECT
    'group_month', group_name, month, NULL, NULL, sum(views),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM counted_hours_of_groups
WHERE is_complete OR month >= built_from
GROUP BY group_name, month;
