//! What the site's rows of the report tell of the pages' rows in their bucket: how many there are, how many pages were last
//! viewed then, and from how many views on they are flagged.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use entity::{
    Grain,
    page_views_report::{self, Column as Report, SITE},
};
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement, Value,
};
use serde_json::json;
use storage::Transaction;

use crate::bound_list;

/// A day or a month, by its first day.
pub(crate) type Bucket = (Grain, NaiveDate);

/// What the site's row of a bucket tells of the bucket's rows; `None` where it is not known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SiteRow {
    /// The number of pages' rows.
    pub(crate) pages: Option<i64>,
    /// Every row with at least so many views is flagged.
    pub(crate) top_views: Option<i64>,
}

impl SiteRow {
    /// Returns what is known of a bucket without rows: all rows that will be in it are counted and flagged.
    pub(crate) fn of_new_bucket() -> Self {
        Self { pages: Some(0), top_views: Some(1) }
    }
}

/// Returns what the site's rows of `buckets` tell. Buckets without one are left out.
pub(crate) async fn read(
    transaction: &Transaction,
    buckets: BTreeSet<Bucket>,
) -> Result<BTreeMap<Bucket, SiteRow>, DbErr> {
    let mut site_rows = BTreeMap::new();
    for grain in [Grain::Day, Grain::Month] {
        let dates = buckets.iter().filter(|bucket| bucket.0 == grain).map(|(_, date)| *date).collect();
        let rows: Vec<(NaiveDate, Option<i64>, Option<i64>)> = page_views_report::Entity::find()
            .select_only()
            .columns([Report::Date, Report::Pages, Report::TopViews])
            .filter(Report::Grain.eq(grain))
            .filter(Report::Date.in_subquery(bound_list::dates(transaction.get_database_backend(), dates)))
            .filter(Report::Name.eq(SITE))
            .into_tuple()
            .all(transaction)
            .await?;
        let rows = rows.into_iter().map(|(date, pages, top_views)| ((grain, date), SiteRow { pages, top_views }));
        site_rows.extend(rows);
    }
    Ok(site_rows)
}

/// Stands for what is not known, in an array.
const UNKNOWN: i64 = -1;

/// Writes what the site's rows tell, where it is known.
pub(crate) async fn write(transaction: &Transaction, site_rows: &BTreeMap<Bucket, SiteRow>) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let statement = if backend == DbBackend::Postgres {
        let (mut grains, mut dates, mut pages, mut top_views) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((grain, date), site_row) in site_rows {
            grains.push(grain.to_value());
            dates.push(*date);
            pages.push(site_row.pages.unwrap_or(UNKNOWN));
            top_views.push(site_row.top_views.unwrap_or(UNKNOWN));
        }
        let values: [Value; 4] = [grains.into(), dates.into(), pages.into(), top_views.into()];
        Statement::from_sql_and_values(backend, include_str!("site_rows/postgres_write.sql"), values)
    } else {
        let rows: Vec<_> = site_rows
            .iter()
            .map(|((grain, date), site_row)| (grain.to_value(), date, site_row.pages, site_row.top_views))
            .collect();
        let values = [json!(rows).to_string().into()];
        Statement::from_sql_and_values(backend, include_str!("site_rows/sqlite_write.sql"), values)
    };
    transaction.execute_raw(statement).await.map(drop)
}

/// Adds to the numbers of pages that were last viewed on each day, where they are known.
pub(crate) async fn add_last_pages(transaction: &Transaction, changes: BTreeMap<NaiveDate, i64>) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let statement = if backend == DbBackend::Postgres {
        let (dates, pages): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        let values: [Value; 2] = [dates.into(), pages.into()];
        Statement::from_sql_and_values(backend, include_str!("site_rows/postgres_add_last_pages.sql"), values)
    } else {
        let rows: Vec<_> = changes.into_iter().collect();
        let values = [json!(rows).to_string().into()];
        Statement::from_sql_and_values(backend, include_str!("site_rows/sqlite_add_last_pages.sql"), values)
    };
    transaction.execute_raw(statement).await.map(drop)
}
