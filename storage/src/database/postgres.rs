//! Connects to PostgreSQL.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use sqlx::{Postgres, postgres::PgConnectOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    DatabaseError, DatabaseKind, DatabaseSettings, DatabaseUrl, Pools, for_long_statements, pool_options,
    pooling::{self, Pair},
};
use crate::connections::{Connections, Pool, ProofOfLife, Work};

/// Connections for background work: two that work or wait for one another, one to record a failure, and one by which a Citus
/// cluster is asked and told meanwhile.
const BACKGROUND_CONNECTIONS: u32 = 4;
/// The most connections for recording that are opened at the same time. Connections that committers have detached from
/// the pool do not count.
const WRITER_CONNECTIONS: u32 = 4;

pub(super) async fn connect(
    options: PgConnectOptions,
    url: &DatabaseUrl,
    settings: &DatabaseSettings,
    hurry: &CancellationToken,
) -> Result<Pools, DatabaseError> {
    // A connection reports why it can't connect; a pool would only report a timeout.
    let acquire_max = Duration::from_millis(settings.connection.database_timeout_ms);
    let looked = timeout(acquire_max, keeps_statements_apart(&options)).await;
    match looked.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(true) => {}
        Ok(false) => return Err(DatabaseError::PreparedStatements { url: url.to_string() }),
        Err(source) if pooling::is_of_statement_pooling(&source) => {
            return Err(DatabaseError::StatementPooling { url: url.to_string(), source });
        }
        Err(source) => return Err(url.unreachable(source)),
    }
    let link_check = Duration::from_millis(settings.connection.link_check_ms.into());
    let proof_of_life = ProofOfLife::new(options.clone(), link_check, hurry.clone());
    let pool = |options: &PgConnectOptions, size, work| {
        Connections::postgres(Pool::new(options.clone(), size, acquire_max, work, proof_of_life.clone()))
    };
    let query_max = Duration::from_millis(settings.query_timeout_ms.into());
    let writers = pool_options::<Postgres>(settings, WRITER_CONNECTIONS).connect_lazy_with(options.clone());
    let readers = pool(&options, settings.reader_connections, Work::Queries(query_max));
    Ok(Pools {
        kind: DatabaseKind::Postgres,
        exports: readers.clone(),
        readers,
        writers: DatabaseConnection::from(writers),
        background: pool(&for_long_statements(options), BACKGROUND_CONNECTIONS, Work::Changes),
    })
}

/// Returns whether each connection finds its own prepared statements. Every statement with parameters is one.
async fn keeps_statements_apart(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut pair = Pair::connect(options).await?;
    let apart = !pair.shares_backends().await? || pair.keeps_statements_apart().await?;
    pair.close().await;
    Ok(apart)
}
