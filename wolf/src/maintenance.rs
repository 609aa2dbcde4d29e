//! What keeps the database from growing for ever: old keys, old history and, if so set, old hours are dropped.

use std::time::{Duration, Instant};

use chrono::{NaiveDate, TimeDelta};
use entity::{Database, Hour, clock, idempotency_key, page_view, report_refresh};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement, Value,
};
use tracing::info;

use crate::{
    error::{During, WolfError},
    history,
    refresh::refresh_view,
    report_kind::ReportKind,
    turn::Turns,
};

/// How often maintenance is due.
const EVERY: Duration = Duration::from_secs(60);
/// How long a client's key counts once; DESIGN and schema say 24 hours.
const KEYS_KEPT: TimeDelta = TimeDelta::hours(24);
/// How long the history of refreshes is kept.
const HISTORY_KEPT: TimeDelta = TimeDelta::days(7);
/// How many hours are dropped at a time, each in a transaction of its own.
const HOURS_PER_RUN: u64 = 500;

/// Maintains one database, now and then.
#[derive(Debug)]
pub struct Maintenance {
    turns: Turns,
    keep_hours: Option<TimeDelta>,
    last: Option<Instant>,
}

impl Maintenance {
    /// For `database`; hourly rows older than `keep_hours` are dropped once their whole day is.
    #[must_use]
    pub fn new(database: &Database, keep_hours: Option<u32>) -> Self {
        Self {
            turns: Turns::new(database),
            keep_hours: keep_hours.map(|hours| TimeDelta::hours(hours.into())),
            last: None,
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`WolfError::Database`]; what was dropped by then stays dropped.
    pub async fn run_if_due(&mut self) -> Result<(), WolfError> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        self.run().await
    }

    /// Does all of it, now.
    ///
    /// # Errors
    /// As [`Maintenance::run_if_due`].
    pub async fn run(&self) -> Result<(), WolfError> {
        let db = &self.turns.db;
        let now = clock::database_now(db).await.during("read the database's clock")?;
        let keys = idempotency_key::Entity::delete_many()
            .filter(idempotency_key::Column::Kept.eq(false))
            .filter(idempotency_key::Column::RecordedAt.lt(now - KEYS_KEPT));
        let keys = keys.exec(db).await.during("prune idempotency keys")?.rows_affected;
        // The newest success says what the report has, however old it is.
        let newest = report_refresh::newest_successful(db).await.during("read the refreshes")?.map_or(0, |row| row.id);
        let history = report_refresh::Entity::delete_many()
            .filter(report_refresh::Column::Id.lt(newest))
            .filter(report_refresh::Column::StartedAt.lt(now - HISTORY_KEPT));
        let refreshes = history.exec(db).await.during("prune the history of refreshes")?.rows_affected;
        let hours = match self.keep_hours {
            Some(keep) => self.drop_hours_before((now - keep).date_naive()).await.during("drop old hours")?,
            None => 0,
        };
        if keys + refreshes + hours > 0 {
            info!(pruned.keys = keys, pruned.refreshes = refreshes, pruned.hours = hours, "maintenance done");
        }
        Ok(())
    }

    /// Drops the hourly rows of the days before `first_kept`, a bounded number of hours a run. Returns how many.
    async fn drop_hours_before(&self, first_kept: NaiveDate) -> Result<u64, DbErr> {
        let hours: Vec<(NaiveDate, i16)> = page_view::Entity::find()
            .select_only()
            .columns([page_view::Column::Date, page_view::Column::Hour])
            .filter(page_view::Column::Date.lt(first_kept))
            .distinct()
            .order_by_asc(page_view::Column::Date)
            .order_by_asc(page_view::Column::Hour)
            .limit(HOURS_PER_RUN)
            .into_tuple()
            .all(&self.turns.db)
            .await?;
        if hours.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.turns.wait().await?;
        let kind = ReportKind::read(&transaction).await?;
        for (date, hour) in &hours {
            announce(&transaction, first_kept).await?;
            drop_hour(&transaction, Hour::new(*date, *hour), kind).await?;
            if kind == ReportKind::Table {
                transaction.commit().await?;
                transaction = self.turns.wait().await?;
            }
        }
        if kind == ReportKind::MaterializedView {
            // In the same transaction: at no moment does the view show hours that are not counted any more.
            refresh_view(&transaction).await?;
        }
        transaction.commit().await?;
        Ok(u64::try_from(hours.len()).unwrap_or(u64::MAX))
    }
}

/// Readers have to know before the first row is gone.
async fn announce(transaction: &DatabaseTransaction, first_kept: NaiveDate) -> Result<(), DbErr> {
    let announced = report_refresh::newest(transaction).await?.and_then(|row| row.hours_since);
    if announced.is_none_or(|since| since < first_kept) {
        history::hours_dropped(transaction, first_kept).await?;
    }
    Ok(())
}

/// Drops one hour's rows, from the counts and from the report; the sums of its day are kept.
///
/// Only rows whose count is in the report go: one that grew since stays until a refresh has merged it. A writer that
/// comes in between makes a new row, which is merged like any other.
async fn drop_hour(transaction: &DatabaseTransaction, hour: Hour, kind: ReportKind) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let run = async |sql: &str, values: Vec<Value>| {
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.map(drop)
    };
    let place = || vec![hour.date().into(), hour.of_day().into()];
    let dropped = transaction
        .query_all_raw(Statement::from_sql_and_values(
            backend,
            "DELETE FROM page_views WHERE date = $1 AND hour = $2 AND EXISTS (
                 SELECT 1 FROM page_views_report AS reported
                 WHERE reported.grain = 'hour' AND reported.name = page_views.name
                     AND reported.date = page_views.date AND reported.hour = page_views.hour
                     AND reported.views = page_views.views)
             RETURNING name, views",
            place(),
        ))
        .await?;
    let dropped: Vec<(String, i64)> = dropped
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect::<Result<_, DbErr>>()?;
    if dropped.is_empty() {
        return Ok(());
    }
    let views: i64 = dropped.iter().map(|(_, views)| views).sum();
    let (sent, named) = match backend {
        DbBackend::Postgres => ("unnest($2::text[], $3::bigint[]) AS dropped (name, views)", "= ANY($3)"),
        _ => (
            "(SELECT value->>0 AS name, value->>1 AS views FROM json_each($2))",
            "IN (SELECT value FROM json_each($3))",
        ),
    };
    let names: Vec<String> = dropped.iter().map(|(name, _)| name.clone()).collect();
    let mut values = vec![hour.date().into()];
    match backend {
        DbBackend::Postgres => {
            values.push(names.clone().into());
            values.push(dropped.iter().map(|(_, views)| *views).collect::<Vec<_>>().into());
        }
        _ => values.push(serde_json::json!(dropped).to_string().into()),
    }
    let keep = format!(
        "INSERT INTO kept_days (name, date, views) SELECT name, $1, views FROM {sent}
         WHERE true -- tells SQLite's parser that ON begins the conflict clause
         ON CONFLICT (name, date) DO UPDATE SET views = kept_days.views + excluded.views"
    );
    run(&keep, values).await?;
    if kind == ReportKind::MaterializedView {
        return Ok(());
    }
    let names: Value = match backend {
        DbBackend::Postgres => names.into(),
        _ => serde_json::json!(names).to_string().into(),
    };
    let of_hour = "grain = 'hour' AND date = $1 AND hour = $2";
    let of_site = format!("{of_hour} AND name = ''");
    run(&format!("DELETE FROM page_views_report WHERE {of_hour} AND name {named}"), [place(), vec![names]].concat())
        .await?;
    let subtract = format!("UPDATE page_views_report SET views = views - $3 WHERE {of_site}");
    run(&subtract, [place(), vec![views.into()]].concat()).await?;
    run(&format!("DELETE FROM page_views_report WHERE {of_site} AND views = 0"), place()).await
}
