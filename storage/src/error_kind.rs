//! Classifies database errors by what the caller can do: retry at once, retry later, make room, or give up.

use std::error::Error;

use sea_orm::{DbErr, RuntimeErr};

/// The kind of a database error.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DbErrorKind {
    /// The transaction conflicted with others. Nothing was written, and a retry may succeed.
    Conflict,
    /// The database can't be reached or is stopping; a later retry may succeed. If the connection was lost during a
    /// commit, the commit may have succeeded.
    Unavailable,
    /// The disk is full. Nothing was written; a retry may succeed once there is room.
    DiskFull,
    /// The database refuses the statement or its values.
    Refused,
}

/// What the message of a Citus coordinator has that has lost a node during a transaction: its own words, or those of libpq. They
/// have no code of their own.
const CITUS_NODE_LOST: [&str; 7] = [
    "failure on connection marked as essential",
    "failed to prepare transaction",
    "server closed the connection unexpectedly",
    "no connection to the server",
    "could not receive data from server",
    "could not send data to server",
    "SSL connection has been closed unexpectedly",
];

impl DbErrorKind {
    /// Classifies `error`.
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

    /// Returns whether a statement was cancelled because it exceeded its time limit.
    #[must_use]
    pub fn is_timeout(error: &DbErr) -> bool {
        let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
            return false;
        };
        // query_canceled, SQLITE_INTERRUPT
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014" || code == "9")
    }

    /// Returns whether a lock could not be acquired within `lock_timeout` (PostgreSQL).
    #[must_use]
    pub fn is_lock_timeout(error: &DbErr) -> bool {
        let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
            return false;
        };
        // lock_not_available
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
    }

    /// Classifies `error`.
    #[must_use]
    pub fn of_sqlx(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                if code == "XX000" && tells_of_lost_node(error.message()) {
                    return Self::Unavailable;
                }
                // PostgreSQL's codes have five characters, SQLite's at most four.
                if code.len() == 5 { Self::of_postgres(&code) } else { Self::of_sqlite(&code) }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            // The connection is not in the transaction that sqlx takes it to be in.
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement
            // An expected row was removed meanwhile; a retry may find it.
            | sqlx::Error::RowNotFound => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// Returns whether the connection can't be used any more after `error`.
    #[must_use]
    pub fn loses_connection(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
            // Connection exceptions; admin_shutdown, crash_shutdown, cannot_connect_now and others of the class;
            // idle_in_transaction_session_timeout; read_only_sql_transaction, since after a failover the address may
            // lead to another server, which only a new connection reaches.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code == "25P03" || code == "25006"
            }),
            _ => false,
        }
    }

    /// Classifies an error code of PostgreSQL (<https://www.postgresql.org/docs/15/errcodes-appendix.html>).
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
            // invalid_sql_statement_name, duplicate_prepared_statement: a pooler has given the backend to another
            // client
            "26000" | "42P05" => Self::Unavailable,
            _ if UNAVAILABLE.iter().any(|class| code.starts_with(class)) => Self::Unavailable,
            _ => Self::Refused,
        }
    }

    /// Classifies a result code of SQLite (<https://www.sqlite.org/rescode.html>).
    fn of_sqlite(code: &str) -> Self {
        // There is no room for the `-shm` file.
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

/// Returns whether a write failed because the database is read-only.
#[must_use]
pub fn is_read_only(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(|error| error.code()) else { return false };
    // read_only_sql_transaction, SQLITE_READONLY
    code == "25006" || (code.len() < 5 && sqlite_primary(&code) == Some(8))
}

/// Returns whether `error` or one of its causes is a full disk.
#[must_use]
pub fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let failure = error.downcast_ref().map(DbErrorKind::of).or_else(|| error.downcast_ref().map(DbErrorKind::of_sqlx));
    failure == Some(DbErrorKind::DiskFull) || error.source().is_some_and(is_disk_full)
}

/// Returns whether a message of Citus says that a node was lost.
fn tells_of_lost_node(message: &str) -> bool {
    CITUS_NODE_LOST.iter().any(|words| message.contains(words))
}

/// Returns the primary result code of an extended one.
pub(crate) fn sqlite_primary(code: &str) -> Option<u32> {
    const PRIMARY_CODE_MASK: u32 = 0xff;
    code.parse::<u32>().ok().map(|code| code & PRIMARY_CODE_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_nodes_of_a_cluster_are_known_by_their_messages() {
        assert!(tells_of_lost_node("failure on connection marked as essential: 127.0.0.1:5433"));
        assert!(tells_of_lost_node("server closed the connection unexpectedly\n\tThis probably means …"));
        assert!(!tells_of_lost_node("cached plan must not change result type"));
    }

    #[test]
    fn error_codes_are_classified() {
        assert_eq!(DbErrorKind::of_postgres("40P01"), DbErrorKind::Conflict);
        assert_eq!(DbErrorKind::of_postgres("57P01"), DbErrorKind::Unavailable);
        assert_eq!(DbErrorKind::of_postgres("42P01"), DbErrorKind::Refused);
        assert_eq!(DbErrorKind::of_postgres("53100"), DbErrorKind::DiskFull);
        assert_eq!(DbErrorKind::of_postgres("53200"), DbErrorKind::Unavailable, "out of memory");
        assert_eq!(DbErrorKind::of_sqlite("13"), DbErrorKind::DiskFull);
        assert_eq!(DbErrorKind::of_sqlite("4874"), DbErrorKind::DiskFull, "SQLITE_IOERR_SHMSIZE");
        assert_eq!(DbErrorKind::of_sqlite("778"), DbErrorKind::Unavailable, "SQLITE_IOERR_WRITE");
        assert_eq!(DbErrorKind::of_sqlite("7"), DbErrorKind::Unavailable, "SQLITE_NOMEM");
        assert_eq!(DbErrorKind::of_sqlx(&sqlx::Error::InvalidSavePointStatement), DbErrorKind::Unavailable);
        assert_eq!(DbErrorKind::of_sqlite("517"), DbErrorKind::Unavailable, "SQLITE_BUSY_SNAPSHOT");
        assert_eq!(DbErrorKind::of_sqlite("1"), DbErrorKind::Refused);
        assert_eq!(
            DbErrorKind::of(&DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::PoolTimedOut.into()))),
            DbErrorKind::Unavailable
        );
    }
}
