//! The rows of the report that a query reads, as SQL.

use std::ops::Range;

use chrono::NaiveDate;
use entity::page_views_report::{PAGE_DATE, SITE_INDEX, hour_column};

use super::{
    cover::{RowRange, Unit},
    page_filter::{Keys, Names, PageFilter, after_prefix, begins_with},
    sql::Sql,
};

/// The common table of the names of all pages of a filter.
const FOUND: &str = "found";

/// Rows of days or months, or the views of some hours of one day's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    unit: Unit,
    start: NaiveDate,
    end: NaiveDate,
    /// The hours of the day, if they are not all.
    hours: Option<Range<i16>>,
}

/// Returns the parts that `ranges` consist of.
pub(super) fn parts(ranges: &[RowRange]) -> Vec<Part> {
    let mut parts = Vec::new();
    for range in ranges {
        let RowRange { unit, start, end } = *range;
        if unit != Unit::Hour {
            parts.push(Part { unit, start: start.date(), end: end.date(), hours: None });
            continue;
        }
        let mut start = start;
        while start < end {
            let next_day = start.day_start().plus(24);
            let last = if end < next_day { end.of_day() } else { 24 };
            let (day, next) = (start.date(), next_day.date());
            parts.push(Part { unit: Unit::Day, start: day, end: next, hours: Some(start.of_day()..last) });
            start = next_day;
        }
    }
    parts
}

impl Part {
    /// Returns the expression of a row's views, of the row `row`.
    pub(super) fn views(&self, row: &str) -> String {
        let Some(hours) = &self.hours else { return format!("{row}.views") };
        let of_hour = |hour| format!("coalesce({row}.{}, 0)", hour_column(hour));
        format!("({})", hours.clone().map(of_hour).collect::<Vec<_>>().join(" + "))
    }

    /// Returns whether it has whole days or months.
    pub(super) fn is_whole(&self) -> bool {
        self.hours.is_none()
    }

    pub(super) fn grain(&self) -> &'static str {
        if self.unit == Unit::Month { "month" } else { "day" }
    }

    /// The grain of the rows of groups.
    fn grain_of_groups(&self) -> &'static str {
        if self.unit == Unit::Month { "group_month" } else { "group_day" }
    }

    /// Returns the condition that the row `row` of `grain` lies in it.
    fn contains(&self, sql: &mut Sql, row: &str, grain: &str) -> String {
        let (start, end) = (sql.bind(self.start), sql.bind(self.end));
        format!("{row}.grain = '{grain}' AND {row}.date >= {start} AND {row}.date < {end}")
    }

    /// Returns the query of the site's rows of it: `grain`, `date`, `top_views`, `pages` and `last_pages`.
    pub(super) fn site_rows(&self, sql: &mut Sql) -> String {
        let contains = self.contains(sql, "site", self.grain());
        let report = sql.report_by(SITE_INDEX, "site");
        format!("SELECT grain, date, top_views, pages, last_pages FROM {report} WHERE site.name = '' AND {contains}")
    }

    /// Returns queries of the rows of `names` in it, none of which has a row of another: `date`, `name` and `columns`, of the
    /// row `row`.
    fn selects(&self, sql: &mut Sql, names: Names<'_>, columns: &str) -> Vec<String> {
        let grain = match names {
            Names::Group(_) => self.grain_of_groups(),
            _ => self.grain(),
        };
        let condition = match names {
            Names::Site => "row.name = ''".to_owned(),
            Names::Group(group) => {
                let is_group = format!("row.name = {}", sql.bind(group));
                if !sql.is_distributed {
                    return vec![self.look_up(sql, grain, "", &is_group, columns)];
                }
                is_group
            }
            Names::Of(filter) => {
                // Each day's or month's rows of the names are looked up, unless that would join rows of different nodes.
                if let Some(keys) = filter.keys().filter(|_| !sql.is_distributed) {
                    return self.look_ups(sql, filter, keys, columns);
                }
                let condition = if filter.has_search() { found(sql, filter) } else { filter.condition(sql, "row") };
                ["row.name <> ''".to_owned()].into_iter().chain(condition).collect::<Vec<_>>().join(" AND ")
            }
        };
        let contains = self.contains(sql, "row", grain);
        let report = match names {
            Names::Site => sql.report_by(SITE_INDEX, "row"),
            Names::Group(_) | Names::Of(_) => "page_views_report AS row".to_owned(),
        };
        vec![format!("SELECT row.date, row.name, {columns} FROM {report} WHERE {contains} AND {condition}")]
    }

    /// Returns queries that look up the rows of the pages of `filter` by its `keys`: by the names, and by the prefixes.
    fn look_ups(&self, sql: &mut Sql, filter: &PageFilter, keys: Keys<'_>, columns: &str) -> Vec<String> {
        let Keys { names, prefixes } = keys;
        let mut queries = Vec::new();
        let mut look_up = |sql: &mut Sql, keys: &str, has_key: &str| {
            let left_out = filter.left_out(sql, "row").map_or_else(String::new, |left_out| format!(" AND {left_out}"));
            queries.push(self.look_up(sql, self.grain(), keys, &format!("{has_key}{left_out}"), columns));
        };
        if !names.is_empty() || prefixes.is_empty() {
            let is_named = sql.is_one_of("row.name", names);
            look_up(sql, "", &is_named);
        }
        match prefixes {
            [] => {}
            [prefix] => {
                let begins = begins_with(sql, "row", prefix);
                look_up(sql, "", &begins);
            }
            prefixes => {
                let ranges =
                    prefixes.iter().filter_map(|prefix| Some((prefix.clone(), after_prefix(prefix)?))).collect();
                let ranges = format!(" CROSS JOIN {}", sql.ranges(ranges));
                let is_in_range = sql.is_in_range("row.name");
                look_up(sql, &ranges, &is_in_range);
            }
        }
        queries
    }

    /// Returns the query that looks up the rows of `grain` that `has_key` is true of, for each of the site's rows, joined with
    /// `keys`.
    fn look_up(&self, sql: &mut Sql, grain: &str, keys: &str, has_key: &str, columns: &str) -> String {
        let left = format!("({}) AS site{keys}", self.site_rows(sql));
        let condition = format!("row.grain = '{grain}' AND row.date = site.date AND row.name <> '' AND {has_key}");
        let rows = sql.look_up(&left, "page_views_report AS row", "*", &condition);
        format!("SELECT row.date, row.name, {columns} FROM {rows}")
    }
}

/// Returns the condition that the page of the row `row` is among all pages of `filter`, whose own rows the statement looks
/// through once.
fn found(sql: &mut Sql, filter: &PageFilter) -> Option<String> {
    sql.once(FOUND, |sql| {
        let date = sql.bind(PAGE_DATE);
        let condition =
            filter.condition_of_page(sql, "page").map_or_else(String::new, |condition| format!(" AND {condition}"));
        format!(
            "SELECT name FROM page_views_report AS page WHERE page.grain = 'page' AND page.date = {date}{condition}"
        )
    });
    Some(format!("row.name IN (SELECT name FROM {FOUND})"))
}

/// Returns the query of all rows in `parts`: `date`, `name` and `views`. Rows without views in the parts are left out.
pub(super) fn rows(sql: &mut Sql, parts: &[Part], names: Names<'_>) -> String {
    let mut selects = Vec::new();
    for part in parts {
        let views = part.views("row");
        for select in part.selects(sql, names, &format!("{views} AS views")) {
            // A whole day or month has views, or no row.
            let condition =
                if part.is_whole() { String::new() } else { format!("{}{views} > 0", join_condition(&select)) };
            selects.push(select + &condition);
        }
    }
    selects.join(" UNION ALL ")
}

/// Returns what joins another condition to `select`, which may end with a join.
fn join_condition(select: &str) -> &'static str {
    if select.contains(" JOIN ") { " WHERE " } else { " AND " }
}

/// Returns the query of the rows of the days that `ranges` of hours lie in, each once: `date`, `name` and the views of its 24
/// hours.
pub(super) fn hours_of_days(sql: &mut Sql, ranges: &[&RowRange], names: Names<'_>) -> String {
    let mut days: Vec<Range<NaiveDate>> = Vec::new();
    for range in ranges {
        let (start, last) = (range.start.date(), range.end.plus(-1).date());
        let end = last.succ_opt().unwrap_or(last);
        match days.last_mut() {
            Some(before) if before.end >= start => before.end = before.end.max(end),
            _ => days.push(start..end),
        }
    }
    let hours = (0..24).map(|hour| format!("row.{}", hour_column(hour))).collect::<Vec<_>>().join(", ");
    let selects = |Range { start, end }| Part { unit: Unit::Day, start, end, hours: None }.selects(sql, names, &hours);
    days.into_iter().flat_map(selects).collect::<Vec<_>>().join(" UNION ALL ")
}

#[cfg(test)]
mod tests {
    use entity::Hour;

    use super::*;

    #[test]
    fn hours_are_split_into_parts_of_days() {
        let hour = |day, of_day| Hour::new(NaiveDate::from_ymd_opt(2026, 3, day).unwrap(), of_day);
        let parts = parts(&[RowRange { unit: Unit::Hour, start: hour(3, 22), end: hour(5, 2) }]);
        let hours: Vec<_> = parts.iter().map(|part| (part.start, part.hours.clone().unwrap())).collect();
        assert_eq!(hours, [(hour(3, 0).date(), 22..24), (hour(4, 0).date(), 0..24), (hour(5, 0).date(), 0..2)]);
        assert_eq!(parts[2].views("row"), "(coalesce(row.hour_00, 0) + coalesce(row.hour_01, 0))");
    }
}
