//! The merge: a report that is a table gets the deltas of its stale hours added, and nothing else is touched.
//!
//! What the counts have grown by is read hour by hour, summed for days, months and the site here, and added by as few
//! statements as there are different sums.

mod additions;
mod pace;
mod postgres;
mod sqlite;

use entity::{Hour, Transaction};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::citus;
use additions::{Addition, Growth, additions};
use postgres::Postgres;
use sqlite::Sqlite;

/// What one merge did.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// How many report rows changed.
    pub(crate) rows_changed: u64,
    /// How many rows the report lacks: it has these pages' hours, and not their days or months.
    pub(crate) rows_missing: u64,
    /// The hours in which more counts have changed than were to be read; and those that were not reached.
    pub(crate) unfinished: Vec<Hour>,
}

/// What adding did.
#[derive(Copy, Clone, Debug, Default)]
struct Added {
    rows_changed: u64,
    rows_missing: u64,
}

/// The statements of a merge, of one database.
trait Statements {
    /// By how much at most `counts_max` of the hour's counts differ from the report.
    async fn growth(&mut self, hour: Hour, counts_max: usize) -> Result<Growth, DbErr>;

    /// Adds to the rows that there are, and makes those that there are not.
    async fn add(&mut self, addition: Addition) -> Result<Added, DbErr>;
}

/// Adds what the counts of `hours` have grown by to the report, at every grain, of each page and of the site; of at
/// most `counts_max` counts.
///
/// Each hour's deltas are taken between the counts and the report as one statement sees them both, so they are
/// right whatever marks there are, and a second merge of the same hours changes nothing. The sums of the pages and of
/// the site add up after each merge, even if it leaves hours unfinished.
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

async fn merge_by(statements: &mut impl Statements, hours: &[Hour], counts_max: usize) -> Result<Merged, DbErr> {
    let mut merged = Merged::default();
    let mut growths = Vec::new();
    let mut left = counts_max;
    for (index, hour) in hours.iter().enumerate() {
        let growth = statements.growth(*hour, left).await?;
        left = left.saturating_sub(growth.counts());
        growths.push(growth);
        if left == 0 {
            merged.unfinished = hours[index..].to_vec();
            break;
        }
    }
    for addition in additions(growths) {
        let added = statements.add(addition).await?;
        merged.rows_changed += added.rows_changed;
        merged.rows_missing += added.rows_missing;
    }
    Ok(merged)
}

/// Puts the current titles of the pages `names` on their month rows. Returns how many report rows changed.
pub(crate) async fn retitle(transaction: &Transaction, names: &[String]) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let (named, names): (_, Value) = match backend {
        DbBackend::Postgres => ("= ANY($1)", names.to_vec().into()),
        _ => ("IN (SELECT value FROM json_each(?1))", serde_json::json!(names).to_string().into()),
    };
    let sql = format!(
        "UPDATE page_views_report SET title = pages.title FROM pages
         WHERE pages.name {named} AND pages.title IS NOT NULL
             AND page_views_report.grain = 'month' AND page_views_report.name = pages.name
             AND page_views_report.title IS DISTINCT FROM pages.title"
    );
    Ok(transaction.execute_raw(Statement::from_sql_and_values(backend, sql, [names])).await?.rows_affected())
}
