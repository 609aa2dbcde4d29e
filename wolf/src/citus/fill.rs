//! The rows of a new report on a Citus cluster: each node sums the counts of its own pages. Only the sums of the whole site come to
//! the coordinator.

use entity::page_views_report::hour_column;

use super::of_each_hour;

/// Returns the statement that fills `target` with the rows of pages for the days from its first value up to its second one.
pub(crate) fn fill_days(target: &str) -> String {
    let sums = of_each_hour(|hour| format!("CAST(sum(views) FILTER (WHERE hour = {hour}) AS bigint)"));
    let sql = include_str!("fill_days.sql").replace("{target}", target);
    sql.replace("{hours}", &of_each_hour(hour_column)).replace("{hour_sums}", &sums)
}

/// Returns the statements that fill `target` with the sums of these rows by month, and by day and month of the whole site.
pub(crate) fn fill_sums(target: &str) -> String {
    let sums = of_each_hour(|hour| format!("CAST(sum({}) AS bigint)", hour_column(hour)));
    let sql = include_str!("fill_sums.sql").replace("{target}", target);
    sql.replace("{hours}", &of_each_hour(hour_column)).replace("{sums_of_hours}", &sums)
}
