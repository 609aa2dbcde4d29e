//! The merge: adds the changes of stale hours to a report that is a table, and touches no other row.
//!
//! The changes of the counts are read hour by hour, summed for days, months and the site in memory, and added by one
//! statement for each different sum.

mod batch_size;
mod deltas;
mod group_deltas;
pub(crate) mod hour_columns;
pub(crate) mod page_rows;
mod postgres;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use entity::{
    Grain, Hour, page,
    page_views_report::{self, Column as Report, PAGE_DATE},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryTrait,
    sea_query::{BinOper, Expr, ExprTrait},
};
use storage::Transaction;

use crate::{
    changed_pages::ChangedPages,
    site_rows::{self, Bucket, SiteRow},
    top_pages::TopPages,
};
use deltas::{BucketDelta, HourDelta, PageDeltas, bucket_deltas};
use group_deltas::group_deltas;
use postgres::Postgres;
use sqlite::Sqlite;

/// Looking up one row takes about as long as reading so many that lie side by side.
const ROWS_READ_PER_LOOK_UP: i64 = 8;

/// An hour whose counts have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StaleHour {
    pub(crate) hour: Hour,
    /// The pages whose counts may have changed, sorted and without duplicates; `None` if it may be any page's.
    pub(crate) names: Option<Vec<String>>,
}

/// The result of one merge.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// The number of report rows that changed.
    pub(crate) rows_changed: u64,
    /// The pages whose rows these are.
    pub(crate) pages: ChangedPages,
    /// The number of rows that the report lacks: months of pages of which it has days.
    pub(crate) rows_missing: u64,
    /// The hours that have more changed counts than could be read, and those that were not reached.
    pub(crate) unfinished: Vec<Hour>,
}

/// The result of one addition.
#[derive(Copy, Clone, Debug, Default)]
struct Added {
    rows_changed: u64,
    rows_missing: u64,
    /// The number of pages' rows that were inserted for the day.
    new_in_day: i64,
    /// The number of pages' rows that were inserted for the month.
    new_in_month: i64,
}

/// The number of views from which on a row is flagged as one of the most viewed of its bucket; `None` for no row.
#[derive(Copy, Clone, Debug, Default)]
struct TopViews {
    day: Option<i64>,
    month: Option<i64>,
}

/// The statements of a merge on one kind of database.
trait MergeStatements {
    /// Reads the differences between the hour's counts and the report, of at most `counts_max` counts: of the pages `names`,
    /// or of all. `day_rows` is the number of pages that the report has on this day, if it is known.
    async fn hour_delta(
        &mut self,
        hour: Hour,
        names: Option<&[String]>,
        day_rows: Option<i64>,
        counts_max: usize,
    ) -> Result<HourDelta, DbErr>;

    /// Adds to rows of `buckets`, of which each bucket has every one. `rows` is the number of rows of the buckets, if it is
    /// known.
    async fn add_to_existing(
        &mut self,
        bucket_delta: &BucketDelta,
        deltas: PageDeltas,
        top_views: TopViews,
        rows: Option<i64>,
    ) -> Result<Added, DbErr>;

    /// Adds to existing rows of `buckets`, and inserts missing ones.
    async fn add_new(
        &mut self,
        bucket_delta: &BucketDelta,
        deltas: PageDeltas,
        top_views: TopViews,
    ) -> Result<Added, DbErr>;
}

/// Adds the changes of the counts of `hours` to the report, at every grain, for each page and the site; of at most
/// `counts_max` counts.
///
/// One statement compares an hour's counts with the report, so the deltas are right whatever marks there are, and a
/// second merge of the same hours changes nothing. The sums of the pages and of the site add up after each merge, even
/// if it leaves hours unfinished. So do those of groups, the flags and the numbers of pages on the site's rows.
pub(crate) async fn merge(
    transaction: &Transaction,
    hours: &[StaleHour],
    counts_max: usize,
    top_pages: TopPages,
) -> Result<Merged, DbErr> {
    if transaction.get_database_backend() == DbBackend::Sqlite {
        return merge_by(&mut Sqlite(transaction), transaction, hours, counts_max, top_pages).await;
    }
    let mut statements = Postgres::begin(transaction).await?;
    let merged = merge_by(&mut statements, transaction, hours, counts_max, top_pages).await?;
    statements.end().await?;
    Ok(merged)
}

async fn merge_by(
    statements: &mut impl MergeStatements,
    transaction: &Transaction,
    hours: &[StaleHour],
    counts_max: usize,
    top_pages: TopPages,
) -> Result<Merged, DbErr> {
    let mut merged = Merged::default();
    let mut hour_deltas = Vec::new();
    let buckets = hours.iter().map(|stale| stale.hour);
    let buckets = buckets.flat_map(|hour| [(Grain::Day, hour.date()), (Grain::Month, hour.month_start().date())]);
    let mut site_rows = site_rows::read(transaction, buckets.collect()).await?;
    let mut left = counts_max;
    for (index, stale) in hours.iter().enumerate() {
        // Nothing is known of a day without a site's row, and it has no rows.
        let day_rows = site_rows.get(&(Grain::Day, stale.hour.date())).map_or(Some(0), |day| day.pages);
        let names = stale.names.as_deref().filter(|names| look_ups_pay(names.len(), day_rows));
        let hour_delta = statements.hour_delta(stale.hour, names, day_rows, left).await?;
        left = left.saturating_sub(hour_delta.counts());
        merged.pages.add(hour_delta.existing.names.iter().chain(&hour_delta.new.names));
        hour_deltas.push(hour_delta);
        if left == 0 {
            merged.unfinished = hours[index..].iter().map(|stale| stale.hour).collect();
            break;
        }
    }
    let bucket_deltas = bucket_deltas(hour_deltas);
    for mut group_delta in group_deltas(transaction, &bucket_deltas).await? {
        let groups = std::mem::take(&mut group_delta.new);
        merged.rows_changed += statements.add_new(&group_delta, groups, TopViews::default()).await?.rows_changed;
    }
    let changed: BTreeSet<_> = bucket_deltas.iter().flat_map(|bucket_delta| bucket_delta.buckets.clone()).collect();
    site_rows.retain(|bucket, _| changed.contains(bucket));
    let mut viewed: BTreeMap<String, NaiveDate> = BTreeMap::new();
    for bucket_delta in bucket_deltas {
        let (rows_changed, rows_missing) =
            add(statements, bucket_delta, &mut site_rows, &mut viewed, top_pages).await?;
        merged.rows_changed += rows_changed;
        merged.rows_missing += rows_missing;
    }
    let site_rows = top_pages.limit_flags(transaction, site_rows).await?;
    site_rows::write(transaction, &site_rows).await?;
    merged.rows_changed += page_rows::view(transaction, viewed).await?;
    Ok(merged)
}

/// Returns whether looking up `names` costs less than reading a bucket of `rows` rows.
fn look_ups_pay(names: usize, rows: Option<i64>) -> bool {
    let rows_read = i64::try_from(names).unwrap_or(i64::MAX).saturating_mul(ROWS_READ_PER_LOOK_UP);
    rows.is_some_and(|rows| rows_read < rows)
}

/// Adds `bucket_delta` to its buckets, and to what `site_rows` tell of them. Notes the pages that are new in a day in
/// `viewed`. Returns how many rows have changed, and how many are missing.
async fn add(
    statements: &mut impl MergeStatements,
    mut bucket_delta: BucketDelta,
    site_rows: &mut BTreeMap<Bucket, SiteRow>,
    viewed: &mut BTreeMap<String, NaiveDate>,
    top_pages: TopPages,
) -> Result<(u64, u64), DbErr> {
    let (existing, new) = (std::mem::take(&mut bucket_delta.existing), std::mem::take(&mut bucket_delta.new));
    let views = || existing.views.iter().chain(&new.views[1..]).copied();
    let mut rows = Some(0);
    let mut top_views = TopViews::default();
    for bucket in &bucket_delta.buckets {
        let site_row = site_rows.entry(*bucket).or_insert_with(SiteRow::of_new_bucket);
        top_pages.raise(&mut site_row.top_views, views);
        rows = rows.zip(site_row.pages).map(|(rows, pages)| rows + pages);
        match bucket.0 {
            Grain::Day => top_views.day = site_row.top_views,
            _ => top_views.month = site_row.top_views,
        }
    }
    let day = bucket_delta.buckets.iter().find(|(grain, _)| *grain == Grain::Day).map(|(_, date)| *date);
    if let Some(day) = day {
        for name in &new.names[1..] {
            viewed.entry(name.clone()).and_modify(|last| *last = Ord::max(*last, day)).or_insert(day);
        }
    }
    let mut added = Added::default();
    if !existing.is_empty() {
        added = statements.add_to_existing(&bucket_delta, existing, top_views, rows).await?;
    }
    let inserted = statements.add_new(&bucket_delta, new, top_views).await?;
    for bucket in &bucket_delta.buckets {
        let new_pages = if bucket.0 == Grain::Day { inserted.new_in_day } else { inserted.new_in_month };
        if let Some(pages) = site_rows.get_mut(bucket).and_then(|site_row| site_row.pages.as_mut()) {
            *pages += new_pages;
        }
    }
    Ok((added.rows_changed + inserted.rows_changed, added.rows_missing))
}

/// Copies the current titles of the pages `names` to their rows. Returns the number of changed rows.
pub(crate) async fn retitle(transaction: &Transaction, names: Vec<String>) -> Result<u64, DbErr> {
    let title = Expr::col((page::Entity, page::Column::Title));
    let differs = Report::Title.into_expr().binary(BinOper::Custom("IS DISTINCT FROM"), title.clone());
    let mut rows = page_views_report::Entity::update_many()
        .col_expr(Report::Title, title)
        .filter(page::Column::Name.is_in(names))
        .filter(page::Column::Title.is_not_null())
        .filter(Report::Grain.eq(Grain::Page))
        .filter(Report::Date.eq(PAGE_DATE))
        .filter(Report::Name.into_expr().equals((page::Entity, page::Column::Name)))
        .filter(differs);
    QueryTrait::query(&mut rows).from(page::Entity);
    Ok(rows.exec(transaction).await?.rows_affected)
}
