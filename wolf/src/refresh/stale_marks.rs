//! Stale marks: the rows by which a recorded increment marks its hour, and a new title its page, as stale.

use chrono::NaiveDate;
use entity::{Hour, stale_hour, stale_title};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use storage::Transaction;

use crate::bound_list;

/// Returns the stale hours, newest first, at most `limit` of them.
pub(crate) async fn stale_hours<C: ConnectionTrait>(db: &C, limit: Option<u64>) -> Result<Vec<Hour>, DbErr> {
    let hours: Vec<(NaiveDate, i16)> = stale_hour::Entity::find()
        .select_only()
        .columns([stale_hour::Column::Date, stale_hour::Column::Hour])
        .distinct()
        .order_by_desc(stale_hour::Column::Date)
        .order_by_desc(stale_hour::Column::Hour)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(hours.into_iter().map(|(date, hour)| Hour::new(date, hour)).collect())
}

/// Returns the id of the newest mark of a stale title.
pub(crate) async fn newest_stale_title<C: ConnectionTrait>(db: &C) -> Result<Option<i64>, DbErr> {
    let newest = stale_title::Entity::find().order_by_desc(stale_title::Column::Id).one(db).await?;
    Ok(newest.map(|mark| mark.id))
}

/// Deletes the marks of `hours` that this statement sees; later increments leave new ones. Returns how many it
/// deleted.
pub(crate) async fn delete_hours(transaction: &Transaction, hours: &[Hour]) -> Result<u64, DbErr> {
    let hour = Expr::tuple([stale_hour::Column::Date, stale_hour::Column::Hour].map(Expr::col));
    let marks = hour.in_subquery(bound_list::hours(transaction.get_database_backend(), hours));
    Ok(stale_hour::Entity::delete_many().filter(marks).exec(transaction).await?.rows_affected)
}

/// Marks `hours` as stale again: their marks were deleted and not all of their changes merged.
pub(crate) async fn restore_hours(transaction: &Transaction, hours: &[Hour]) -> Result<(), DbErr> {
    let marks = hours.iter().map(|hour| stale_hour::ActiveModel {
        date: Set(hour.date()),
        hour: Set(hour.of_day()),
        ..Default::default()
    });
    stale_hour::Entity::insert_many(marks).exec_without_returning(transaction).await.map(drop)
}

/// Deletes at most `limit` marks of titles, none newer than `newest`. Returns the pages' names, one for each mark.
pub(crate) async fn delete_titles(
    transaction: &Transaction,
    newest: Option<i64>,
    limit: usize,
) -> Result<Vec<String>, DbErr> {
    let Some(newest) = newest else { return Ok(Vec::new()) };
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let marks = stale_title::Entity::find().filter(stale_title::Column::Id.lte(newest));
    let marks = marks.order_by_asc(stale_title::Column::Id).limit(limit).all(transaction).await?;
    if !marks.is_empty() {
        let ids = marks.iter().map(|mark| mark.id);
        stale_title::Entity::delete_many().filter(stale_title::Column::Id.is_in(ids)).exec(transaction).await?;
    }
    Ok(marks.into_iter().map(|mark| mark.name).collect())
}

/// Deletes every mark that this transaction sees.
pub(crate) async fn delete_all(transaction: &Transaction) -> Result<(), DbErr> {
    stale_hour::Entity::delete_many().exec(transaction).await?;
    stale_title::Entity::delete_many().exec(transaction).await?;
    Ok(())
}
