//! What keeps the database from growing for ever: old keys, old history and, if so set, old hours are dropped.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use entity::{Database, clock, idempotency_key, report_refresh};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tracing::info;

use crate::{
    error::{During, WolfError},
    old_hours,
    turn::Turns,
};

/// How often maintenance is due.
const EVERY: Duration = Duration::from_secs(60);
/// How long a client's key counts once; DESIGN and schema say 24 hours.
const KEYS_KEPT: TimeDelta = TimeDelta::hours(24);
/// How long the history of refreshes is kept.
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
            Some(keep) => {
                old_hours::drop_before(&self.turns, (now - keep).date_naive()).await.during("drop old hours")?
            }
            None => 0,
        };
        if keys + refreshes + hours > 0 {
            info!(pruned.keys = keys, pruned.refreshes = refreshes, pruned.hours = hours, "maintenance done");
        }
        Ok(())
    }
}
