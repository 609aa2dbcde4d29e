//! Work after a committed refresh: the planner's statistics, flags and groups, and the conversion of a report that has outgrown
//! its kind.
//! A failure here does not fail the refresh.

use std::{
    error::Error,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use entity::page_views_report::RELATION;
use storage::DatabaseKind;
use tracing::{debug, info, warn};

use super::Refresher;
use crate::{
    citus,
    error::{Context, WolfError},
    groups::build::{self as groups, Portion},
    rebuild::{blocking_transactions, execute_each},
    refresh::{Refreshed, record_content_change, refresh_view},
    report_kind::ReportKind,
    top_pages::unflagged_bucket,
};

/// A refresh that changed at least so many rows is followed by new statistics for the planner.
const ANALYZE_ROWS_MIN: i64 = 50_000;
/// The time until the next conversion after one whose report could not be swapped in.
const CONVERSION_PAUSE: Duration = Duration::from_secs(60);
/// How long a refresh may be followed by flagging the most viewed rows; the rest is done after the next refreshes.
const FLAGGING_MAX: Duration = Duration::from_secs(5);
const FAILED: &str = "the report is refreshed, but what follows has failed; a later refresh tries it again";

/// The work that is due, until it is done. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowUps {
    /// A materialized view whose refresh takes longer is converted into a table.
    pub(super) view_limit: Option<TimeDelta>,
    /// The kind that the report has to be.
    pub(super) pinned: Option<ReportKind>,
    statistics_due: Arc<AtomicBool>,
    conversion: Arc<Mutex<Conversion>>,
}

/// A conversion of the report.
#[derive(Debug, Default)]
struct Conversion {
    due: bool,
    not_before: Option<Instant>,
    /// The log says already that a transaction blocks it.
    is_logged: bool,
}

impl FollowUps {
    fn conversion(&self) -> MutexGuard<'_, Conversion> {
        self.conversion.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conversion_is_due(&self) -> bool {
        let conversion = self.conversion();
        conversion.due && conversion.not_before.is_none_or(|not_before| not_before <= Instant::now())
    }
}

impl Refresher {
    /// Does the work that is due after this refresh or an earlier one.
    pub(super) async fn follow_up(&self, kind: ReportKind, done: Refreshed) {
        self.make_statistics(done).await;
        if kind == ReportKind::Table
            && let Err(error) = self.flag_top_pages().await
        {
            warn!(error = &error as &dyn Error, "{FAILED}");
        }
        if let Err(error) = Box::pin(self.build_groups()).await {
            warn!(error = &error as &dyn Error, "{FAILED}");
        }
        let limit = self.follow_ups.view_limit;
        let outgrown = limit.filter(|limit| kind == ReportKind::MaterializedView && done.duration > *limit);
        if let Some(limit) = outgrown
            && !std::mem::replace(&mut self.follow_ups.conversion().due, true)
        {
            info!(
                refresh.duration_ms = done.duration.num_milliseconds(),
                limit_ms = limit.num_milliseconds(),
                "the materialized view has outgrown its limit, turning it into a table"
            );
        }
        let wanted = self.follow_ups.pinned.unwrap_or(ReportKind::Table);
        if kind != wanted
            && self.follow_ups.conversion_is_due()
            && let Err(error) = self.convert_if_free(wanted).await
        {
            warn!(error = &error as &dyn Error, "{FAILED}");
        }
    }

    /// Flags the most viewed rows of days and months that have no flags: those of a database of an older program. Each
    /// bucket is a transaction of its own.
    async fn flag_top_pages(&self) -> Result<(), WolfError> {
        let begun = Instant::now();
        while begun.elapsed() < FLAGGING_MAX {
            let transaction = self.lock.begin().await.context("begin to flag the most viewed pages")?;
            // Another process may have converted the report meanwhile.
            let kind = ReportKind::read(&transaction).await.context("read the report's kind")?;
            let bucket = match kind {
                ReportKind::Table => unflagged_bucket(&transaction, RELATION).await,
                ReportKind::MaterializedView => Ok(None),
            };
            let bucket = bucket.context("look for rows without flags")?;
            let Some(bucket) = bucket else {
                return transaction.rollback().await.context("end the look for rows without flags");
            };
            let flagged = self.top_pages.flag(&transaction, RELATION, bucket).await;
            flagged.context("flag the most viewed pages")?;
            transaction.commit().await.context("flag the most viewed pages")?;
        }
        Ok(())
    }

    /// Brings the report to groups that were declared, changed or removed since the last refresh.
    async fn build_groups(&self) -> Result<(), WolfError> {
        const BUILD: &str = "build the rows of groups";
        let begun = Instant::now();
        let is_due = async || groups::is_due(&self.lock.db).await.context("look for groups");
        if !is_due().await? {
            return Ok(());
        }
        let is_cluster = citus::is_installed(&self.lock.db).await.context(BUILD)?;
        let mut recorded = None;
        loop {
            let transaction = self.lock.begin().await.context(BUILD)?;
            let portion = match ReportKind::read(&transaction).await.context("read the report's kind")? {
                ReportKind::Table => {
                    groups::next_portion(&transaction, self.building.portion_max).await.context(BUILD)?
                }
                ReportKind::MaterializedView if is_due().await? => {
                    refresh_view(&transaction, &self.lock.clock).await.context(BUILD)?;
                    Portion::Seen
                }
                ReportKind::MaterializedView => Portion::Nothing,
            };
            match portion {
                Portion::Nothing => return transaction.rollback().await.context(BUILD),
                Portion::Unseen => {}
                Portion::Seen => {
                    let changed = record_content_change(&transaction, &self.lock.clock, None, recorded).await;
                    recorded = Some(changed.context(BUILD)?);
                }
            }
            self.lock.publish(transaction, is_cluster).await?;
            if begun.elapsed() >= self.building.after_refresh_max {
                return Ok(());
            }
        }
    }

    async fn make_statistics(&self, done: Refreshed) {
        let due = &self.follow_ups.statistics_due;
        if done.rows_changed >= ANALYZE_ROWS_MIN {
            due.store(true, Ordering::Relaxed);
        }
        if !due.load(Ordering::Relaxed) {
            return;
        }
        let sql = "ANALYZE page_views_report;\nANALYZE page_views;\nANALYZE pages;\nANALYZE page_memberships;";
        let begun = Instant::now();
        match execute_each(&self.lock.db, sql).await.context("make the planner's statistics") {
            Ok(_) => {
                due.store(false, Ordering::Relaxed);
                debug!(statistics.duration_ms = begun.elapsed().as_millis(), "the planner's statistics are made");
            }
            Err(error) => warn!(error = &error as &dyn Error, "{FAILED}"),
        }
    }

    /// Converts the report to the kind `wanted`, or postpones that until after a later refresh if a transaction would block
    /// the swap now, so that nothing is built in vain.
    pub(crate) async fn convert_if_free(&self, wanted: ReportKind) -> Result<(), WolfError> {
        self.check_kind(wanted)?;
        if self.lock.kind == DatabaseKind::Sqlite {
            return Ok(());
        }
        let transaction = self.lock.begin().await.context("begin the report's conversion")?;
        let kind = ReportKind::read(&transaction).await.context("read the report's kind")?;
        let blocking = if kind == wanted { None } else { blocking_transactions(&transaction, kind).await? };
        transaction.rollback().await.context("release the report")?;
        if let Some(holders) = blocking {
            let mut conversion = self.follow_ups.conversion();
            conversion.due = true;
            match std::mem::replace(&mut conversion.is_logged, true) {
                false => warn!(holders, "the report's conversion is put off, until nothing holds the report"),
                true => debug!(holders, "the report's conversion is still put off"),
            }
            return Ok(());
        }
        match self.ensure_kind(wanted).await {
            Ok(_) => *self.follow_ups.conversion() = Conversion::default(),
            Err(error @ WolfError::ReportHeld { .. }) => {
                let not_before = Some(Instant::now() + CONVERSION_PAUSE);
                *self.follow_ups.conversion() = Conversion { due: true, not_before, is_logged: false };
                warn!(error = &error as &dyn Error, "the report's conversion is put off");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
