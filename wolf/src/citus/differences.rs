//! Where the report of a Citus cluster is not what its definition says. Each node compares the rows of its own pages, so that
//! nothing but what differs comes to the coordinator, and the sums of the whole site and of groups.

use entity::page_views_report::hour_column;

use super::of_each_hour;
use crate::groups::BUILDING;

/// A query, and the values of its own placeholders.
type Query = (&'static str, &'static [(&'static str, &'static str)]);

const WRONG_SUMS: &str = include_str!("wrong_sums.sql");
const WRONG_TITLES: &str = include_str!("wrong_titles.sql");
/// Sums of pages, of the whole site and of groups; titles and groups of pages; groups; and rows of no definition.
const QUERIES: [Query; 7] = [
    (
        WRONG_SUMS,
        &[
            ("{prefix}", ""),
            ("{name}", "counted.name"),
            ("{groups}", ""),
            ("{has_sums}", ""),
            ("{rows}", "counted.name <> ''"),
        ],
    ),
    (
        WRONG_SUMS,
        &[("{prefix}", ""), ("{name}", "''"), ("{groups}", ""), ("{has_sums}", ""), ("{rows}", "counted.name = ''")],
    ),
    (
        WRONG_SUMS,
        &[
            ("{prefix}", "group_"),
            ("{name}", "member_of.value"),
            ("{groups}", GROUPS),
            ("{has_sums}", GROUP_HAS_SUMS),
            ("{rows}", "true"),
        ],
    ),
    (
        WRONG_TITLES,
        &[
            ("{grain}", "page"),
            ("{titles}", "pages"),
            ("{title}", "title"),
            ("{is_titled}", "true"),
            ("{expected}", "bool_or(is_viewed)"),
        ],
    ),
    (
        WRONG_TITLES,
        &[
            ("{grain}", "member"),
            ("{titles}", "page_memberships"),
            ("{title}", "member_of"),
            ("{is_titled}", "member_of <> '[]'"),
            ("{expected}", "bool_or(is_viewed) AND bool_or(is_titled)"),
        ],
    ),
    (include_str!("wrong_groups.sql"), &[("{building}", BUILDING)]),
    (include_str!("wrong_rows.sql"), &[]),
];
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

/// Returns the queries of the sums and titles that differ, of each the first `limit` by grain and time. `marked` is the query of the
/// hours that have marks.
pub(crate) fn differences(marked: &str, limit: u32) -> Vec<String> {
    let hours = of_each_hour(|hour| format!("counted.{}", hour_column(hour)));
    let limit = limit.to_string();
    let shared = [
        ("{bucket}", BUCKET),
        ("{hours}", &hours),
        ("{marked}", marked),
        ("{page_date}", PAGE_DATE),
        ("{limit}", &limit),
    ];
    let fill_in = |sql: String, (placeholder, value): &(&str, &str)| sql.replace(placeholder, value);
    QUERIES.iter().map(|(sql, own)| own.iter().chain(&shared).fold((*sql).to_owned(), fill_in)).collect()
}
