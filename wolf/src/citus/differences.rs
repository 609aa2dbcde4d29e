//! Where the report of a Citus cluster is not what its definition says. Each node compares the rows of its own pages, so that
//! nothing but what differs comes to the coordinator, and the sums of the whole site and of groups.

use entity::page_views_report::hour_column;

use super::of_each_hour;
use crate::groups::BUILDING;

/// The date of the rows of pages and groups that have no day.
const PAGE_DATE: &str = "'1970-01-01'::date";
/// The first day of the bucket that a count is summed in.
const BUCKET: &str = "CASE sum_of.grain WHEN 'month' THEN date_trunc('month', counted.date::timestamp)::date \
                      ELSE counted.date END";
/// The groups of a count's page.
const GROUPS: &str = "JOIN page_memberships ON page_memberships.name = counted.name \
                      CROSS JOIN LATERAL jsonb_array_elements_text(page_memberships.member_of::jsonb) AS member_of (value) \
                      JOIN page_groups ON page_groups.name = member_of.value";
/// Which sums groups have: one that is being built has them from a day on.
const GROUP_HAS_SUMS: &str = "AND page_groups.effective IS NOT NULL AND page_groups.problem IS NULL \
                              AND (page_groups.is_complete OR {bucket} >= page_groups.built_from)";

/// Rows of the report that are sums of counts.
struct Sums {
    prefix: &'static str,
    name: &'static str,
    groups: &'static str,
    has_sums: &'static str,
    rows: &'static str,
}

const SUMS: [Sums; 3] = [
    Sums { prefix: "", name: "counted.name", groups: "", has_sums: "", rows: "counted.name <> ''" },
    Sums { prefix: "", name: "''", groups: "", has_sums: "", rows: "counted.name = ''" },
    Sums { prefix: "group_", name: "member_of.value", groups: GROUPS, has_sums: GROUP_HAS_SUMS, rows: "true" },
];

/// Rows of the report that have a title.
struct Titles {
    grain: &'static str,
    titles: &'static str,
    title: &'static str,
    is_titled: &'static str,
    expected: &'static str,
}

const TITLES: [Titles; 2] = [
    Titles { grain: "page", titles: "pages", title: "title", is_titled: "true", expected: "bool_or(is_viewed)" },
    Titles {
        grain: "member",
        titles: "page_memberships",
        title: "member_of",
        is_titled: "member_of <> '[]'",
        expected: "bool_or(is_viewed) AND bool_or(is_titled)",
    },
];

/// Returns the queries of the sums and titles that differ, of each the first `limit` by grain and time. `marked` is the query of the
/// hours that have marks.
pub(crate) fn differences(marked: &str, limit: u32) -> Vec<String> {
    let sums = SUMS.into_iter().map(|Sums { prefix, name, groups, has_sums, rows }| {
        let hours = of_each_hour(|hour| format!("counted.{}", hour_column(hour)));
        let sql = include_str!("wrong_sums.sql").replace("{prefix}", prefix).replace("{name}", name);
        let sql = sql.replace("{groups}", groups).replace("{has_sums}", has_sums).replace("{rows}", rows);
        sql.replace("{bucket}", BUCKET).replace("{hours}", &hours)
    });
    let titles = TITLES.into_iter().map(|Titles { grain, titles, title, is_titled, expected }| {
        let hours = of_each_hour(|hour| format!("report.{}", hour_column(hour)));
        let sql = include_str!("wrong_titles.sql").replace("{grain}", grain).replace("{titles}", titles);
        let sql = sql.replace("{title}", title).replace("{is_titled}", is_titled).replace("{expected}", expected);
        sql.replace("{hours}", &hours)
    });
    let others = [include_str!("wrong_groups.sql"), include_str!("wrong_rows.sql")].map(str::to_owned);
    let filled_in = |sql: String| {
        let sql = sql.replace("{marked}", marked).replace("{building}", BUILDING);
        sql.replace("{page_date}", PAGE_DATE).replace("{limit}", &limit.to_string())
    };
    sums.chain(titles).chain(others).map(filled_in).collect()
}
