//! Connecting to PostgreSQL.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use sqlx::{
    Connection, Postgres,
    postgres::{PgConnectOptions, PgConnection},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{DatabaseKind, DatabaseSettings, Pools, pool_options};
use crate::connections::{Connections, Pool, ProofOfLife, Work};

/// The Wolf works on one connection and records its failures on another.
const WOLF_CONNECTIONS: u32 = 2;
/// Connections for recording that are opened at once; those that are taken out are not counted.
const WRITER_CONNECTIONS: u32 = 4;

pub(super) async fn connect(
    options: PgConnectOptions,
    settings: &DatabaseSettings,
    hurry: &CancellationToken,
) -> Result<Pools, sqlx::Error> {
    // A pool that can't connect says only that it waited; a connection says why.
    let acquire_max = Duration::from_millis(settings.database_timeout_ms);
    let first = timeout(acquire_max, async { PgConnection::connect_with(&options).await?.close().await }).await;
    first.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
    let link_check = Duration::from_millis(settings.link_check_ms.into());
    let proof_of_life = ProofOfLife::new(options.clone(), link_check, hurry.clone());
    let pool =
        |size, work| Connections::postgres(Pool::new(options.clone(), size, acquire_max, work, proof_of_life.clone()));
    let query_max = Duration::from_millis(settings.query_timeout_ms.into());
    let writers = pool_options::<Postgres>(settings, WRITER_CONNECTIONS).connect_lazy_with(options.clone());
    Ok(Pools {
        kind: DatabaseKind::Postgres,
        readers: pool(settings.reader_connections, Work::Queries(query_max)),
        writers: DatabaseConnection::from(writers),
        wolf: pool(WOLF_CONNECTIONS, Work::Changes),
    })
}
