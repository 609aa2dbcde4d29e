//! What is asked of single pages by name: their views, their series, and when they were viewed first and last. Each is read
//! for all pages of a list by one statement.

use std::{collections::HashMap, iter};

use entity::{
    Hour,
    page_views_report::{PAGE_DATE, SITE_INDEX, hour_column},
};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use storage::Transaction;

use super::{
    cover::{RowRange, cover_each},
    interval::Bucket,
    page_filter::{Names, PageFilter},
    queries::{BucketSum, SumsOf, buckets, numbers_of, views_by_hour},
    rows::{parts, rows},
    sql::Sql,
};

/// When a page was viewed: the first hour of the day in UTC where hours were dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewed {
    /// The first hour.
    pub first: Hour,
    /// The last hour.
    pub last: Hour,
    /// The page's title, if one was ever recorded.
    pub title: Option<String>,
}

impl Viewed {
    /// The memory that it takes, in bytes, about.
    pub(super) fn bytes(viewed: &Option<Self>) -> usize {
        let title = viewed.as_ref().and_then(|viewed| viewed.title.as_ref());
        size_of::<Option<Self>>() + title.map_or(0, String::capacity)
    }
}

/// Returns the views of each of `names`, in their order.
pub(super) async fn views(db: &Transaction, ranges: &[RowRange], names: &[String]) -> Result<Vec<i64>, DbErr> {
    if ranges.is_empty() || names.is_empty() {
        return Ok(vec![0; names.len()]);
    }
    let filter = PageFilter::Names(names.to_vec());
    let mut sql = Sql::new(db);
    let rows = rows(&mut sql, &parts(ranges), Names::Of(&filter));
    let sums = format!("SELECT name, CAST(sum(views) AS bigint) FROM ({rows}) AS rows GROUP BY name");
    numbers_of(db, sql.statement(&sums), names).await
}

/// Returns `empty`, the buckets of a series, with the views of each of `names`, in their order.
pub(super) async fn series(db: &Transaction, empty: &[Bucket], names: &[String]) -> Result<Vec<Vec<Bucket>>, DbErr> {
    let filter = PageFilter::Names(names.to_vec());
    let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let mut all = vec![empty.to_vec(); names.len()];
    for sum in buckets(db, &cover_each(&boundaries(empty)), &filter, SumsOf::EachPage).await? {
        if let Some(series) = places.get(sum.name.as_str()).and_then(|place| all.get_mut(*place)) {
            add(series, &sum);
        }
    }
    Ok(all)
}

/// Returns the moments at which one of `buckets` begins or ends, in the order of time.
pub(super) fn boundaries(buckets: &[Bucket]) -> Vec<Hour> {
    let mut boundaries: Vec<_> = buckets.iter().flat_map(|bucket| [bucket.start, bucket.end]).collect();
    boundaries.dedup();
    boundaries
}

/// Adds `sum` to the one of `buckets` that it lies in, if there is one.
pub(super) fn add(buckets: &mut [Bucket], sum: &BucketSum) {
    // The last bucket that begins at or before the sum.
    let index = buckets.partition_point(|bucket| bucket.start <= sum.start);
    let bucket = index.checked_sub(1).and_then(|index| buckets.get_mut(index));
    if let Some(bucket) = bucket.filter(|bucket| sum.start < bucket.end) {
        bucket.views += sum.views;
    }
}

/// Returns when each of `names` was viewed first and last, in their order; `None` for a name of which nothing is counted.
pub(super) async fn viewed(db: &Transaction, names: &[String]) -> Result<Vec<Option<Viewed>>, DbErr> {
    let mut sql = Sql::new(db);
    let (page_date, condition) = (sql.bind(PAGE_DATE), sql.is_one_of("page.name", names));
    let of_month = "row.grain = 'month' AND row.date = site.date AND row.name = page.name";
    let of_day = "row.grain = 'day' AND row.date = site.date AND row.name = page.name";
    let days = "(SELECT date FROM days WHERE date >= page.first_month ORDER BY date LIMIT 31) AS site";
    let report = "page_views_report AS row";
    let hours = |row: &str| {
        let column = |hour| format!("{row}.{}", hour_column(hour));
        iter::once(format!("{row}.date")).chain((0..24).map(column)).collect::<Vec<_>>().join(", ")
    };
    let statement = match sql.is_distributed {
        true => include_str!("page_figures/viewed_by_nodes.sql"),
        false => include_str!("page_figures/viewed.sql"),
    };
    let statement = statement
        .replace("{page_date}", &page_date)
        .replace("{condition}", &condition)
        .replace("{site}", &sql.report_by(SITE_INDEX, "site"))
        .replace("{months_viewed}", &sql.look_up("months AS site", report, "row.date", of_month))
        .replace("{days_viewed}", &sql.look_up(days, report, "row.date", of_day))
        .replace("{first_hours}", &hours("first"))
        .replace("{last_hours}", &hours("last"));
    let rows = db.query_all_raw(sql.statement(&statement)).await?;
    let mut viewed: HashMap<String, Viewed> = HashMap::new();
    for row in &rows {
        let [first, last] = [hours_at(row, 1)?, hours_at(row, 26)?];
        viewed.insert(
            row.try_get_by_index(0)?,
            Viewed { first: first.0, last: last.1, title: row.try_get_by_index(51)? },
        );
    }
    Ok(names.iter().map(|name| viewed.remove(name)).collect())
}

/// Returns the first and the last hour with views of a day's columns, which begin with its date at `index`; its first hour
/// where the hours were dropped.
fn hours_at(row: &QueryResult, index: usize) -> Result<(Hour, Hour), DbErr> {
    let hours = views_by_hour(row, index)?;
    let day = Hour::new(row.try_get_by_index(index)?, 0);
    let [first, last] = [hours.first(), hours.last()].map(|hour| hour.map_or(day, |(hour, _)| *hour));
    Ok((first, last))
}
