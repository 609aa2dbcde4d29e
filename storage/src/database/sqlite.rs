//! Opens an SQLite file, and tests whether it can be written to.

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

use super::{DatabaseKind, DatabaseSettings, Pools, for_long_statements, pool_options, sqlite_file::SqliteFile};
use crate::{connections::Connections, error_kind::sqlite_primary};

/// The most retries of switching a new file to WAL mode, while other starting processes have it locked.
const WAL_SWITCH_TRIES: u32 = 100;
/// The pause before each of these retries.
const WAL_SWITCH_PAUSE: Duration = Duration::from_millis(50);
/// The number of SQLite's virtual machine instructions between two checks of a query's deadline, which take less than a
/// millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// The most reading connections. A few serve many requests, since they never wait for the writer.
const SQLITE_READERS_MAX: u32 = 8;
/// The connections for exports.
const EXPORT_CONNECTIONS: u32 = 2;

/// The mode of a new database file: only its owner may read and write it. SQLite creates the `-wal` and `-shm` files
/// with the same mode.
const NEW_FILE_MODE: u32 = 0o600;
/// The size in bytes that the write-ahead log is truncated to after a checkpoint, if it has grown larger.
const LOG_BYTES_KEPT: &str = "67108864";
/// The page cache of the trial's connection. The trial has to write more than fits into it, to reach the disk.
const TRIAL_CACHE_PAGES: &str = "8";
/// Writes 256 KiB into the write-ahead log and rolls back. If it succeeds, there is room for a commit of that size.
const TRIAL: &str = include_str!("sqlite/trial.sql");

pub(super) async fn connect(file: &Path, settings: &DatabaseSettings) -> Result<(Pools, SqliteFile), sqlx::Error> {
    let timeout = Duration::from_millis(settings.connection.database_timeout_ms);
    // Errors are ignored: either the file exists, or SQLite reports the reason when it opens the file.
    drop(fs::OpenOptions::new().write(true).create_new(true).mode(NEW_FILE_MODE).open(file));
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(timeout);
    // The Wolf uses the connection that writes.
    let writable = for_long_statements(options.clone())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        // What is deleted is overwritten, so that a page's name that was removed is nowhere in the file.
        .pragma("secure_delete", "ON");
    let mut tries = 0;
    let writer = loop {
        match sqlite_pool(settings, 1).connect_with(writable.clone()).await {
            // SQLite's `busy_timeout` does not cover the switch to WAL mode.
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
    let options = options.pragma("query_only", "ON");
    let readers = readers.connect_with(options.clone()).await?;
    // Without a deadline: an export keeps its snapshot for as long as its statements take together.
    let exports = sqlite_pool(settings, EXPORT_CONNECTIONS).connect_with(options).await?;
    let pools = Pools {
        kind: DatabaseKind::Sqlite,
        readers: Connections::sqlite(readers.into()),
        exports: Connections::sqlite(exports.into()),
        writers: writer.clone(),
        background: Connections::sqlite(writer),
    };
    Ok((pools, opened))
}

/// Returns a pool whose connections stay open. A new connection could open another file that has taken the name.
fn sqlite_pool(settings: &DatabaseSettings, connections: u32) -> PoolOptions<Sqlite> {
    pool_options(settings, connections).max_lifetime(None).idle_timeout(None)
}

/// Tests whether the file can be written to, by a write on a separate connection that is rolled back. Does not wait for
/// the write lock, and succeeds if another connection has it.
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

/// Moves all of the write-ahead log into the file and truncates it, so that it has no copies of what was deleted. Returns
/// whether it could: no reader needed it, and nobody wrote. Waits for nobody.
pub(super) async fn empty_log(file: &Path) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::ZERO);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let (is_busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(is_busy == 0)
}

/// Interrupts statements on connections that were acquired longer than `timeout` ago. (PostgreSQL has
/// `statement_timeout` for that.)
fn with_deadline(options: PoolOptions<Sqlite>, timeout: Duration) -> PoolOptions<Sqlite> {
    options.after_connect(move |connection, _| Box::pin(set_deadline(connection, timeout))).before_acquire(
        // An open file stays usable, so the connection needs no test.
        move |connection, _| Box::pin(async move { set_deadline(connection, timeout).await.map(|()| true) }),
    )
}

async fn set_deadline(connection: &mut SqliteConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + timeout;
    connection.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < deadline);
    Ok(())
}

fn is_locked(error: &sqlx::Error) -> bool {
    // https://www.sqlite.org/rescode.html#busy
    const SQLITE_BUSY: u32 = 5;
    error.as_database_error().and_then(|error| sqlite_primary(&error.code()?)) == Some(SQLITE_BUSY)
}
