//! Maintenance: deletes old idempotency keys, old rows of the refresh log and, if set, old hourly rows, so that the
//! database does not grow for ever.

mod old_hours;

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use entity::{idempotency_key, job, refresh_clock, report_refresh};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use storage::{Connections, Database};
use tracing::info;

use crate::{
    citus,
    error::{Context, WolfError},
    jobs,
    refresh::{RefreshLock, is_trusted},
};

/// The time between two runs.
const EVERY: Duration = Duration::from_secs(60);
/// How long a client's idempotency key is kept after it was claimed, in milliseconds of elapsed time: 24 hours from the
/// commit, and ten minutes that the commit may take (`--record-timeout-ms` is at most that).
const KEYS_KEPT_MS: i64 = (24 * 60 + 10) * 60 * 1_000;
/// How long rows of the refresh log are kept, by the database's clock.
const HISTORY_KEPT: TimeDelta = TimeDelta::days(7);

/// Maintains one database, once a minute.
#[derive(Debug)]
pub struct Maintenance {
    database: Database,
    lock: RefreshLock,
    keep_hours: Option<TimeDelta>,
    last: Option<Instant>,
}

impl Maintenance {
    /// Creates the maintenance of `database`. Hourly rows older than `keep_hours` are deleted once their whole day is.
    #[must_use]
    pub fn new(database: &Database, keep_hours: Option<u32>) -> Self {
        Self {
            database: database.clone(),
            lock: RefreshLock::new(database),
            keep_hours: keep_hours.map(|hours| TimeDelta::hours(hours.into())),
            last: None,
        }
    }

    /// Runs the maintenance if the last run is a minute ago.
    ///
    /// # Errors
    /// [`WolfError::Database`]; rows that were deleted by then stay deleted.
    pub async fn run_if_due(&mut self) -> Result<(), WolfError> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        self.run().await
    }

    /// Runs the maintenance now.
    ///
    /// # Errors
    /// As [`Maintenance::run_if_due`].
    pub async fn run(&self) -> Result<(), WolfError> {
        let (db, begun) = (&self.lock.db, Instant::now());
        let clock = refresh_clock::read(db).await.context("read what has passed")?;
        let keys = prune_keys(db, clock.elapsed_ms).await.context("prune idempotency keys")?;
        let now = self.lock.clock.database_now(db).await.context("read the database's clock")?;
        if jobs::have_removed_lately(db, now).await.context("look for jobs")? {
            // Once a minute for some minutes: one of these times nobody reads.
            self.database.empty_log().await.context("empty the write-ahead log")?;
        }
        let (refreshes, hours) = if is_trusted(&clock) { self.drop_old().await? } else { (0, 0) };
        if keys + refreshes + hours > 0 {
            info!(
                pruned.keys = keys,
                pruned.refreshes = refreshes,
                pruned.hours = hours,
                maintenance.duration_ms = begun.elapsed().as_millis(),
                "maintenance done"
            );
        }
        Ok(())
    }

    /// Deletes rows that are old by the database's clock. Returns the number of rows of the log, and of hours.
    async fn drop_old(&self) -> Result<(u64, u64), WolfError> {
        let db = &self.lock.db;
        let now = self.lock.clock.database_now(db).await.context("read the database's clock")?;
        // The newest successful refresh has the report's `asOf`, however old it is.
        let newest = report_refresh::newest_successful(db).await.context("read the refreshes")?.map_or(0, |row| row.id);
        let history = report_refresh::Entity::delete_many()
            .filter(report_refresh::Column::Id.lt(newest))
            .filter(report_refresh::Column::StartedAt.lt(now - HISTORY_KEPT));
        let refreshes = history.exec(db).await.context("prune the history of refreshes")?.rows_affected;
        let ended = job::Entity::delete_many().filter(job::Column::FinishedAt.lt(now - jobs::ENDED_KEPT));
        ended.exec(db).await.context("prune ended jobs")?;
        let hours = match self.keep_hours {
            Some(keep) => old_hours::drop_before(&self.lock, (now - keep).date_naive()).await?,
            None => 0,
        };
        Ok((refreshes, hours))
    }
}

/// Deletes the keys that were claimed 24 hours and more before `elapsed_ms`. Returns how many.
///
/// A key has the `elapsed_ms` of the announcement before it, so it may be younger by the time between two announcements.
/// It is deleted only when an announcement that came after it is old enough.
async fn prune_keys(db: &Connections, elapsed_ms: i64) -> Result<u64, DbErr> {
    let old_enough = report_refresh::Entity::find()
        .select_only()
        .column_as(report_refresh::Column::ElapsedMs.max(), "elapsed_ms")
        .filter(report_refresh::Column::ElapsedMs.lte(elapsed_ms - KEYS_KEPT_MS));
    let Some(Some(announced)) = old_enough.into_tuple::<Option<i64>>().one(db).await? else { return Ok(0) };
    let keys = idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::Kept.eq(false))
        .filter(idempotency_key::Column::ClaimedMs.lt(announced));
    let newest_claim = citus::newest_claim_before(db, announced).await?;
    let pruned = keys.exec(db).await?.rows_affected;
    if let Some(newest_claim) = newest_claim {
        citus::prune_parts(db, newest_claim).await?;
    }
    Ok(pruned)
}
