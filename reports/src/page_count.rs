//! The number of pages that have views, in the least costly way that is exact.

use entity::{
    Hour,
    page_views_report::{PAGE_DATE, SITE_INDEX},
};
use sea_orm::{ConnectionTrait, DbErr};
use storage::Transaction;

use super::{
    cover::{RowRange, Unit},
    page_filter::{Names, PageFilter},
    queries::{Span, number},
    rows::{Part, parts, rows},
    sql::Sql,
    ways::{self, Way},
};

/// Returns the number of pages of `filter` that have views in the hours from `start` on, which `ranges` cover. `span` is the
/// time in which something is counted.
pub(super) async fn page_count(
    db: &Transaction,
    start: Hour,
    ranges: &[RowRange],
    span: Span,
    filter: &PageFilter,
) -> Result<i64, DbErr> {
    let parts = parts(ranges);
    if parts.is_empty() {
        return Ok(0);
    }
    match filter.difference() {
        (PageFilter::All, left_out) => {
            let ends_now = ranges.last().is_some_and(|last| last.end >= span.end);
            // Before the first counted hour nothing is counted on its day.
            let since = if start <= span.first { span.first.day_start() } else { start };
            let pages = match of_all(db, &parts, ends_now.then_some(since)).await? {
                Some(pages) => pages,
                None => scan(db, &parts, &PageFilter::All).await?,
            };
            let left_out = match left_out {
                Some(left_out) => scan(db, &parts, left_out).await?,
                None => 0,
            };
            Ok(pages - left_out)
        }
        (filter, _) => scan(db, &parts, filter).await,
    }
}

/// Returns the number of all pages in `parts`, which reach from `since` to the last counted hour if that is given, by numbers
/// on the site's rows, if these tell it.
async fn of_all(db: &Transaction, parts: &[Part], since: Option<Hour>) -> Result<Option<i64>, DbErr> {
    let mut pages = of_one_bucket(db, parts).await?;
    if let (None, Some(start)) = (pages, since) {
        pages = self::since(db, start).await?;
    }
    if pages.is_some() {
        ways::count_pages(Way::Summary);
    }
    Ok(pages)
}

async fn scan(db: &Transaction, parts: &[Part], filter: &PageFilter) -> Result<i64, DbErr> {
    ways::count_pages(Way::Scan);
    let mut sql = Sql::new(db);
    let rows = rows(&mut sql, parts, Names::Of(filter));
    let count = format!("SELECT count(*) FROM (SELECT name FROM ({rows}) AS rows GROUP BY name) AS pages");
    number(db, sql.statement(&count)).await
}

/// Returns the number of pages in `parts` if these have one bucket, a whole one whose pages are counted.
async fn of_one_bucket(db: &Transaction, parts: &[Part]) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(db);
    let site_rows: Vec<_> = parts.iter().map(|part| part.site_rows(&mut sql)).collect();
    let buckets = format!("SELECT pages FROM ({}) AS site LIMIT 2", site_rows.join(" UNION ALL "));
    let rows = db.query_all_raw(sql.statement(&buckets)).await?;
    match rows.as_slice() {
        [] => Ok(Some(0)),
        [row] if parts.iter().all(Part::is_whole) => row.try_get_by_index(0),
        _ => Ok(None),
    }
}

/// Returns the number of pages that were viewed in the hour `start` or later: by their last days, if these are counted. If
/// `start` is not the first hour of its day, the rows of that one day are read.
async fn since(db: &Transaction, start: Hour) -> Result<Option<i64>, DbErr> {
    let whole_from = if start == start.day_start() { start } else { start.day_start().plus(24) };
    let mut sql = Sql::new(db);
    let (from, report) = (sql.bind(whole_from.date()), sql.report_by(SITE_INDEX, "site"));
    let count = format!(
        "SELECT CASE WHEN count(last_pages) = count(*) THEN CAST(coalesce(sum(last_pages), 0) AS bigint) END \
         FROM {report} WHERE site.name = '' AND site.grain = 'day' AND site.date >= {from}"
    );
    let row = db.query_one_raw(sql.statement(&count)).await?;
    let Some(later) = row.map_or(Ok(None), |row| row.try_get_by_index::<Option<i64>>(0))? else { return Ok(None) };
    if whole_from == start {
        return Ok(Some(later));
    }
    let mut sql = Sql::new(db);
    let first_day = parts(&[RowRange { unit: Unit::Hour, start, end: whole_from }]);
    let rows = rows(&mut sql, &first_day, Names::Of(&PageFilter::All));
    let day = sql.bind(start.date());
    let page_date = sql.bind(PAGE_DATE);
    let count = include_str!("page_count/viewed_since.sql")
        .replace("{viewed}", &rows)
        .replace("{page_date}", &page_date)
        .replace("{day}", &day);
    Ok(Some(later + number(db, sql.statement(&count)).await?))
}
