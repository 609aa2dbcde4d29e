//! The rows of `pages` that jobs write, remove and look through.

use chrono::{DateTime, Utc};
use entity::{Hour, page, page_view};
use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use storage::Transaction;

use crate::{bound_list, groups::memberships};

/// The most rows of one statement.
const ROWS_PER_STATEMENT: usize = 1_000;

/// Inserts the pages that are not there, without titles: a recorder that knew a page just before it was removed does not
/// write it again for a minute.
pub(crate) async fn insert_missing(
    transaction: &Transaction,
    names: Vec<String>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    for portion in names.chunks(ROWS_PER_STATEMENT) {
        let rows = portion.iter().map(|name| page::ActiveModel {
            name: Set(name.clone()),
            title: Set(None),
            first_seen_at: Set(now),
        });
        let conflict = OnConflict::column(page::Column::Name).do_nothing().to_owned();
        page::Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Returns at most `limit` pages whose names come after `after`, in order, with their titles.
pub(crate) async fn after<C: ConnectionTrait>(
    db: &C,
    after: &str,
    limit: u64,
) -> Result<Vec<(String, Option<String>)>, DbErr> {
    let pages = page::Entity::find()
        .select_only()
        .columns([page::Column::Name, page::Column::Title])
        .filter(page::Column::Name.gt(after))
        .order_by_asc(page::Column::Name)
        .limit(limit);
    pages.into_tuple().all(db).await
}

/// Deletes pages, with the groups that are noted of them.
pub(crate) async fn delete(transaction: &Transaction, names: &[String]) -> Result<(), DbErr> {
    for portion in names.chunks(ROWS_PER_STATEMENT) {
        let delete = page::Entity::delete_many().filter(page::Column::Name.is_in(portion.iter().cloned()));
        delete.exec(transaction).await?;
    }
    memberships::delete(transaction, names).await
}

/// Inserts the pages that have counts in `hours` and are missing.
pub(crate) async fn restore(transaction: &Transaction, hours: &[Hour], now: DateTime<Utc>) -> Result<(), DbErr> {
    let hour = [page_view::Column::Date, page_view::Column::Hour].map(Expr::col);
    let hours = bound_list::hours(transaction.get_database_backend(), hours);
    let known = page::Entity::find()
        .select_only()
        .column(page::Column::Name)
        .filter(Expr::col((page::Entity, page::Column::Name)).equals((page_view::Entity, page_view::Column::Name)));
    let missing = page_view::Entity::find()
        .select_only()
        .column(page_view::Column::Name)
        .distinct()
        .filter(Expr::tuple(hour).in_subquery(hours))
        .filter(Expr::exists(known.into_query()).not());
    insert_missing(transaction, missing.into_tuple().all(transaction).await?, now).await
}

/// Deletes the pages without counts, and the groups that are noted of such pages.
pub(crate) async fn delete_without_counts(transaction: &Transaction) -> Result<(), DbErr> {
    for table in ["pages", "page_memberships"] {
        let sql = include_str!("pages/delete_without_counts.sql").replace("{table}", table);
        transaction.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Gives the page `to` the title of the page `from` if it has none, and inserts it if it is new.
pub(crate) async fn take_over(
    transaction: &Transaction,
    from: &str,
    to: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let Some(page) = page::Entity::find_by_id(from).one(transaction).await? else { return Ok(()) };
    match page::Entity::find_by_id(to).one(transaction).await? {
        None => {
            let first_seen_at = Ord::min(page.first_seen_at, now);
            let row = page::Model { name: to.to_owned(), title: page.title, first_seen_at };
            page::Entity::insert(page::ActiveModel::from(row)).exec_without_returning(transaction).await.map(drop)
        }
        Some(target) => {
            let first_seen_at = Ord::min(target.first_seen_at, page.first_seen_at);
            let row = page::ActiveModel {
                name: Unchanged(target.name),
                title: Set(target.title.or(page.title)),
                first_seen_at: Set(first_seen_at),
            };
            page::Entity::update(row).exec_without_returning(transaction).await.map(drop)
        }
    }
}
