//! The merge on a Citus cluster: each node adds the changes of its pages to their rows of the report. Only what concerns the
//! whole site comes to the coordinator: sums by hour, and numbers of pages.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use entity::{Grain, Hour};
use sea_orm::{DbErr, QueryResult, Value};
use storage::Transaction;

use super::{execute, groups, marks, query};
use crate::{
    merge::{StaleHour, hour_columns},
    site_rows::{self, Bucket, SiteRow},
    top_pages::TopPages,
};

/// Adds the changes of the counts of `hours` whose marks are there now to the report, and brings titles up to date.
/// `old` have marks of another kind, which the caller deletes. Returns the number of changed rows.
pub(crate) async fn merge(
    transaction: &Transaction,
    hours: &[Hour],
    old: &[StaleHour],
    top_pages: TopPages,
) -> Result<u64, DbErr> {
    if !old.is_empty() {
        marks::mark_old_hours(transaction, old).await?;
    }
    marks::take(transaction, hours).await?;
    execute(transaction, include_str!("find_deltas.sql"), []).await?;
    let site = SiteDeltas::read(transaction).await?;
    let mut rows = 0;
    if !site.hours.is_empty() {
        let mut site_rows = site_rows::read(transaction, site.buckets()).await?;
        for bucket in site.buckets() {
            let site_row = site_rows.entry(bucket).or_insert_with(SiteRow::of_new_bucket);
            rows += add(transaction, bucket, site_row, &site, top_pages).await?;
        }
        let site_rows = top_pages.limit_flags(transaction, site_rows).await?;
        site_rows::write(transaction, &site_rows).await?;
        rows += view_pages(transaction).await?;
        rows += groups::add(transaction).await?;
    }
    rows += execute(transaction, include_str!("retitle.sql"), []).await?;
    marks::delete_taken(transaction).await?;
    execute(transaction, "DELETE FROM merge_deltas", []).await?;
    Ok(rows)
}

/// What the changes come to for the whole site.
struct SiteDeltas {
    hours: BTreeMap<Hour, i64>,
    /// The numbers of pages that are new in a day or a month.
    new_pages: BTreeMap<Bucket, i64>,
}

impl SiteDeltas {
    async fn read(transaction: &Transaction) -> Result<Self, DbErr> {
        let rows = query(transaction, include_str!("site_deltas.sql"), []).await?;
        let hour = |row: &QueryResult| -> Result<_, DbErr> {
            Ok((Hour::new(row.try_get_by_index(0)?, row.try_get_by_index(1)?), row.try_get_by_index(2)?))
        };
        let hours = rows.iter().map(hour).collect::<Result<_, DbErr>>()?;
        let mut new_pages = BTreeMap::new();
        for (grain, sql) in
            [(Grain::Day, include_str!("new_in_days.sql")), (Grain::Month, include_str!("new_in_months.sql"))]
        {
            for row in query(transaction, sql, []).await? {
                new_pages.insert((grain, row.try_get_by_index(0)?), row.try_get_by_index(1)?);
            }
        }
        Ok(Self { hours, new_pages })
    }

    /// The days and months that change.
    fn buckets(&self) -> BTreeSet<Bucket> {
        let of_hour = |hour: &Hour| [(Grain::Day, hour.date()), (Grain::Month, hour.month_start().date())];
        self.hours.keys().flat_map(of_hour).collect()
    }

    /// The changes of the hours of a bucket.
    fn hours_of(&self, (grain, date): Bucket) -> impl Iterator<Item = (Hour, i64)> {
        let is_in = move |hour: &Hour| match grain {
            Grain::Day => hour.date() == date,
            _ => hour.month_start().date() == date,
        };
        self.hours.iter().map(|(hour, views)| (*hour, *views)).filter(move |(hour, _)| is_in(hour))
    }
}

/// Adds the changes of a bucket to its rows: the pages' on their nodes, and the site's.
async fn add(
    transaction: &Transaction,
    bucket: Bucket,
    site_row: &mut SiteRow,
    site: &SiteDeltas,
    top_pages: TopPages,
) -> Result<u64, DbErr> {
    let (grain, date) = bucket;
    let end = match grain {
        Grain::Day => date.succ_opt().unwrap_or(NaiveDate::MAX),
        _ => Hour::new(date, 0).next_month_start().date(),
    };
    let most_max = i64::try_from(top_pages.rows_max() + 1).unwrap_or(i64::MAX);
    let most = query(transaction, include_str!("most_added.sql"), [date.into(), end.into(), most_max.into()]).await?;
    let most = most.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<i64>, _>>()?;
    top_pages.raise(&mut site_row.top_views, || most.iter().copied());
    let hours: Vec<_> = site.hours_of(bucket).map(|(hour, _)| hour.of_day()).collect();
    let sum = |index| format!("CAST(sum(views) FILTER (WHERE hour = {}) AS bigint)", hours[index]);
    let sql = match grain {
        Grain::Day => hour_columns::fill_in(include_str!("add_to_day.sql"), &hours, "excluded", sum),
        _ => include_str!("add_to_month.sql").to_owned(),
    };
    let rows = execute(transaction, &sql, [date.into(), site_row.top_views.into()]).await?;
    if let Some(pages) = &mut site_row.pages {
        *pages += site.new_pages.get(&bucket).copied().unwrap_or_default();
    }
    Ok(rows + add_to_site(transaction, bucket, *site_row, site).await?)
}

/// Adds to the site's row of a bucket, or inserts it.
async fn add_to_site(
    transaction: &Transaction,
    bucket: Bucket,
    site_row: SiteRow,
    site: &SiteDeltas,
) -> Result<u64, DbErr> {
    let (grain, date) = bucket;
    let views: i64 = site.hours_of(bucket).map(|(_, views)| views).sum();
    let mut values: Vec<Value> =
        vec![grain.as_str().into(), date.into(), views.into(), site_row.pages.into(), site_row.top_views.into()];
    let mut hours = Vec::new();
    if grain == Grain::Day {
        for (hour, views) in site.hours_of(bucket) {
            hours.push(hour.of_day());
            values.push(views.into());
        }
    }
    let sql =
        hour_columns::fill_in(include_str!("add_to_site.sql"), &hours, "excluded", |index| format!("${}", 6 + index));
    execute(transaction, &sql, values).await
}

/// Brings the rows of pages up to date, and the numbers of pages by their last days.
async fn view_pages(transaction: &Transaction) -> Result<u64, DbErr> {
    let mut last_pages: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for row in query(transaction, include_str!("last_days.sql"), []).await? {
        let (before, after, pages) =
            (row.try_get_by_index::<Option<NaiveDate>>(0)?, row.try_get_by_index(1)?, row.try_get_by_index::<i64>(2)?);
        *last_pages.entry(after).or_default() += pages;
        if let Some(before) = before {
            *last_pages.entry(before).or_default() -= pages;
        }
    }
    let rows = execute(transaction, include_str!("view_pages.sql"), []).await?;
    if !last_pages.is_empty() {
        site_rows::add_last_pages(transaction, last_pages).await?;
    }
    Ok(rows)
}
