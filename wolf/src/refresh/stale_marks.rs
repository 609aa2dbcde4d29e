//! Stale marks: the rows by which a recorded increment marks its hour, and a new title its page, as stale.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use entity::{Hour, stale_hour, stale_title};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Statement,
    sea_query::{Expr, ExprTrait, Query},
};
use storage::Transaction;

use crate::{bound_list, merge::StaleHour};

/// The most pages' names that the marks of one portion may have in all. With more, whole hours are looked through.
const NAMES_MAX: i64 = 200_000;
/// How long a name is taken to be, in bytes.
const NAME_BYTES: i64 = 50;

/// Returns the query of the hours that have marks, each once: `date` and `hour`. On PostgreSQL those of a Citus cluster are
/// beside the counts.
pub(crate) fn marked_hours(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            // Grouped on their nodes, so that no more than the hours come to the coordinator.
            "SELECT date, hour FROM stale_hours \
             UNION SELECT date, hour FROM stale_pages WHERE date IS NOT NULL GROUP BY date, hour"
        }
        _ => "SELECT DISTINCT date, hour FROM stale_hours",
    }
}

/// Returns the stale hours, newest first, at most `limit` of them.
pub(crate) async fn stale_hours<C: ConnectionTrait>(db: &C, limit: Option<u64>) -> Result<Vec<Hour>, DbErr> {
    let backend = db.get_database_backend();
    let limit = limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
    let sql = format!("{} ORDER BY date DESC, hour DESC{limit}", marked_hours(backend));
    let rows = db.query_all_raw(Statement::from_string(backend, sql)).await?;
    rows.iter().map(|row| Ok(Hour::new(row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Returns the id of the newest mark of a stale title.
pub(crate) async fn newest_stale_title<C: ConnectionTrait>(db: &C) -> Result<Option<i64>, DbErr> {
    let newest = stale_title::Entity::find().order_by_desc(stale_title::Column::Id).one(db).await?;
    Ok(newest.map(|mark| mark.id))
}

/// Deletes the marks of `hours` that this statement sees; later increments leave new ones. Returns the hours that had
/// marks, in the order of `hours`.
pub(crate) async fn take_hours(transaction: &Transaction, hours: &[Hour]) -> Result<Vec<StaleHour>, DbErr> {
    let backend = transaction.get_database_backend();
    let marks = || stale_hour_tuple().in_subquery(bound_list::hours(backend, hours));
    let length = match backend {
        DbBackend::Postgres => "coalesce(sum(cardinality(names)), 0)::bigint",
        _ => "coalesce(sum(length(names)), 0)",
    };
    let size = stale_hour::Entity::find().select_only().expr(Expr::cust(length)).filter(marks());
    let size: Option<i64> = size.into_tuple().one(transaction).await?;
    let size_max = if backend == DbBackend::Postgres { NAMES_MAX } else { NAMES_MAX * NAME_BYTES };
    let names = if size.is_some_and(|size| size > size_max) { "NULL" } else { "names" };
    let names = match backend {
        DbBackend::Postgres => format!("array_to_json({names}::text[])::text"),
        _ => names.to_owned(),
    };
    let mut delete = stale_hour::Entity::delete_many().filter(marks());
    let columns = [Expr::col(stale_hour::Column::Date), Expr::col(stale_hour::Column::Hour), Expr::cust(names)];
    let delete = QueryTrait::query(&mut delete).returning(Query::returning().exprs(columns));
    let mut stale: BTreeMap<Hour, Option<BTreeSet<String>>> = BTreeMap::new();
    for row in transaction.query_all(delete).await? {
        let date: NaiveDate = row.try_get_by_index(0)?;
        let hour = Hour::new(date, row.try_get_by_index(1)?);
        let names: Option<String> = row.try_get_by_index(2)?;
        let all = stale.entry(hour).or_insert_with(|| Some(BTreeSet::new()));
        match names {
            None => *all = None,
            Some(names) => {
                let names: Vec<String> =
                    serde_json::from_str(&names).map_err(|error| DbErr::Json(error.to_string()))?;
                all.iter_mut().for_each(|all| all.extend(names.iter().cloned()));
            }
        }
    }
    let stale_hour = |hour: &Hour| {
        let names = stale.remove(hour)?.map(|names| names.into_iter().collect());
        Some(StaleHour { hour: *hour, names })
    };
    Ok(hours.iter().filter_map(stale_hour).collect())
}

fn stale_hour_tuple() -> Expr {
    Expr::tuple([stale_hour::Column::Date, stale_hour::Column::Hour].map(Expr::col))
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

/// Deletes every mark that this transaction sees. Returns the hours of those that were deleted.
pub(crate) async fn take_all(transaction: &Transaction) -> Result<Vec<Hour>, DbErr> {
    stale_title::Entity::delete_many().exec(transaction).await?;
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Sqlite {
        // Nobody else writes meanwhile.
        let hours = stale_hours(transaction, None).await?;
        stale_hour::Entity::delete_many().exec(transaction).await?;
        return Ok(hours);
    }
    let mut hours = Vec::new();
    for table in ["stale_hours", "stale_pages"] {
        let sql = format!(
            "WITH deleted AS (DELETE FROM {table} RETURNING date, hour) \
             SELECT DISTINCT date, hour FROM deleted WHERE date IS NOT NULL"
        );
        for row in transaction.query_all_raw(Statement::from_string(backend, sql)).await? {
            hours.push(Hour::new(row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        }
    }
    Ok(hours)
}
