//! The merge: a report that is a table gets the deltas of its stale hours added, and nothing else is touched.

use entity::{Grain, Hour, page, page_views_report as report};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait},
};

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
    Ok(transaction.execute_raw(marks::bound(transaction, sql, hours)).await?.rows_affected())
}

/// Puts the current titles of `names` on their month rows. Returns how many report rows changed.
pub(crate) async fn retitle(transaction: &DatabaseTransaction, names: &[String]) -> Result<u64, DbErr> {
    let pages = page::Entity::find().filter(page::Column::Name.is_in(names)).all(transaction).await?;
    let mut changed = 0;
    for page in pages.into_iter().filter(|page| page.title.is_some()) {
        let other_title = report::Column::Title.is_null().or(report::Column::Title.ne(page.title.clone()));
        changed += report::Entity::update_many()
            .col_expr(report::Column::Title, Expr::value(page.title))
            .filter(report::Column::Grain.eq(Grain::Month))
            .filter(report::Column::Name.eq(page.name))
            .filter(other_title)
            .exec(transaction)
            .await?
            .rows_affected;
    }
    Ok(changed)
}
