//! What a pooler between this program and PostgreSQL does with its connections, found out by using two of them.
//!
//! A pooler looks like the server and does not say what it is. But every session of PostgreSQL has a backend of its own,
//! which says its number: a connection whose backend changes, or is another connection's too, is lent from transaction to
//! transaction.

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

/// How often the two are compared. A pooler gives out the backend that was used last, or the one that was used longest ago:
/// either shows in the first round, unless other clients of the pooler come in between.
const ROUNDS: u32 = 2;

/// Whether a pooler lends the connections that `options` describe to others between transactions. What belongs to a session
/// is lost there, and `LISTEN` would stay behind on a connection of somebody else.
///
/// # Errors
/// When the database can't be asked; [`is_of_statement_pooling`] tells whether it refused a transaction.
pub async fn lends_by_transaction(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut pair = Pair::connect(options).await?;
    let lends = pair.shares_backends().await?;
    pair.close().await;
    Ok(lends)
}

/// Whether a pooler has refused to begin a transaction.
#[must_use]
pub fn is_of_statement_pooling(error: &sqlx::Error) -> bool {
    // protocol_violation, pgbouncer's code for all that it says itself
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "08P01")
}

/// Two connections to the same place.
pub(super) struct Pair(PgConnection, PgConnection);

impl Pair {
    pub(super) async fn connect(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let (one, other) = tokio::join!(PgConnection::connect_with(options), PgConnection::connect_with(options));
        Ok(Self(one?, other?))
    }

    /// Whether transactions of the two are executed by the same backend, or those of one by several.
    pub(super) async fn shares_backends(&mut self) -> Result<bool, sqlx::Error> {
        for _ in 0..ROUNDS {
            // Twice: a pooler may give out its backends in turn.
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

    /// Whether a statement that one has prepared is there for it, and for it alone, whichever backend it gets.
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
        // They are not used any more: that one can't be closed in order is nothing to report.
        drop(tokio::join!(self.0.close(), self.1.close()));
    }
}

/// The number of the backend that executes this.
async fn backend(connection: &mut PgConnection, before: &str) -> Result<i32, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!("{before} SELECT pg_backend_pid()"));
    sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(0)
}

/// Whether a prepared statement was not found, or another one had its name.
fn is_of_lost_statement(error: &sqlx::Error) -> bool {
    // invalid_sql_statement_name, duplicate_prepared_statement
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "26000" || code == "42P05")
}
