//! What follows a refresh that has been committed: the planner's statistics, and the conversion of a report that has
//! outgrown its kind. A failure here is not the refresh's.

use std::{
    error::Error,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use entity::DatabaseKind;
use sea_orm::ConnectionTrait;
use tracing::{debug, info, warn};

use crate::{
    error::{During, WolfError},
    refresh::{Refreshed, Refresher},
    report_kind::ReportKind,
    swap,
};

/// After a refresh that changed as many rows the planner's statistics are made anew.
const ANALYZE_ROWS_MIN: i64 = 50_000;
/// After a conversion has built a report that could not be swapped in, for how long none is tried.
const CONVERSION_PAUSE: Duration = Duration::from_secs(60);
const FAILED: &str = "the report is refreshed, but what follows has failed; a later refresh tries it again";

/// Work that a refresh has shown to be due. It stays due until it has been done.
#[derive(Debug, Default)]
pub(crate) struct FollowUps {
    statistics: AtomicBool,
    conversion: Mutex<Conversion>,
}

/// A conversion of the report.
#[derive(Debug, Default)]
struct Conversion {
    due: bool,
    not_before: Option<Instant>,
    /// It was logged that a transaction is in the way.
    is_put_off: bool,
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
    /// Does what this refresh or an earlier one has shown to be due.
    pub(crate) async fn follow_up(&self, kind: ReportKind, done: Refreshed) {
        self.make_statistics(done).await;
        let outgrown = self.view_limit.filter(|limit| kind == ReportKind::MaterializedView && done.duration > *limit);
        if let Some(limit) = outgrown
            && !std::mem::replace(&mut self.follow_ups.conversion().due, true)
        {
            info!(
                refresh.duration_ms = done.duration.num_milliseconds(),
                limit_ms = limit.num_milliseconds(),
                "the materialized view has outgrown its limit, turning it into a table"
            );
        }
        let wanted = self.pinned.unwrap_or(ReportKind::Table);
        if kind != wanted
            && self.follow_ups.conversion_is_due()
            && let Err(error) = self.convert_if_free(wanted).await
        {
            warn!(error = &error as &dyn Error, "{FAILED}");
        }
    }

    async fn make_statistics(&self, done: Refreshed) {
        let due = &self.follow_ups.statistics;
        if done.rows_changed >= ANALYZE_ROWS_MIN {
            due.store(true, Ordering::Relaxed);
        }
        if !due.load(Ordering::Relaxed) {
            return;
        }
        let sql = "ANALYZE page_views_report; ANALYZE page_views; ANALYZE pages;";
        match self.turns.db.execute_unprepared(sql).await.during("make the planner's statistics") {
            Ok(_) => due.store(false, Ordering::Relaxed),
            Err(error) => warn!(error = &error as &dyn Error, "{FAILED}"),
        }
    }

    /// Makes the report a relation of the kind `wanted`, unless a transaction is in the way of the swap now, so that nothing
    /// is built in vain: then it is put off until after a later refresh.
    pub(crate) async fn convert_if_free(&self, wanted: ReportKind) -> Result<(), WolfError> {
        self.check_kind(wanted)?;
        if self.turns.kind == DatabaseKind::Sqlite {
            return Ok(());
        }
        let transaction = self.turns.wait().await.during("begin the report's conversion")?;
        let kind = ReportKind::read(&transaction).await.during("read the report's kind")?;
        let in_the_way = if kind == wanted { None } else { swap::in_the_way(&transaction, kind).await? };
        transaction.rollback().await.during("give the report free again")?;
        if let Some(holders) = in_the_way {
            let mut conversion = self.follow_ups.conversion();
            conversion.due = true;
            match std::mem::replace(&mut conversion.is_put_off, true) {
                false => warn!(holders, "the report's conversion is put off, until nothing holds the report"),
                true => debug!(holders, "the report's conversion is still put off"),
            }
            return Ok(());
        }
        match self.ensure_kind(wanted).await {
            Ok(_) => *self.follow_ups.conversion() = Conversion::default(),
            Err(error @ WolfError::ReportHeld { .. }) => {
                let not_before = Some(Instant::now() + CONVERSION_PAUSE);
                *self.follow_ups.conversion() = Conversion { due: true, not_before, is_put_off: false };
                warn!(error = &error as &dyn Error, "the report's conversion is put off");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
