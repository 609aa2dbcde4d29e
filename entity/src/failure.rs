//! What a failed statement means for the one who asked: whether the database can't be reached, has no room, was in the
//! way of itself, or refuses.

use std::error::Error;

use sea_orm::{DbErr, RuntimeErr};

/// How a statement failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Other transactions were in the way: nothing was done, and the same again may succeed.
    Conflict,
    /// The database can't be reached or stops: later it may be able to. What a lost connection was about to
    /// commit may have been committed.
    Unavailable,
    /// The disk is full. Nothing was done; when there is room the same again may succeed.
    DiskFull,
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

    /// Whether a lock was not to be had within `lock_timeout` (PostgreSQL).
    #[must_use]
    pub fn is_lock_timeout(error: &DbErr) -> bool {
        let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
            return false;
        };
        // lock_not_available
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
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
            // The connection is not in the transaction that it is taken to be in.
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement
            // What should be there is gone in between: the same again may find it.
            | sqlx::Error::RowNotFound => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// Whether the connection that a statement failed on is of no use any more.
    #[must_use]
    pub fn loses_connection(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
            // Connection exceptions; admin_shutdown, crash_shutdown, cannot_connect_now and their like;
            // idle_in_transaction_session_timeout; read_only_sql_transaction: after a failover the address may lead to another
            // server, and only a new connection goes there.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code == "25P03" || code == "25006"
            }),
            _ => false,
        }
    }

    /// <https://www.postgresql.org/docs/15/errcodes-appendix.html>
    fn of_postgres(code: &str) -> Self {
        // Connection exception, insufficient resources, operator intervention, system error.
        const UNAVAILABLE: [&str; 4] = ["08", "53", "57", "58"];
        match code {
            // serialization_failure, deadlock_detected
            "40001" | "40P01" => Self::Conflict,
            // disk_full
            "53100" => Self::DiskFull,
            // read_only_sql_transaction (a standby), idle_in_transaction_session_timeout, lock_not_available
            "25006" | "25P03" | "55P03" => Self::Unavailable,
            // invalid_sql_statement_name, duplicate_prepared_statement: a pooler has lent the connection to somebody else
            "26000" | "42P05" => Self::Unavailable,
            _ if UNAVAILABLE.iter().any(|class| code.starts_with(class)) => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// <https://www.sqlite.org/rescode.html>
    fn of_sqlite(code: &str) -> Self {
        // There is no room for the index of the log.
        const IOERR_SHMSIZE: &str = "4874";
        match sqlite_primary(code) {
            // SQLITE_FULL
            Some(13) => Self::DiskFull,
            _ if code == IOERR_SHMSIZE => Self::DiskFull,
            // SQLITE_ABORT, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CANTOPEN, PROTOCOL
            Some(4..=10 | 14 | 15) => Self::Unavailable,
            _ => Self::Refused,
        }
    }
}

/// Whether what failed is that the database may not be written to.
#[must_use]
pub fn is_read_only(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(|error| error.code()) else { return false };
    // read_only_sql_transaction, SQLITE_READONLY
    code == "25006" || (code.len() < 5 && sqlite_primary(&code) == Some(8))
}

/// Whether a full disk is what `error` or one of its causes says.
#[must_use]
pub fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let failure = error.downcast_ref().map(Failure::of).or_else(|| error.downcast_ref().map(Failure::of_sqlx));
    failure == Some(Failure::DiskFull) || error.source().is_some_and(is_disk_full)
}

fn sqlite_primary(code: &str) -> Option<u32> {
    const PRIMARY_CODE_MASK: u32 = 0xff;
    code.parse::<u32>().ok().map(|code| code & PRIMARY_CODE_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_databases_say() {
        assert_eq!(Failure::of_postgres("40P01"), Failure::Conflict);
        assert_eq!(Failure::of_postgres("57P01"), Failure::Unavailable);
        assert_eq!(Failure::of_postgres("42P01"), Failure::Refused);
        assert_eq!(Failure::of_postgres("53100"), Failure::DiskFull);
        assert_eq!(Failure::of_postgres("53200"), Failure::Unavailable, "out of memory");
        assert_eq!(Failure::of_sqlite("13"), Failure::DiskFull);
        assert_eq!(Failure::of_sqlite("4874"), Failure::DiskFull, "SQLITE_IOERR_SHMSIZE");
        assert_eq!(Failure::of_sqlite("778"), Failure::Unavailable, "SQLITE_IOERR_WRITE");
        assert_eq!(Failure::of_sqlite("7"), Failure::Unavailable, "SQLITE_NOMEM");
        assert_eq!(Failure::of_sqlx(&sqlx::Error::InvalidSavePointStatement), Failure::Unavailable);
        assert_eq!(Failure::of_sqlite("517"), Failure::Unavailable, "SQLITE_BUSY_SNAPSHOT");
        assert_eq!(Failure::of_sqlite("1"), Failure::Refused);
        assert_eq!(
            Failure::of(&DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::PoolTimedOut.into()))),
            Failure::Unavailable
        );
    }
}
