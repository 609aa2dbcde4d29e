//! Connecting to an SQLite file.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sea_orm::DatabaseConnection;
use sqlx::{
    Sqlite,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};

use super::{DatabaseKind, DatabaseSettings, Pools, pool_options};

/// How long the switch of a new SQLite file into WAL may find it locked by other processes that start.
const WAL_SWITCH_TRIES: u32 = 100;
const WAL_SWITCH_PAUSE: Duration = Duration::from_millis(50);
/// How many steps an SQLite query takes between two looks at the clock: less than a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Readers of an SQLite file: they never wait for the writer, so a few serve many requests.
const SQLITE_READERS_MAX: u32 = 8;

pub(super) async fn connect(file: &Path, settings: &DatabaseSettings) -> Result<Pools, sqlx::Error> {
    let timeout = Duration::from_millis(settings.database_timeout_ms);
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(timeout);
    let writable = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut tries = 0;
    let writer = loop {
        match pool_options::<Sqlite>(settings, 1).connect_with(writable.clone()).await {
            // SQLite's own timeout does not cover the switch into WAL.
            Err(error) if is_locked(&error) && tries < WAL_SWITCH_TRIES => {
                tries += 1;
                tokio::time::sleep(WAL_SWITCH_PAUSE).await;
            }
            opened => break DatabaseConnection::from(opened?),
        }
    };
    let connections = settings.reader_connections.min(SQLITE_READERS_MAX);
    let readers = pool_options::<Sqlite>(settings, connections);
    let readers = with_deadline(readers, Duration::from_millis(settings.query_timeout_ms.into()));
    let readers = readers.connect_with(options.pragma("query_only", "ON")).await?;
    Ok((DatabaseKind::Sqlite, [readers.into(), writer.clone(), writer]))
}

/// Interrupts what runs on a connection that was handed out longer ago than `timeout`. (PostgreSQL does so itself.)
fn with_deadline(options: PoolOptions<Sqlite>, timeout: Duration) -> PoolOptions<Sqlite> {
    options.after_connect(move |connection, _| Box::pin(set_deadline(connection, timeout))).before_acquire(
        // Its file does not go away: what is open needs no test.
        move |connection, _| Box::pin(async move { set_deadline(connection, timeout).await.map(|()| true) }),
    )
}

async fn set_deadline(connection: &mut SqliteConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + timeout;
    connection.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < deadline);
    Ok(())
}

fn is_locked(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY and its extended codes: https://www.sqlite.org/rescode.html#busy
    const SQLITE_BUSY: u32 = 5;
    const PRIMARY_CODE_MASK: u32 = 0xff;
    error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .is_some_and(|code| code & PRIMARY_CODE_MASK == SQLITE_BUSY)
}
