//! Connecting to PostgreSQL.
//!
//! Nothing is set for a session: a pooler in between may refuse startup parameters, and may lend one session to several
//! clients, a transaction at a time. What a transaction needs is set in it and for it alone ([`crate::transaction`]).

use std::time::Duration;

use sea_orm::DatabaseConnection;
use sqlx::{
    Connection, Postgres,
    postgres::{PgConnectOptions, PgConnection},
};

use super::{DatabaseKind, DatabaseSettings, Pools, pool_options};

/// The Wolf works on one connection and records its failures on another.
const WOLF_CONNECTIONS: u32 = 2;
/// Connections for recording that are opened at once; those that are taken out are not counted.
const WRITER_CONNECTIONS: u32 = 4;

pub(super) async fn connect(options: PgConnectOptions, settings: &DatabaseSettings) -> Result<Pools, sqlx::Error> {
    // A pool that can't connect says only that it waited; a connection says why.
    let timeout = Duration::from_millis(settings.database_timeout_ms);
    let first = tokio::time::timeout(timeout, PgConnection::connect_with(&options)).await;
    first.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??.close().await?;
    let pool = |connections: u32| {
        DatabaseConnection::from(pool_options::<Postgres>(settings, connections).connect_lazy_with(options.clone()))
    };
    let pools = [pool(settings.reader_connections), pool(WRITER_CONNECTIONS), pool(WOLF_CONNECTIONS)];
    Ok((DatabaseKind::Postgres, pools))
}
