//! What can go wrong with a refresh.

use entity::failure::Failure;
use sea_orm::DbErr;

use crate::schedule::ScheduleError;

/// Why the Wolf could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WolfError {
    /// A statement failed; the transaction that it was part of left nothing behind.
    #[error("can't {operation}")]
    Database {
        /// What the Wolf was doing.
        operation: &'static str,
        /// What the database says.
        #[source]
        source: DbErr,
    },
    /// The schedule does not run.
    #[error("can't run the schedule")]
    Schedule(#[source] ScheduleError),
    /// The report has hours of pages and not their days or months, so nothing can be added to them.
    #[error("the report lacks {rows} rows that it must have had, run: analytics rebuild")]
    RowsMissing {
        /// How many.
        rows: u64,
    },
    /// Readers were never without a transaction that holds the report, so its new one could not be swapped in.
    #[error(
        "the new report could not be swapped in, tried {tries} times: the old one is held by {holders}; it stays as it is"
    )]
    ReportHeld {
        /// The transactions that hold it, in words.
        holders: String,
        /// How often the swap was tried.
        tries: u32,
    },
    /// Another transaction holds the report such that nobody can read it.
    #[error("the report could not be read within {waited_s} s: another transaction holds it")]
    ReportLocked {
        /// For how many seconds it was waited for.
        waited_s: u64,
    },
    /// SQLite has no materialized views.
    #[error("the report of an SQLite database is always a table: leave --report-kind at auto or table")]
    NoMaterializedView,
}

impl WolfError {
    /// Whether the database could not be reached: soon it may be.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Database { source, .. } if Failure::of(source) == Failure::Unavailable)
    }

    /// The same in words for everybody: no SQL, no address, no secret.
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Database { source, .. } => match Failure::of(source) {
                Failure::Unavailable => "the database can't be reached",
                Failure::DiskFull => "the database's disk is full",
                Failure::Conflict | Failure::Refused => {
                    "the database refused the refresh; the log of the Wolf says why"
                }
            },
            Self::Schedule(_) => "the schedule does not run",
            Self::RowsMissing { .. } => "the report lacks rows that it must have had; it has to be rebuilt",
            Self::ReportHeld { .. } | Self::ReportLocked { .. } => {
                "another transaction holds the report; the log of the Wolf says which"
            }
            Self::NoMaterializedView => "an SQLite database has no materialized views",
        }
    }
}

/// Names the operation that a statement was part of.
pub(crate) trait During<T> {
    /// `operation` completes the sentence "can't ...".
    fn during(self, operation: &'static str) -> Result<T, WolfError>;
}

impl<T> During<T> for Result<T, DbErr> {
    fn during(self, operation: &'static str) -> Result<T, WolfError> {
        self.map_err(|source| WolfError::Database { operation, source })
    }
}
