-- The rows of groups, from those of their pages in the report {relation}: of the grain {grain_of_groups}, for the rows of the
-- grain {grain} that begin on or after $1 and before $2. $3: the groups. {member_of} and {group}: the
-- join with the groups of each page, and their names.
INSERT INTO {relation} (
    grain, name, date, views,
    hour_00, hour_01, hour_02, hour_03, hour_04, hour_05, hour_06, hour_07,
    hour_08, hour_09, hour_10, hour_11, hour_12, hour_13, hour_14, hour_15,
    hour_16, hour_17, hour_18, hour_19, hour_20, hour_21, hour_22, hour_23
)
SELECT
    '{grain_of_groups}', {group}, page.date, CAST(sum(page.views) AS bigint),
    CAST(sum(page.hour_00) AS bigint), CAST(sum(page.hour_01) AS bigint), CAST(sum(page.hour_02) AS bigint),
    CAST(sum(page.hour_03) AS bigint), CAST(sum(page.hour_04) AS bigint), CAST(sum(page.hour_05) AS bigint),
    CAST(sum(page.hour_06) AS bigint), CAST(sum(page.hour_07) AS bigint), CAST(sum(page.hour_08) AS bigint),
    CAST(sum(page.hour_09) AS bigint), CAST(sum(page.hour_10) AS bigint), CAST(sum(page.hour_11) AS bigint),
    CAST(sum(page.hour_12) AS bigint), CAST(sum(page.hour_13) AS bigint), CAST(sum(page.hour_14) AS bigint),
    CAST(sum(page.hour_15) AS bigint), CAST(sum(page.hour_16) AS bigint), CAST(sum(page.hour_17) AS bigint),
    CAST(sum(page.hour_18) AS bigint), CAST(sum(page.hour_19) AS bigint), CAST(sum(page.hour_20) AS bigint),
    CAST(sum(page.hour_21) AS bigint), CAST(sum(page.hour_22) AS bigint), CAST(sum(page.hour_23) AS bigint)
FROM {relation} AS page
JOIN page_memberships ON page_memberships.name = page.name
{member_of} AND page.grain = '{grain}' AND page.date >= $1 AND page.date < $2 AND page.name <> ''
GROUP BY {group}, page.date
