//! The statements that read `page_views_report`. They read no other table.

use std::collections::HashMap;

use chrono::NaiveDate;
use entity::{
    Grain, Hour,
    page_views_report::{self as report, PAGE_DATE, SITE_INDEX, hour_column},
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryResult, QuerySelect, Statement};
use storage::Transaction;

use super::{
    cover::{RowRange, Unit},
    page_filter::{Names, PageFilter},
    rows::{hours_of_days, parts, rows},
    sql::Sql,
};

/// The most ranges of one statement: each is planned on its own.
const RANGES_PER_STATEMENT_MAX: usize = 16;
/// The most pages whose rows are looked up one by one, where a filter has to find them first.
const MATCHES_MAX: usize = 1_000;

/// The position of a page in a list: the list goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageCursor {
    /// Its [rank](PageRow::rank).
    pub rank: i64,
    /// Its name.
    pub name: String,
}

/// One page's views in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRow {
    /// The page's name.
    pub name: String,
    /// Its title, if one was ever recorded.
    pub title: Option<String>,
    /// Its views.
    pub views: i64,
    /// What the list is ordered by before the name, from the greatest down: the views, the change without its sign, or 0 in a
    /// list by name.
    pub rank: i64,
}

/// The time in which something is counted: from the first counted hour on, and before `end`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first counted hour, or the start of the first counted day if its hours were dropped.
    pub(super) first: Hour,
    /// The end of the last counted hour, or of the last counted day if its hours were dropped.
    pub(super) end: Hour,
}

/// Returns the sum of the views.
pub(super) async fn views(db: &Transaction, ranges: &[RowRange], filter: &PageFilter) -> Result<i64, DbErr> {
    if ranges.is_empty() {
        return Ok(0);
    }
    let parts = parts(ranges);
    let sum = async |filter: &PageFilter| {
        let mut sql = Sql::new(db);
        let rows = rows(&mut sql, &parts, filter.cheapest());
        number(db, sql.statement(&format!("SELECT CAST(coalesce(sum(views), 0) AS bigint) FROM ({rows}) AS rows")))
            .await
    };
    match filter.difference() {
        (all, Some(left_out)) => Ok(sum(all).await? - sum(left_out).await?),
        (filter, None) => sum(filter).await,
    }
}

/// Returns the one number that `statement` selects.
pub(super) async fn number(db: &Transaction, statement: Statement) -> Result<i64, DbErr> {
    let row = db.query_one_raw(statement).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// The views of one page, or of all pages of a filter, in an hour, day or month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketSum {
    /// The page's name; empty for the sum of all pages.
    pub(super) name: String,
    pub(super) start: Hour,
    pub(super) views: i64,
}

/// Whose views are summed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum SumsOf {
    AllPages,
    EachPage,
}

/// Returns the number of each of `names`, in their order, that `statement` selects with the name; 0 for one that it does not
/// select.
pub(super) async fn numbers_of(db: &Transaction, statement: Statement, names: &[String]) -> Result<Vec<i64>, DbErr> {
    let mut numbers: HashMap<String, i64> = HashMap::new();
    for row in db.query_all_raw(statement).await? {
        numbers.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    }
    Ok(names.iter().map(|name| numbers.remove(name).unwrap_or(0)).collect())
}

/// Returns the sums of the views by hour, day or month. The sum of all pages in a bucket may be one of several parts, of which
/// some are below zero.
pub(super) async fn buckets(
    db: &Transaction,
    ranges: &[RowRange],
    filter: &PageFilter,
    of: SumsOf,
) -> Result<Vec<BucketSum>, DbErr> {
    match (filter.difference(), of) {
        ((all, Some(left_out)), SumsOf::AllPages) => {
            let mut buckets = sums(db, ranges, all, of).await?;
            let left_out = sums(db, ranges, left_out, of).await?;
            buckets.extend(left_out.into_iter().map(|sum| BucketSum { views: -sum.views, ..sum }));
            Ok(buckets)
        }
        _ => sums(db, ranges, filter, of).await,
    }
}

async fn sums(db: &Transaction, ranges: &[RowRange], filter: &PageFilter, of: SumsOf) -> Result<Vec<BucketSum>, DbErr> {
    let (name, names) = match of {
        SumsOf::AllPages => ("''", filter.cheapest()),
        SumsOf::EachPage => ("name", Names::Of(filter)),
    };
    let by_name = if of == SumsOf::EachPage { ", name" } else { "" };
    let mut buckets = Vec::new();
    let (hours, whole): (Vec<_>, Vec<_>) = ranges.iter().partition(|range| range.unit == Unit::Hour);
    for ranges in hours.chunks(RANGES_PER_STATEMENT_MAX) {
        let mut sql = Sql::new(db);
        let rows = hours_of_days(&mut sql, ranges, names);
        let columns: Vec<_> = (0..24).map(hour_column).collect();
        let sums: String = columns.iter().map(|column| format!(", CAST(sum({column}) AS bigint)")).collect();
        let sums = format!("SELECT date{sums}, {name} FROM ({rows}) AS rows GROUP BY date{by_name}");
        for row in db.query_all_raw(sql.statement(&sums)).await? {
            let name: String = row.try_get_by_index(25)?;
            // A day may have hours of two ranges, and others of none.
            let is_asked = |hour: &Hour| ranges.iter().any(|range| (range.start..range.end).contains(hour));
            let hours = views_by_hour(&row, 0)?.into_iter().filter(|(hour, _)| is_asked(hour));
            buckets.extend(hours.map(|(start, views)| BucketSum { name: name.clone(), start, views }));
        }
    }
    for ranges in whole.chunks(RANGES_PER_STATEMENT_MAX) {
        let mut sql = Sql::new(db);
        let ranges: Vec<_> = ranges.iter().map(|range| **range).collect();
        let rows = rows(&mut sql, &parts(&ranges), names);
        let sums =
            format!("SELECT date, CAST(sum(views) AS bigint), {name} FROM ({rows}) AS rows GROUP BY date{by_name}");
        for row in db.query_all_raw(sql.statement(&sums)).await? {
            let start = Hour::new(row.try_get_by_index(0)?, 0);
            buckets.push(BucketSum { name: row.try_get_by_index(2)?, start, views: row.try_get_by_index(1)? });
        }
    }
    Ok(buckets)
}

/// Returns the hours of a row that has a date in the column `date` and its views by hour behind that, without those that have
/// none.
pub(super) fn views_by_hour(row: &QueryResult, date: usize) -> Result<Vec<(Hour, i64)>, DbErr> {
    let day: NaiveDate = row.try_get_by_index(date)?;
    let mut hours = Vec::new();
    for (index, of_day) in (0..24_i16).enumerate() {
        if let Some(views) = row.try_get_by_index::<Option<i64>>(date + 1 + index)? {
            hours.push((Hour::new(day, of_day), views));
        }
    }
    Ok(hours)
}

/// Returns the titles by page.
pub(super) async fn titles(
    db: &Transaction,
    names: impl Iterator<Item = &str>,
) -> Result<HashMap<String, String>, DbErr> {
    let titles: Vec<(String, String)> = report::Entity::find()
        .select_only()
        .columns([report::Column::Name, report::Column::Title])
        .filter(report::Column::Grain.eq(Grain::Page))
        .filter(report::Column::Date.eq(PAGE_DATE))
        .filter(report::Column::Name.is_in(names))
        .filter(report::Column::Title.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    Ok(titles.into_iter().collect())
}

/// Returns the time in which something is counted, if anything is.
pub(super) async fn span(db: &Transaction) -> Result<Option<Span>, DbErr> {
    let columns = (0..24).map(hour_column).collect::<Vec<_>>().join(", ");
    let sql = Sql::new(db);
    let report = sql.report_by(SITE_INDEX, "site");
    let day = |order| {
        format!(
            "SELECT * FROM (SELECT date, {columns} FROM {report} WHERE name = '' AND grain = 'day' \
             ORDER BY date {order} LIMIT 1) AS day"
        )
    };
    let text = format!("{} UNION ALL {}", day("ASC"), day("DESC"));
    let rows = db.query_all_raw(sql.statement(&text)).await?;
    let [first, last] = rows.as_slice() else { return Ok(None) };
    let day = |row: &QueryResult| Ok::<_, DbErr>(Hour::new(row.try_get_by_index(0)?, 0));
    let first_hour = views_by_hour(first, 0)?.first().map(|(hour, _)| *hour);
    let last_hour = views_by_hour(last, 0)?.last().map(|(hour, _)| hour.plus(1));
    Ok(Some(Span { first: first_hour.unwrap_or(day(first)?), end: last_hour.unwrap_or(day(last)?.plus(24)) }))
}

/// Returns the names of the filter's pages if there are few of them, so that their rows can be looked up.
pub(super) async fn matches(db: &Transaction, filter: &PageFilter) -> Result<Option<PageFilter>, DbErr> {
    let mut sql = Sql::new(db);
    let date = sql.bind(PAGE_DATE);
    let Some(condition) = filter.condition_of_page(&mut sql, "page") else { return Ok(None) };
    let statement = sql.statement(&format!(
        "SELECT name FROM page_views_report AS page WHERE page.grain = 'page' AND page.date = {date} AND {condition} \
         LIMIT {}",
        MATCHES_MAX + 1
    ));
    let rows = db.query_all_raw(statement).await?;
    if rows.len() > MATCHES_MAX {
        return Ok(None);
    }
    Ok(Some(PageFilter::Names(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)))
}
