//! Changes of the counts themselves, by jobs: taken away, moved to another page, or corrected.
//!
//! Recorders go on meanwhile. What is taken is what a statement deletes, so an increment that is committed before it is
//! taken too, and one that is committed after it is a new row.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use entity::{Hour, kept_day, page_view};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryTrait, Statement,
    Value,
    sea_query::{Expr, ExprTrait, OnConflict, Query},
};
use serde_json::json;
use storage::Transaction;

use crate::{
    bound_list,
    sent::{self, Bucketed},
};

/// The most rows of one statement: their values stay below the most that SQLite takes, 32,766.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The hours from which on, and before which, counts are changed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Option<Hour>,
    pub(crate) end: Option<Hour>,
}

impl Bounds {
    /// Returns whether `hour` is within.
    pub(crate) fn have(self, hour: Hour) -> bool {
        self.start.is_none_or(|start| hour >= start) && self.end.is_none_or(|end| hour < end)
    }

    /// Returns whether all hours of `date` are within.
    pub(crate) fn have_all_of(self, date: NaiveDate) -> bool {
        self.have(Hour::new(date, 0)) && self.have(Hour::new(date, 23))
    }

    /// Returns whether any hour of `date` is within.
    pub(crate) fn touch(self, date: NaiveDate) -> bool {
        self.start.is_none_or(|start| Hour::new(date, 23) >= start)
            && self.end.is_none_or(|end| Hour::new(date, 0) < end)
    }

    /// The days that are within in part only.
    pub(crate) fn cut_days(self) -> impl Iterator<Item = NaiveDate> {
        [self.start, self.end].into_iter().flatten().filter(|hour| hour.of_day() != 0).map(Hour::date)
    }
}

/// Counts that were taken away, by hour and page.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) hours: BTreeMap<(Hour, String), i64>,
    pub(crate) kept: BTreeMap<Bucketed, i64>,
}

impl Taken {
    /// Returns the sum of the views.
    pub(crate) fn views(&self) -> i64 {
        self.hours.values().chain(self.kept.values()).sum()
    }
}

#[derive(Debug, FromQueryResult)]
struct HourRow {
    date: NaiveDate,
    hour: i16,
    name: String,
    views: i64,
}

#[derive(Debug, FromQueryResult)]
struct DayRow {
    date: NaiveDate,
    name: String,
    views: i64,
}

/// Returns the hours of `days` that have counts.
async fn hours_of(
    transaction: &Transaction,
    days: impl Iterator<Item = &Bucketed>,
) -> Result<Vec<(Hour, String)>, DbErr> {
    let backend = transaction.get_database_backend();
    let rows = HourRow::find_by_statement(sent::joined(backend, include_str!("counts/of_days.sql"), days));
    let rows = rows.all(transaction).await?;
    Ok(rows.into_iter().map(|row| (Hour::new(row.date, row.hour), row.name)).collect())
}

/// Takes the counts of `days` away, of the hours within `bounds`. Sums of days whose hours were dropped are taken where
/// the whole day is within.
pub(crate) async fn take(
    transaction: &Transaction,
    days: impl Iterator<Item = &Bucketed> + Clone,
    bounds: Bounds,
) -> Result<Taken, DbErr> {
    let backend = transaction.get_database_backend();
    let mut taken = Taken::default();
    let mut hours = hours_of(transaction, days.clone()).await?;
    hours.retain(|(hour, _)| bounds.have(*hour));
    hours.sort_unstable();
    for portion in hours.chunks(ROWS_PER_STATEMENT) {
        let key = [page_view::Column::Date, page_view::Column::Hour, page_view::Column::Name].map(Expr::col);
        let rows = bound_list::counts(backend, portion.iter().map(|(hour, name)| (*hour, name.as_str())));
        let mut delete = page_view::Entity::delete_many().filter(Expr::tuple(key).in_subquery(rows));
        let columns =
            [page_view::Column::Date, page_view::Column::Hour, page_view::Column::Name, page_view::Column::Views];
        let delete = QueryTrait::query(&mut delete).returning(Query::returning().columns(columns));
        for row in HourRow::find_by_statement(backend.build(delete)).all(transaction).await? {
            taken.hours.insert((Hour::new(row.date, row.hour), row.name), row.views);
        }
    }
    let whole: Vec<_> = days.filter(|(date, _)| bounds.have_all_of(*date)).collect();
    for portion in whole.chunks(ROWS_PER_STATEMENT) {
        let key = [kept_day::Column::Date, kept_day::Column::Name].map(Expr::col);
        let rows = bound_list::days(backend, portion.iter().copied());
        let mut delete = kept_day::Entity::delete_many().filter(Expr::tuple(key).in_subquery(rows));
        let columns = [kept_day::Column::Date, kept_day::Column::Name, kept_day::Column::Views];
        let delete = QueryTrait::query(&mut delete).returning(Query::returning().columns(columns));
        for row in DayRow::find_by_statement(backend.build(delete)).all(transaction).await? {
            taken.kept.insert((row.date, row.name), row.views);
        }
    }
    Ok(taken)
}

/// Adds what was taken of any page to the page `to`, in the same hours and days.
pub(crate) async fn give(
    transaction: &Transaction,
    taken: &Taken,
    to: impl Fn(&str) -> String,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let mut hours: BTreeMap<(Hour, String), i64> = BTreeMap::new();
    for ((hour, name), views) in &taken.hours {
        *hours.entry((*hour, to(name))).or_default() += views;
    }
    add(transaction, hours, now).await?;
    let mut kept: BTreeMap<Bucketed, i64> = BTreeMap::new();
    for ((date, name), views) in &taken.kept {
        *kept.entry((*date, to(name))).or_default() += views;
    }
    let rows: Vec<_> = kept
        .into_iter()
        .map(|((date, name), views)| kept_day::ActiveModel { name: Set(name), date: Set(date), views: Set(views) })
        .collect();
    for portion in rows.chunks(ROWS_PER_STATEMENT) {
        let sum = Expr::col((kept_day::Entity, kept_day::Column::Views)).add(Expr::cust("excluded.views"));
        let conflict = OnConflict::columns([kept_day::Column::Name, kept_day::Column::Date])
            .value(kept_day::Column::Views, sum)
            .to_owned();
        let insert = kept_day::Entity::insert_many(portion.to_vec()).on_conflict(conflict);
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Adds views to counts.
pub(crate) async fn add(
    transaction: &Transaction,
    views: BTreeMap<(Hour, String), i64>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let rows: Vec<_> = views
        .into_iter()
        .map(|((hour, name), views)| page_view::ActiveModel {
            name: Set(name),
            date: Set(hour.date()),
            hour: Set(hour.of_day()),
            views: Set(views),
            updated_at: Set(now),
        })
        .collect();
    for portion in rows.chunks(ROWS_PER_STATEMENT) {
        let sum = Expr::col((page_view::Entity, page_view::Column::Views)).add(Expr::cust("excluded.views"));
        let key = [page_view::Column::Date, page_view::Column::Hour, page_view::Column::Name];
        let conflict = OnConflict::columns(key)
            .value(page_view::Column::Views, sum)
            .update_column(page_view::Column::UpdatedAt)
            .to_owned();
        let insert = page_view::Entity::insert_many(portion.to_vec()).on_conflict(conflict);
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Returns how many views could be taken away of each of `counts`, and takes nothing: those of the hour, and those of its
/// day whose hours were dropped.
pub(crate) async fn available(
    transaction: &Transaction,
    counts: &[(Hour, String)],
) -> Result<BTreeMap<(Hour, String), (i64, i64)>, DbErr> {
    let backend = transaction.get_database_backend();
    let mut available: BTreeMap<_, (i64, i64)> = counts.iter().map(|count| (count.clone(), (0, 0))).collect();
    for portion in counts.chunks(ROWS_PER_STATEMENT) {
        let key = [page_view::Column::Date, page_view::Column::Hour, page_view::Column::Name].map(Expr::col);
        let rows = bound_list::counts(backend, portion.iter().map(|(hour, name)| (*hour, name.as_str())));
        let hours = page_view::Entity::find().filter(Expr::tuple(key).in_subquery(rows)).all(transaction).await?;
        for row in hours {
            if let Some((of_hour, _)) = available.get_mut(&(Hour::new(row.date, row.hour), row.name)) {
                *of_hour = row.views;
            }
        }
        let days: Vec<_> = portion.iter().map(|(hour, name)| (hour.date(), name.clone())).collect();
        let key = [kept_day::Column::Date, kept_day::Column::Name].map(Expr::col);
        let rows = bound_list::days(backend, days.iter());
        let kept = kept_day::Entity::find().filter(Expr::tuple(key).in_subquery(rows)).all(transaction).await?;
        let kept: BTreeMap<_, _> = kept.into_iter().map(|row| ((row.date, row.name), row.views)).collect();
        for (hour, name) in portion {
            if let Some((_, of_day)) = available.get_mut(&(*hour, name.clone())) {
                *of_day = kept.get(&(hour.date(), name.clone())).copied().unwrap_or_default();
            }
        }
    }
    Ok(available)
}

/// Returns how many of the views `wanted` could not be taken away.
pub(crate) async fn missing(transaction: &Transaction, wanted: &HashMap<(Hour, String), i64>) -> Result<i64, DbErr> {
    let counts: Vec<_> = wanted.keys().cloned().collect();
    // What an hour lacks comes from the sum of its day, which has it once.
    let mut of_days: HashMap<Bucketed, (i64, i64)> = HashMap::new();
    for portion in counts.chunks(ROWS_PER_STATEMENT) {
        for ((hour, name), (of_hour, of_day)) in available(transaction, portion).await? {
            let wanted = wanted.get(&(hour, name.clone())).copied().unwrap_or_default();
            if wanted > of_hour {
                let (lacking, kept) = of_days.entry((hour.date(), name)).or_default();
                *lacking += wanted - of_hour;
                *kept = of_day;
            }
        }
    }
    Ok(of_days.values().map(|(lacking, kept)| Ord::max(lacking - kept, 0)).sum())
}

/// Returns whether hours of this day were dropped.
pub(crate) async fn has_kept_day(transaction: &Transaction, date: NaiveDate) -> Result<bool, DbErr> {
    Ok(kept_day::Entity::find().filter(kept_day::Column::Date.eq(date)).one(transaction).await?.is_some())
}

/// Takes `views` of each count away: of the hour as far as it has them, the rest of the day's sum whose hours were dropped.
/// Returns whether all were there. If not, the transaction has to be rolled back.
pub(crate) async fn subtract(transaction: &Transaction, views: &BTreeMap<(Hour, String), i64>) -> Result<bool, DbErr> {
    let counts: Vec<_> = views.keys().cloned().collect();
    let (mut of_hours, mut of_days): (Vec<_>, BTreeMap<Bucketed, i64>) = (Vec::new(), BTreeMap::new());
    for ((hour, name), (of_hour, _)) in available(transaction, &counts).await? {
        let wanted = views.get(&(hour, name.clone())).copied().unwrap_or_default();
        let taken = Ord::min(wanted, of_hour);
        if wanted > taken {
            *of_days.entry((hour.date(), name.clone())).or_default() += wanted - taken;
        }
        if taken > 0 {
            of_hours.push((hour, name, taken));
        }
    }
    subtract_of_hours(transaction, &of_hours).await?;
    for ((date, name), views) in of_days {
        let row = || kept_day::Column::Name.eq(name.as_str()).and(kept_day::Column::Date.eq(date));
        let updated = kept_day::Entity::update_many()
            .col_expr(kept_day::Column::Views, Expr::col(kept_day::Column::Views).sub(views))
            .filter(row())
            .filter(kept_day::Column::Views.gte(views))
            .exec(transaction)
            .await?;
        if updated.rows_affected == 0 {
            return Ok(false);
        }
        let empty = kept_day::Entity::delete_many().filter(row()).filter(kept_day::Column::Views.eq(0));
        empty.exec(transaction).await?;
    }
    Ok(true)
}

/// Takes views of hours away that have at least as many: recorders only add meanwhile.
async fn subtract_of_hours(transaction: &Transaction, views: &[(Hour, String, i64)]) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    for portion in views.chunks(ROWS_PER_STATEMENT) {
        let rows = portion.iter().map(|(hour, name, views)| (hour.date(), hour.of_day(), name.clone(), *views));
        let statement = match backend {
            DbBackend::Postgres => {
                let (mut dates, mut hours, mut names, mut views) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for row in rows {
                    dates.push(row.0);
                    hours.push(row.1);
                    names.push(row.2);
                    views.push(row.3);
                }
                let values: [Value; 4] = [dates.into(), hours.into(), names.into(), views.into()];
                Statement::from_sql_and_values(backend, include_str!("counts/postgres_subtract.sql"), values)
            }
            _ => {
                let rows = json!(rows.collect::<Vec<_>>()).to_string();
                Statement::from_sql_and_values(backend, include_str!("counts/sqlite_subtract.sql"), [rows.into()])
            }
        };
        transaction.execute_raw(statement).await?;
        let key = [page_view::Column::Date, page_view::Column::Hour, page_view::Column::Name].map(Expr::col);
        let rows = bound_list::counts(backend, portion.iter().map(|(hour, name, _)| (*hour, name.as_str())));
        let empty = page_view::Entity::delete_many().filter(Expr::tuple(key).in_subquery(rows));
        empty.filter(page_view::Column::Views.eq(0)).exec(transaction).await?;
    }
    Ok(())
}
