//! One refresh: what is stale, brought up to date, and proven.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Database, DatabaseKind, Hour, clock};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use tracing::{info, warn};

use crate::{
    error::{During, WolfError},
    history::{self, End, Run},
    marks, merge,
    report_kind::ReportKind,
    schedule::Schedule,
};

/// "wolf" in ASCII: whoever holds this advisory lock in a transaction may change the report.
const POSTGRES_LOCK: i64 = 0x776f_6c66;
/// How many stale hours one transaction merges: its length, and what a crash costs.
const HOURS_PER_MERGE: usize = 8;
/// How many titles one transaction changes.
const TITLES_PER_TRANSACTION: u64 = 1_000;

/// Does one refresh at a time, across all processes.
#[derive(Clone, Debug)]
pub struct Refresher {
    db: DatabaseConnection,
    kind: DatabaseKind,
}

/// What to do while another process refreshes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Leave it to that process.
    Try,
    /// Wait until it is done. (On SQLite everybody waits: that is how its lock works.)
    Wait,
}

/// What became of a refresh that did not fail.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The report is up to date.
    Refreshed(Refreshed),
    /// Another process was refreshing.
    Standby,
}

/// What a refresh did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// Its row in `report_refreshes`.
    pub id: i64,
    /// Every increment with `recordedAt` at or before this is in the report.
    pub as_of: Option<DateTime<Utc>>,
    /// How many stale hours it found.
    pub hours: i32,
    /// How many report rows changed.
    pub rows_changed: i64,
    /// How long it took, by the database's clock.
    pub duration: TimeDelta,
}

/// What there is to do, as of when.
struct Work {
    as_of: DateTime<Utc>,
    hours: Vec<Hour>,
    titles: bool,
}

impl Refresher {
    /// For the report of `database`.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { db: database.wolf.clone(), kind: database.kind }
    }

    /// Makes the report a relation of the kind `wanted`, if it is another. Says whether it was.
    ///
    /// # Errors
    /// [`WolfError::NoMaterializedView`] on SQLite; [`WolfError::Database`], then nothing has changed.
    pub async fn ensure_kind(&self, wanted: ReportKind) -> Result<bool, WolfError> {
        if self.kind == DatabaseKind::Sqlite {
            return if wanted == ReportKind::Table { Ok(false) } else { Err(WolfError::NoMaterializedView) };
        }
        let transaction = self.begin_in_turn().await?;
        let before = ReportKind::read(&transaction).await.during("read the report's kind")?;
        if before == wanted {
            return Ok(false);
        }
        wanted.convert(&transaction).await.during("convert the report")?;
        transaction.commit().await.during("commit the report's conversion")?;
        info!(report.from = ?before, report.to = ?wanted, "report converted");
        Ok(true)
    }

    /// Brings the report up to date with everything that is recorded when this begins.
    ///
    /// # Errors
    /// [`WolfError::Database`]; the failure is recorded in `report_refreshes` if the database can still be
    /// written to, and what had been merged by then stays merged.
    pub async fn refresh(&self, turn: Turn, schedule: Option<&Schedule>) -> Result<Outcome, WolfError> {
        let ticks = schedule.map(|schedule| schedule.ticks_after(clock::process_now())).transpose();
        let started_at = clock::database_now(&self.db).await.during("read the database's clock")?;
        let mut run = Run { started_at, ticks: ticks.map_err(WolfError::Schedule)?, under_way_id: None };
        let result = self.run(turn, &mut run).await;
        if let Err(error) = &result {
            let failed = End::Failed { error: error.public_message() };
            if let Err(error) = history::end(&self.db, &run, failed).await {
                warn!(error = &error as &dyn std::error::Error, "the refresh's failure could not be recorded");
            }
        }
        result
    }

    async fn run(&self, turn: Turn, run: &mut Run) -> Result<Outcome, WolfError> {
        let Some(transaction) = self.begin(turn).await? else { return Ok(Outcome::Standby) };
        let work = Work::find(&transaction).await.during("look for stale hours")?;
        if work.is_none() {
            return finish(transaction, run, &work, 0).await;
        }
        history::begin(&transaction, run).await.during("record the refresh's start")?;
        transaction.commit().await.during("record the refresh's start")?;

        let transaction = self.begin_in_turn().await?;
        match ReportKind::read(&transaction).await.during("read the report's kind")? {
            ReportKind::MaterializedView => {
                let changed = refresh_view(&transaction).await.during("refresh the materialized view")?;
                finish(transaction, run, &work, changed).await
            }
            ReportKind::Table => self.merge(transaction, run, &work).await,
        }
    }

    /// A few hours a transaction, newest first; the last one also says that all is done.
    async fn merge(&self, mut transaction: DatabaseTransaction, run: &Run, work: &Work) -> Result<Outcome, WolfError> {
        let mut changed = 0;
        for hours in work.hours.chunks(HOURS_PER_MERGE) {
            // First the marks, then the counts: what is recorded in between is merged and still marked.
            if marks::take_hours(&transaction, hours).await.during("take the stale hours")? > 0 {
                changed += merge::merge(&transaction, hours).await.during("merge the stale hours")?;
            }
            transaction = self.next_transaction(transaction).await?;
        }
        loop {
            let names =
                marks::take_titles(&transaction, TITLES_PER_TRANSACTION).await.during("take the stale titles")?;
            if names.is_empty() {
                return finish(transaction, run, work, changed).await;
            }
            changed += merge::retitle(&transaction, &names).await.during("change the titles")?;
            transaction = self.next_transaction(transaction).await?;
        }
    }

    async fn next_transaction(&self, transaction: DatabaseTransaction) -> Result<DatabaseTransaction, WolfError> {
        transaction.commit().await.during("commit the merge")?;
        self.begin_in_turn().await
    }

    /// A transaction that alone may change the report, as soon as it is this process's turn.
    async fn begin_in_turn(&self) -> Result<DatabaseTransaction, WolfError> {
        let transaction = self.begin_unlocked().await?;
        if self.kind == DatabaseKind::Postgres {
            let sql = format!("SELECT pg_advisory_xact_lock({POSTGRES_LOCK})");
            transaction.execute_unprepared(&sql).await.during("wait for the refresh's lock")?;
        }
        Ok(transaction)
    }

    async fn begin(&self, turn: Turn) -> Result<Option<DatabaseTransaction>, WolfError> {
        if turn == Turn::Wait || self.kind == DatabaseKind::Sqlite {
            return self.begin_in_turn().await.map(Some);
        }
        let transaction = self.begin_unlocked().await?;
        let locked = try_lock(&transaction).await.during("try the refresh's lock")?;
        Ok(locked.then_some(transaction))
    }

    async fn begin_unlocked(&self) -> Result<DatabaseTransaction, WolfError> {
        let options = TransactionOptions {
            // On SQLite this is the lock.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.db.begin_with_options(options).await.during("begin a transaction")
    }
}

impl Work {
    /// The clock first, then the marks: whatever was acknowledged up to `as_of` had been committed before the
    /// marks are read, so its mark is seen, or was taken by a refresh that has been committed too.
    async fn find(transaction: &DatabaseTransaction) -> Result<Self, DbErr> {
        let as_of = clock::as_of(clock::database_now(transaction).await?);
        let hours = marks::stale_hours(transaction).await?;
        Ok(Self { as_of, hours, titles: marks::any_stale_title(transaction).await? })
    }

    fn is_none(&self) -> bool {
        self.hours.is_empty() && !self.titles
    }
}

/// Says that all of `work` is done, and commits.
async fn finish(transaction: DatabaseTransaction, run: &Run, work: &Work, changed: u64) -> Result<Outcome, WolfError> {
    let end = End::Succeeded { as_of: work.as_of, hours: work.hours.len(), rows_changed: changed };
    let row = history::end(&transaction, run, end).await.during("record the refresh's end")?;
    transaction.commit().await.during("commit the refresh")?;
    Ok(Outcome::Refreshed(Refreshed {
        id: row.id,
        as_of: row.as_of,
        hours: row.hours,
        rows_changed: row.rows_changed,
        duration: row.finished_at.map_or_else(TimeDelta::zero, |finished_at| finished_at - row.started_at),
    }))
}

async fn try_lock(transaction: &DatabaseTransaction) -> Result<bool, DbErr> {
    let sql = format!("SELECT pg_try_advisory_xact_lock({POSTGRES_LOCK})");
    let row = transaction.query_one_raw(Statement::from_string(transaction.get_database_backend(), sql)).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// All marks, then all of the view: the view is computed by a later snapshot than the marks were taken by.
async fn refresh_view(transaction: &DatabaseTransaction) -> Result<u64, DbErr> {
    transaction.execute_unprepared("DELETE FROM stale_hours").await?;
    transaction.execute_unprepared("DELETE FROM stale_titles").await?;
    transaction.execute_unprepared("REFRESH MATERIALIZED VIEW CONCURRENTLY page_views_report").await?;
    // The statement does not say how many rows it wrote, this transaction's own statistics do. A row that
    // changed was deleted and inserted.
    const WRITTEN: &str = "SELECT greatest(pg_stat_get_xact_tuples_inserted('page_views_report'::regclass),
                                           pg_stat_get_xact_tuples_deleted('page_views_report'::regclass))";
    let row = transaction.query_one_raw(Statement::from_string(transaction.get_database_backend(), WRITTEN)).await?;
    let written: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(u64::try_from(written).unwrap_or_default())
}
