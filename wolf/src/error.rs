//! The Wolf's errors.

use sea_orm::DbErr;
use storage::error_kind::DbErrorKind;

use crate::schedule::ScheduleError;

/// An error of a refresh, a rebuild, maintenance or the schedule.
#[derive(Debug, thiserror::Error)]
pub enum WolfError {
    /// A statement failed, and its transaction was rolled back.
    #[error("can't {operation}")]
    Database {
        /// The operation that the statement was part of; completes the sentence "can't ...".
        operation: &'static str,
        /// The error of the database.
        #[source]
        source: DbErr,
    },
    /// The schedule does not run.
    #[error("can't run the schedule")]
    Schedule(#[source] ScheduleError),
    /// The report lacks days or months of pages of which it has hours, so nothing can be added to them.
    #[error("the report lacks {rows} rows that it must have had, run: analytics rebuild")]
    RowsMissing {
        /// The number of missing rows.
        rows: u64,
    },
    /// At every try some transaction held a lock on the report, so the new one could not be swapped in.
    #[error(
        "the new report could not be swapped in, tried {tries} times: the old one is held by {holders}; it stays as it is"
    )]
    ReportHeld {
        /// A description of the transactions that hold the lock.
        holders: String,
        /// How often the swap was tried.
        tries: u32,
    },
    /// Another transaction holds the report in a mode that excludes readers.
    #[error("the report could not be read within {waited_s} s: another transaction holds it")]
    ReportLocked {
        /// For how many seconds it was waited for.
        waited_s: u64,
    },
    /// A node of a Citus cluster can't be asked, so increments may be recorded there that nobody sees.
    #[error("a node of the cluster can't be asked: {reason}")]
    NodeLost {
        /// What the coordinator says.
        reason: String,
    },
    /// Transactions are prepared on a node of a Citus cluster and not committed there yet.
    #[error("transactions are not committed on every node of the cluster yet: {transactions}")]
    Unsettled {
        /// The names that they are prepared under, as in `pg_prepared_xacts`.
        transactions: String,
    },
    /// Increments were recorded on a Citus cluster at each try to compare its report, so what differs is not certain.
    #[error(
        "the report differs, but increments were recorded meanwhile at each of {tries} tries; try again when fewer are"
    )]
    NotAtRest {
        /// How often it was tried.
        tries: u32,
    },
    /// SQLite has no materialized views.
    #[error("the report of an SQLite database is always a table: leave --report-kind at auto or table")]
    NoMaterializedView,
}

impl WolfError {
    /// Returns whether a try in a moment may succeed: the database could not be reached, or others were in the way.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { source, .. } => {
                matches!(DbErrorKind::of(source), DbErrorKind::Unavailable | DbErrorKind::Conflict)
            }
            Self::NodeLost { .. } | Self::Unsettled { .. } => true,
            _ => false,
        }
    }

    /// Returns the error in words that clients may see: without SQL, addresses or secrets.
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Database { source, .. } => match DbErrorKind::of(source) {
                DbErrorKind::Unavailable => "the database can't be reached",
                DbErrorKind::DiskFull => "the database's disk is full",
                DbErrorKind::Conflict => "the refresh was in conflict with another transaction",
                DbErrorKind::Refused => "the database refused the refresh; the log of the Wolf says why",
            },
            Self::Schedule(_) => "the schedule does not run",
            Self::RowsMissing { .. } => "the report lacks rows that it must have had; it has to be rebuilt",
            Self::ReportHeld { .. } | Self::ReportLocked { .. } => {
                "another transaction holds the report; the log of the Wolf says which"
            }
            Self::NotAtRest { .. } => "increments were recorded meanwhile",
            Self::NodeLost { .. } => "a node of the database's cluster can't be reached",
            Self::Unsettled { .. } => "a node of the database's cluster has not committed everything yet",
            Self::NoMaterializedView => "an SQLite database has no materialized views",
        }
    }
}

/// Adds the operation that a statement was part of to its error.
pub(crate) trait Context<T> {
    /// `operation` completes the sentence "can't ...".
    fn context(self, operation: &'static str) -> Result<T, WolfError>;
}

impl<T> Context<T> for Result<T, DbErr> {
    fn context(self, operation: &'static str) -> Result<T, WolfError> {
        self.map_err(|source| WolfError::Database { operation, source })
    }
}
