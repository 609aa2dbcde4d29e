//! The merge: adds the changes of stale hours to a report that is a table, and touches no other row.
//!
//! The changes of the counts are read hour by hour, summed for days, months and the site in memory, and added by one
//! statement for each different sum.

mod batch_size;
mod deltas;
mod postgres;
mod sqlite;

use entity::{
    Grain, Hour, page,
    page_views_report::{self, Column as Report},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryTrait,
    sea_query::{BinOper, Expr, ExprTrait},
};
use storage::Transaction;

use crate::citus;
use deltas::{BucketDelta, HourDelta, bucket_deltas};
use postgres::Postgres;
use sqlite::Sqlite;

/// The result of one merge.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// The number of report rows that changed.
    pub(crate) rows_changed: u64,
    /// The number of rows that the report lacks: days or months of pages of which it has hours.
    pub(crate) rows_missing: u64,
    /// The hours that have more changed counts than could be read, and those that were not reached.
    pub(crate) unfinished: Vec<Hour>,
}

/// The result of one addition.
#[derive(Copy, Clone, Debug, Default)]
struct Added {
    rows_changed: u64,
    rows_missing: u64,
}

/// The statements of a merge on one kind of database.
trait MergeStatements {
    /// Reads the differences between the hour's counts and the report, of at most `counts_max` counts.
    async fn hour_delta(&mut self, hour: Hour, counts_max: usize) -> Result<HourDelta, DbErr>;

    /// Adds to existing rows, and inserts missing ones.
    async fn add(&mut self, bucket_delta: BucketDelta) -> Result<Added, DbErr>;
}

/// Adds the changes of the counts of `hours` to the report, at every grain, for each page and the site; of at most
/// `counts_max` counts.
///
/// One statement compares an hour's counts with the report, so the deltas are right whatever marks there are, and a
/// second merge of the same hours changes nothing. The sums of the pages and of the site add up after each merge, even
/// if it leaves hours unfinished.
pub(crate) async fn merge(transaction: &Transaction, hours: &[Hour], counts_max: usize) -> Result<Merged, DbErr> {
    if transaction.get_database_backend() == DbBackend::Sqlite {
        return merge_by(&mut Sqlite(transaction), hours, counts_max).await;
    }
    if citus::is_installed(transaction).await? {
        let rows_changed = citus::merge(transaction, hours).await?;
        return Ok(Merged { rows_changed, ..Merged::default() });
    }
    let mut statements = Postgres::begin(transaction).await?;
    let merged = merge_by(&mut statements, hours, counts_max).await?;
    statements.end().await?;
    Ok(merged)
}

async fn merge_by(statements: &mut impl MergeStatements, hours: &[Hour], counts_max: usize) -> Result<Merged, DbErr> {
    let mut merged = Merged::default();
    let mut hour_deltas = Vec::new();
    let mut left = counts_max;
    for (index, hour) in hours.iter().enumerate() {
        let hour_delta = statements.hour_delta(*hour, left).await?;
        left = left.saturating_sub(hour_delta.counts());
        hour_deltas.push(hour_delta);
        if left == 0 {
            merged.unfinished = hours[index..].to_vec();
            break;
        }
    }
    for bucket_delta in bucket_deltas(hour_deltas) {
        let added = statements.add(bucket_delta).await?;
        merged.rows_changed += added.rows_changed;
        merged.rows_missing += added.rows_missing;
    }
    Ok(merged)
}

/// Copies the current titles of the pages `names` to their month rows. Returns the number of changed rows.
pub(crate) async fn retitle(transaction: &Transaction, names: Vec<String>) -> Result<u64, DbErr> {
    let title = Expr::col((page::Entity, page::Column::Title));
    let differs = Report::Title.into_expr().binary(BinOper::Custom("IS DISTINCT FROM"), title.clone());
    let mut rows = page_views_report::Entity::update_many()
        .col_expr(Report::Title, title)
        .filter(page::Column::Name.is_in(names))
        .filter(page::Column::Title.is_not_null())
        .filter(Report::Grain.eq(Grain::Month))
        .filter(Report::Name.into_expr().equals((page::Entity, page::Column::Name)))
        .filter(differs);
    QueryTrait::query(&mut rows).from(page::Entity);
    Ok(rows.exec(transaction).await?.rows_affected)
}
