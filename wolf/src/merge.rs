//! The merge: a report that is a table gets the deltas of its stale hours added, and nothing else is touched.

use entity::Hour;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};

use crate::marks;

/// Adds what the counts of `hours` have grown by to the report, at every grain, of each page and of the site.
/// Returns how many report rows changed.
///
/// Each hour's delta is taken between the counts and the report as one statement sees them both, so it is
/// right whatever marks there are, and a second merge of the same hours changes nothing.
pub(crate) async fn merge(transaction: &DatabaseTransaction, hours: &[Hour]) -> Result<u64, DbErr> {
    let sql = match transaction.get_database_backend() {
        DbBackend::Postgres => include_str!("merge/postgres.sql"),
        _ => include_str!("merge/sqlite.sql"),
    };
    if transaction.get_database_backend() == DbBackend::Postgres {
        // Compiling the statement takes longer than it saves; and a plan that does not know how many hours there are
        // may scan what it should look up.
        transaction.execute_unprepared("SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan").await?;
    }
    Ok(transaction.execute_raw(marks::bound(transaction, sql, hours)).await?.rows_affected())
}

/// Puts the current titles of the pages `names` on their month rows. Returns how many report rows changed.
pub(crate) async fn retitle(transaction: &DatabaseTransaction, names: &[String]) -> Result<u64, DbErr> {
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
