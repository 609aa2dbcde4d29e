//! Connecting to an SQLite file, and trying whether it can be written to.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use sea_orm::DatabaseConnection;
use sqlx::{
    Connection, Executor, Sqlite,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};

use super::{DatabaseKind, DatabaseSettings, Pools, pool_options, sqlite_file::SqliteFile};
use crate::connections::Connections;

/// How long the switch of a new SQLite file into WAL may find it locked by other processes that start.
const WAL_SWITCH_TRIES: u32 = 100;
const WAL_SWITCH_PAUSE: Duration = Duration::from_millis(50);
/// How many steps an SQLite query takes between two looks at the clock: less than a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// Readers of an SQLite file: they never wait for the writer, so a few serve many requests.
const SQLITE_READERS_MAX: u32 = 8;

/// Only the owner reads and writes a new file; SQLite gives the files beside it the same rights.
const NEW_FILE_MODE: u32 = 0o600;
/// Where the log has grown larger, it is cut to this when its pages have gone into the database file.
const LOG_BYTES_KEPT: &str = "67108864";
/// What a trial writes has to be more than the pages that its connection keeps in memory.
const TRIAL_CACHE_PAGES: &str = "8";
/// Writes 256 KiB into the log and takes them back. A commit of as much would have found room.
const TRIAL: &str = "BEGIN IMMEDIATE;
    CREATE TABLE analytics_trial (bytes BLOB);
    INSERT INTO analytics_trial VALUES (zeroblob(262144));
    ROLLBACK;";

pub(super) async fn connect(file: &Path, settings: &DatabaseSettings) -> Result<(Pools, SqliteFile), sqlx::Error> {
    let timeout = Duration::from_millis(settings.database_timeout_ms);
    // Where it can't be made, or is there, SQLite says what is the matter with it.
    drop(fs::OpenOptions::new().write(true).create_new(true).mode(NEW_FILE_MODE).open(file));
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(timeout);
    let writable = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LOG_BYTES_KEPT);
    let mut tries = 0;
    let writer = loop {
        match sqlite_pool(settings, 1).connect_with(writable.clone()).await {
            // SQLite's own timeout does not cover the switch into WAL.
            Err(error) if is_locked(&error) && tries < WAL_SWITCH_TRIES => {
                tries += 1;
                tokio::time::sleep(WAL_SWITCH_PAUSE).await;
            }
            opened => break DatabaseConnection::from(opened?),
        }
    };
    let connections = settings.reader_connections.min(SQLITE_READERS_MAX);
    let opened = SqliteFile::open(file, &options).await?;
    let readers =
        with_deadline(sqlite_pool(settings, connections), Duration::from_millis(settings.query_timeout_ms.into()));
    let readers = readers.connect_with(options.pragma("query_only", "ON")).await?;
    let pools = Pools {
        kind: DatabaseKind::Sqlite,
        readers: Connections::sqlite(readers.into()),
        writers: writer.clone(),
        wolf: Connections::sqlite(writer),
    };
    Ok((pools, opened))
}

/// Connections that stay open: each new one opens whatever file has the name by then.
fn sqlite_pool(settings: &DatabaseSettings, connections: u32) -> PoolOptions<Sqlite> {
    pool_options(settings, connections).max_lifetime(None).idle_timeout(None)
}

/// Writes to the disk what is not kept, by a connection of its own, without waiting for the lock. While another connection
/// has the lock this succeeds too: that one can write.
pub(super) async fn try_writing(file: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::ZERO);
    let options = options.pragma("cache_size", TRIAL_CACHE_PAGES);
    let tried = async {
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let tried = connection.execute(TRIAL).await;
        connection.close().await?;
        tried.map(drop)
    };
    tried.await.or_else(|error| if is_locked(&error) { Ok(()) } else { Err(error) })
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
