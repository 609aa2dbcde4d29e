//! What keeps the database from growing for ever: old keys, old history and, if so set, old hours are dropped.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use entity::{Connections, Database, idempotency_key, refresh_clock, report_refresh};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use tracing::info;

use crate::{
    announcement,
    error::{During, WolfError},
    old_hours,
    turn::Turns,
};

/// How often maintenance is due.
const EVERY: Duration = Duration::from_secs(60);
/// How long a client's key is kept after it was claimed, by the time that has passed: the 24 hours for which it counts once,
/// and the time that its commit may take, at the end of which they begin (`--record-timeout-ms` is at most this).
const KEYS_KEPT_MS: i64 = (24 * 60 + 10) * 60 * 1_000;
/// How long the history of refreshes is kept, by the database's clock.
const HISTORY_KEPT: TimeDelta = TimeDelta::days(7);

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
        let clock = refresh_clock::read(db).await.during("read what has passed")?;
        let keys = prune_keys(db, clock.elapsed_ms).await.during("prune idempotency keys")?;
        let (refreshes, hours) = if announcement::is_trusted(&clock) { self.drop_old().await? } else { (0, 0) };
        if keys + refreshes + hours > 0 {
            info!(pruned.keys = keys, pruned.refreshes = refreshes, pruned.hours = hours, "maintenance done");
        }
        Ok(())
    }

    /// Drops what is old by the database's clock. Returns how many rows of the history, and how many hours.
    async fn drop_old(&self) -> Result<(u64, u64), WolfError> {
        let db = &self.turns.db;
        let now = self.turns.clock.database_now(db).await.during("read the database's clock")?;
        // The newest success says what the report has, however old it is.
        let newest = report_refresh::newest_successful(db).await.during("read the refreshes")?.map_or(0, |row| row.id);
        let history = report_refresh::Entity::delete_many()
            .filter(report_refresh::Column::Id.lt(newest))
            .filter(report_refresh::Column::StartedAt.lt(now - HISTORY_KEPT));
        let refreshes = history.exec(db).await.during("prune the history of refreshes")?.rows_affected;
        let hours = match self.keep_hours {
            Some(keep) => {
                old_hours::drop_before(&self.turns, (now - keep).date_naive()).await.during("drop old hours")?
            }
            None => 0,
        };
        Ok((refreshes, hours))
    }
}

/// Drops the keys that were claimed 24 hours and more before `elapsed_ms`. Returns how many.
///
/// A key has the `elapsed_ms` of the announcement before it, so it may be younger than that by the time between two
/// announcements. So it goes only when an announcement that came after it is old enough.
async fn prune_keys(db: &Connections, elapsed_ms: i64) -> Result<u64, DbErr> {
    let old_enough = report_refresh::Entity::find()
        .select_only()
        .column_as(report_refresh::Column::ElapsedMs.max(), "elapsed_ms")
        .filter(report_refresh::Column::ElapsedMs.lte(elapsed_ms - KEYS_KEPT_MS));
    let Some(Some(announced)) = old_enough.into_tuple::<Option<i64>>().one(db).await? else { return Ok(0) };
    let keys = idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::Kept.eq(false))
        .filter(idempotency_key::Column::ClaimedMs.lt(announced));
    Ok(keys.exec(db).await?.rows_affected)
}
