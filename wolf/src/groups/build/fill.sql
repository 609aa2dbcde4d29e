-- The rows of the report {relation} that tell of groups, and of the groups of pages. $1: the date of rows that are of no time.
INSERT INTO {relation} (grain, date, name, views, title)
SELECT 'group', $1, name, 0, problem FROM page_groups
UNION ALL
SELECT 'member', $1, page_memberships.name, 0, page_memberships.member_of
FROM page_memberships WHERE page_memberships.member_of <> '[]'
