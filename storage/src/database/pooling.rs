//! Detects how a pooler between this program and PostgreSQL shares server connections, by means of two connections.
//!
//! A pooler looks like the server. But each session of PostgreSQL has a backend process of its own, whose id a query
//! returns. If a connection's backend changes, or serves another connection too, there is a pooler that shares backends
//! between transactions (transaction pooling).

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

/// The number of comparisons. A pooler assigns the backend that was used last, or least recently: both show in the
/// first round, unless other clients of the pooler interfere.
const ROUNDS: u32 = 2;

/// Returns whether connections with `options` go through a pooler that shares backends between transactions. There
/// session state is lost, and a `LISTEN` would remain on a backend that another client uses.
///
/// # Errors
/// When the database can't be queried; [`is_of_statement_pooling`] tells whether a pooler refused a transaction.
pub async fn lends_by_transaction(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut pair = Pair::connect(options).await?;
    let lends = pair.shares_backends().await?;
    pair.close().await;
    Ok(lends)
}

/// Returns whether a pooler has refused to begin a transaction.
#[must_use]
pub fn is_of_statement_pooling(error: &sqlx::Error) -> bool {
    // protocol_violation: the code of all errors from pgbouncer itself.
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "08P01")
}

/// Two connections to the same database.
pub(super) struct Pair(PgConnection, PgConnection);

impl Pair {
    pub(super) async fn connect(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let (one, other) = tokio::join!(PgConnection::connect_with(options), PgConnection::connect_with(options));
        Ok(Self(one?, other?))
    }

    /// Returns whether both connections use the same backend, or one connection uses several.
    pub(super) async fn shares_backends(&mut self) -> Result<bool, sqlx::Error> {
        for _ in 0..ROUNDS {
            // Asked twice, since a pooler may assign its backends in turn.
            let (first, second) = (backend(&mut self.0, "").await?, backend(&mut self.0, "").await?);
            let of_other = backend(&mut self.1, "BEGIN;").await?;
            let shared = first != second || first == of_other || backend(&mut self.0, "").await? != first;
            self.1.execute("ROLLBACK").await?;
            if shared {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether each connection finds its own prepared statements on every backend, and not the other's.
    pub(super) async fn keeps_statements_apart(&mut self) -> Result<bool, sqlx::Error> {
        for _ in 0..ROUNDS {
            match self.ask_each().await {
                Ok((1, 2)) => {}
                Ok(_) => return Ok(false),
                Err(error) if is_of_lost_statement(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    async fn ask_each(&mut self) -> Result<(i32, i32), sqlx::Error> {
        let one = sqlx::query_scalar("SELECT 1").fetch_one(&mut self.0).await?;
        Ok((one, sqlx::query_scalar("SELECT 2").fetch_one(&mut self.1).await?))
    }

    pub(super) async fn close(self) {
        // The connections are not used any more, so an error while closing does not matter.
        drop(tokio::join!(self.0.close(), self.1.close()));
    }
}

/// Executes `before` and returns the process id of the backend that executes it.
async fn backend(connection: &mut PgConnection, before: &str) -> Result<i32, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{before} SELECT pg_backend_pid()"));
    sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(0)
}

/// Returns whether a prepared statement was missing, or its name was taken by another one.
fn is_of_lost_statement(error: &sqlx::Error) -> bool {
    // invalid_sql_statement_name, duplicate_prepared_statement
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "26000" || code == "42P05")
}
