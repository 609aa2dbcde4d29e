//! Swaps a new report in for the old one without making readers wait for long (PostgreSQL).
//!
//! The swap needs a lock that excludes readers, and while a request for it waits behind one reader, all later readers
//! wait behind the request. So a try waits for [`LOCK_WAIT_MAX`] only, then returns to a savepoint, and is repeated after
//! a pause. The new report stays in the transaction meanwhile.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};
use storage::error_kind::DbErrorKind;
use tokio::time::sleep;
use tracing::{info, warn};

use super::execute_each;
use crate::{
    citus,
    error::{Context, WolfError},
    report_kind::ReportKind,
};

/// How long a try waits for the lock. Readers may wait 50 milliseconds, and the swap itself takes some of them.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(40);
/// The time between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a swap is tried, by default.
pub(crate) const TRIES_MAX: u32 = 30;
/// How long to wait for a vacuum of the report. An automatic one gives way after a second (`deadlock_timeout`).
const VACUUM_WAIT_MAX: Duration = Duration::from_secs(5);
/// The most blocking transactions that an error names.
const HOLDERS_MAX: i64 = 5;

/// A swap that is tried until it succeeds, within one transaction.
pub(crate) struct Swap<'a, C> {
    db: &'a C,
    from: ReportKind,
    tries_max: u32,
    tries: u32,
}

impl<'a, C: ConnectionTrait> Swap<'a, C> {
    /// Prepares to replace the report, a relation of the kind `from`, by `page_views_report_next`.
    pub(crate) fn new(db: &'a C, from: ReportKind, tries_max: u32) -> Self {
        Self { db, from, tries_max, tries: 0 }
    }

    /// Begins a try. Statements between this and [`Swap::succeeds`] are undone if the try fails.
    pub(crate) async fn begin_try(&mut self) -> Result<(), WolfError> {
        if self.tries > 0 {
            sleep(PAUSE).await;
        }
        self.tries += 1;
        self.db.execute_unprepared("SAVEPOINT swap").await.context("begin the report's swap").map(drop)
    }

    /// Returns whether the swap is done. The transaction has to be committed at once then.
    ///
    /// # Errors
    /// [`WolfError::ReportHeld`] after the last try.
    pub(crate) async fn succeeds(&mut self) -> Result<bool, WolfError> {
        if exclude_readers(self.db, self.from, include_str!("rename.sql")).await.context("swap the report")? {
            if self.tries > 1 {
                info!(swap.tries = self.tries, "the new report is swapped in");
            }
            return Ok(true);
        }
        let holders = holders(self.db).await?;
        if self.tries == self.tries_max {
            return Err(WolfError::ReportHeld { holders, tries: self.tries });
        }
        if self.tries == 1 {
            warn!(holders, swap.tries_max = self.tries_max, "the new report waits to be swapped in, readers go on");
        }
        Ok(false)
    }
}

/// Keeps vacuums away from the report until the transaction ends, because they would block the swap. Readers and
/// writers go on.
pub(crate) async fn hold_off_vacuums<C: ConnectionTrait>(db: &C) -> Result<(), WolfError> {
    let sql = include_str!("hold_off_vacuums.sql").replace("{wait_ms}", &VACUUM_WAIT_MAX.as_millis().to_string());
    if lock_in_time(db, &sql).await.context("hold off vacuums of the report")? {
        return Ok(());
    }
    Err(WolfError::ReportHeld { holders: holders(db).await?, tries: 1 })
}

/// Describes the transactions that would block a swap now. Returns `None` if there are none.
pub(crate) async fn blocking_transactions<C: ConnectionTrait>(
    db: &C,
    from: ReportKind,
) -> Result<Option<String>, WolfError> {
    db.execute_unprepared("SAVEPOINT swap").await.context("try to lock the report")?;
    if !exclude_readers(db, from, "").await.context("try to lock the report")? {
        return holders(db).await.map(Some);
    }
    db.execute_unprepared("ROLLBACK TO SAVEPOINT swap").await.context("release the report")?;
    Ok(None)
}

/// Drops the report and executes `then`, or returns to the savepoint if the lock is not free in time. Returns whether
/// it did.
async fn exclude_readers<C: ConnectionTrait>(db: &C, from: ReportKind, then: &str) -> Result<bool, DbErr> {
    let (kind, wait_ms) = (from.sql(), LOCK_WAIT_MAX.as_millis());
    lock_in_time(db, &format!("SET LOCAL lock_timeout = {wait_ms};\nDROP {kind} page_views_report;\n{then}")).await
}

/// Executes `sql`, or returns to the savepoint if a lock was not free within `lock_timeout`. Returns whether it did.
async fn lock_in_time<C: ConnectionTrait>(db: &C, sql: &str) -> Result<bool, DbErr> {
    // In one round trip, since readers wait; only a cluster takes the statements one by one.
    let executed = match citus::is_installed(db).await? {
        true => execute_each(db, sql).await,
        false => db.execute_unprepared(sql).await.map(|done| done.rows_affected()),
    };
    match executed {
        Ok(_) => Ok(true),
        Err(error) if DbErrorKind::is_lock_timeout(&error) => {
            db.execute_unprepared("ROLLBACK TO SAVEPOINT swap").await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A transaction that holds a lock on the report.
#[derive(Debug, FromQueryResult)]
struct Holder {
    /// `None` for a prepared transaction.
    pid: Option<i32>,
    application_name: Option<String>,
    /// Seconds since its begin; `None` if this login may not see it.
    open_s: Option<i64>,
}

/// Describes the transactions that hold a lock on the report now, oldest first.
async fn holders<C: ConnectionTrait>(db: &C) -> Result<String, WolfError> {
    let statement =
        Statement::from_sql_and_values(DbBackend::Postgres, include_str!("holders.sql"), [HOLDERS_MAX.into()]);
    let found = Holder::find_by_statement(statement).all(db).await;
    let found: Vec<_> =
        found.context("find the transactions that hold the report")?.iter().map(Holder::describe).collect();
    Ok(if found.is_empty() { "transactions that have ended since".to_owned() } else { found.join("; ") })
}

impl Holder {
    fn describe(&self) -> String {
        let Some(pid) = self.pid else { return "a prepared transaction (pg_prepared_xacts)".to_owned() };
        let application = self.application_name.as_ref().map(|name| format!(", {name:?}"));
        let open = self.open_s.map(|open_s| format!(", whose transaction is open for {open_s} s"));
        format!("process {pid}{}{}", application.unwrap_or_default(), open.unwrap_or_default())
    }
}
