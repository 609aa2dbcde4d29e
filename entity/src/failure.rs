//! What a failed statement means for the one who asked: whether the database can't be reached, was in the way of
//! itself, or refuses.

use sea_orm::{DbErr, RuntimeErr};

/// How a statement failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Other transactions were in the way: nothing was done, and the same again may succeed.
    Conflict,
    /// The database can't be reached, stops, or is full: later it may be able to. What a lost connection was about to
    /// commit may have been committed.
    Unavailable,
    /// The database refuses what it was given.
    Refused,
}

impl Failure {
    /// What `error` means.
    #[must_use]
    pub fn of(error: &DbErr) -> Self {
        match error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => Self::Unavailable,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                Self::of_sqlx(error)
            }
            _ => Self::Refused,
        }
    }

    /// Whether a statement was stopped because it took longer than it may.
    #[must_use]
    pub fn is_timeout(error: &DbErr) -> bool {
        let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
            return false;
        };
        // query_canceled, SQLITE_INTERRUPT
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014" || code == "9")
    }

    /// What `error` means.
    #[must_use]
    pub fn of_sqlx(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                // PostgreSQL's codes have five characters, SQLite's at most four.
                if code.len() == 5 { Self::of_postgres(&code) } else { Self::of_sqlite(&code) }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            // What should be there is gone in between: the same again may find it.
            | sqlx::Error::RowNotFound => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// <https://www.postgresql.org/docs/15/errcodes-appendix.html>
    fn of_postgres(code: &str) -> Self {
        // Connection exception, insufficient resources, operator intervention, system error.
        const UNAVAILABLE: [&str; 4] = ["08", "53", "57", "58"];
        match code {
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => Self::Conflict,
            // read_only_sql_transaction (a standby), idle_in_transaction_session_timeout, lock_not_available
            "25006" | "25P03" | "55P03" => Self::Unavailable,
            _ if UNAVAILABLE.iter().any(|class| code.starts_with(class)) => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// <https://www.sqlite.org/rescode.html>
    fn of_sqlite(code: &str) -> Self {
        const PRIMARY_CODE_MASK: u32 = 0xff;
        // SQLITE_BUSY, LOCKED, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN
        match code.parse::<u32>().map(|code| code & PRIMARY_CODE_MASK) {
            Ok(5 | 6 | 8 | 9 | 10 | 13 | 14) => Self::Unavailable,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_databases_say() {
        assert_eq!(Failure::of_postgres("40P01"), Failure::Conflict);
        assert_eq!(Failure::of_postgres("57P01"), Failure::Unavailable);
        assert_eq!(Failure::of_postgres("42P01"), Failure::Refused);
        assert_eq!(Failure::of_sqlite("517"), Failure::Unavailable, "SQLITE_BUSY_SNAPSHOT");
        assert_eq!(Failure::of_sqlite("1"), Failure::Refused);
        assert_eq!(
            Failure::of(&DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::PoolTimedOut.into()))),
            Failure::Unavailable
        );
    }
}
