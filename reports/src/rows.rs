//! The rows of the report that a query reads, as SQL.

use std::ops::Range;

use chrono::NaiveDate;
use entity::page_views_report::{SITE_INDEX, hour_column};

use super::{
    cover::{RowRange, Unit},
    page_filter::{Names, PageFilter},
    sql::Sql,
};

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

    /// Returns the condition that the row `row` lies in it.
    pub(super) fn contains(&self, sql: &mut Sql, row: &str) -> String {
        let (start, end) = (sql.bind(self.start), sql.bind(self.end));
        format!("{row}.grain = '{}' AND {row}.date >= {start} AND {row}.date < {end}", self.grain())
    }

    /// Returns the query of the site's rows of it: `grain`, `date`, `top_views`, `pages` and `last_pages`.
    pub(super) fn site_rows(&self, sql: &mut Sql) -> String {
        let contains = self.contains(sql, "site");
        let report = sql.report_by(SITE_INDEX, "site");
        format!("SELECT grain, date, top_views, pages, last_pages FROM {report} WHERE site.name = '' AND {contains}")
    }

    /// Returns the query of the rows of `names` in it: `date`, `name` and `columns`, of the row `row`.
    fn select(&self, sql: &mut Sql, names: Names<'_>, columns: &str) -> String {
        let filter = match names {
            Names::Site => None,
            Names::Of(PageFilter::Search(search)) => Some(search.has_found(sql, "row")),
            Names::Of(filter) => filter.condition(sql, "row"),
        };
        let filter = match (names, filter) {
            (Names::Site, _) => "row.name = ''".to_owned(),
            // Each day's or month's rows of the names are looked up, unless that would join rows of different nodes.
            (Names::Of(PageFilter::Names(_) | PageFilter::Prefix(_)), Some(filter)) if !sql.is_distributed => {
                let grain = self.grain();
                let site_rows = format!("({}) AS site", self.site_rows(sql));
                let condition =
                    format!("row.grain = '{grain}' AND row.date = site.date AND row.name <> '' AND {filter}");
                let rows = sql.look_up(&site_rows, "page_views_report AS row", "*", &condition);
                return format!("SELECT row.date, row.name, {columns} FROM {rows}");
            }
            (_, filter) => ["row.name <> ''".to_owned()].into_iter().chain(filter).collect::<Vec<_>>().join(" AND "),
        };
        let contains = self.contains(sql, "row");
        let report = match names {
            Names::Site => sql.report_by(SITE_INDEX, "row"),
            Names::Of(_) => "page_views_report AS row".to_owned(),
        };
        format!("SELECT row.date, row.name, {columns} FROM {report} WHERE {contains} AND {filter}")
    }
}

/// Returns the query of all rows in `parts`: `date`, `name` and `views`. Rows without views in the parts are left out.
pub(super) fn rows(sql: &mut Sql, parts: &[Part], names: Names<'_>) -> String {
    let select = |part: &Part| {
        let views = part.views("row");
        let select = part.select(sql, names, &format!("{views} AS views"));
        // A whole day or month has views, or no row.
        if part.is_whole() { select } else { format!("{select}{}{views} > 0", join_condition(&select)) }
    };
    parts.iter().map(select).collect::<Vec<_>>().join(" UNION ALL ")
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
    let select = |Range { start, end }| Part { unit: Unit::Day, start, end, hours: None }.select(sql, names, &hours);
    days.into_iter().map(select).collect::<Vec<_>>().join(" UNION ALL ")
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
