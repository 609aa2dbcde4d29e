//! The connection to the database: which of the two it is, and one pool for each kind of work.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Args;
use sea_orm::{DatabaseConnection, DbBackend};
use sqlx::{
    Connection, Postgres, Sqlite,
    pool::PoolOptions,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

/// A pooled connection idle for longer is tested before it is handed out.
const TEST_WHEN_IDLE_FOR: Duration = Duration::from_secs(30);
/// How long the switch of a new SQLite file into WAL may find it locked by other processes that start.
const WAL_SWITCH_TRIES: u32 = 100;
const WAL_SWITCH_PAUSE: Duration = Duration::from_millis(50);
/// The Wolf works on one connection and records its failures on another.
const WOLF_CONNECTIONS: u32 = 2;
/// Readers of an SQLite file: they never wait for the writer, so a few serve many requests.
const SQLITE_READERS_MAX: u32 = 8;

/// Where the database is and how it is used.
#[derive(Args, Clone, Debug)]
pub struct DatabaseSettings {
    /// The database: `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/NAME`
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://analytics.db", hide_env_values = true, global = true)]
    pub database_url: DatabaseUrl,
    /// Connections that queries may use at once (PostgreSQL)
    #[arg(long, env = "ANALYTICS_READER_CONNECTIONS", default_value_t = 8, global = true, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub reader_connections: u32,
    /// Connections that recording may use at once (PostgreSQL)
    #[arg(long, env = "ANALYTICS_WRITER_CONNECTIONS", default_value_t = 4, global = true, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub writer_connections: u32,
    /// Milliseconds to wait for the database: for a free connection, or for SQLite's lock
    #[arg(long, env = "ANALYTICS_DATABASE_TIMEOUT_MS", default_value_t = 10_000, global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_timeout_ms: u64,
}

/// A database's address. Its `Debug` and `Display` never show the password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A PostgreSQL server's database.
    Postgres(String),
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// Which of the two databases it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// PostgreSQL 15 or newer.
    Postgres,
    /// An SQLite file in WAL mode.
    Sqlite,
}

impl DatabaseKind {
    /// SeaORM's name of it.
    #[must_use]
    pub fn backend(self) -> DbBackend {
        match self {
            Self::Postgres => DbBackend::Postgres,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is of neither database.
    #[error("a database URL begins with sqlite:// (then a file) or postgres:// (then USER:PASSWORD@HOST/NAME)")]
    Url,
    /// The PostgreSQL address can't be read.
    #[error("the PostgreSQL URL can't be read")]
    PostgresUrl(#[source] sqlx::Error),
    /// The database could not be reached or opened.
    #[error("can't open the database {url}")]
    Connect {
        /// The address without its password.
        url: String,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseError;

    fn from_str(url: &str) -> Result<Self, DatabaseError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            PgConnectOptions::from_str(url).map_err(DatabaseError::PostgresUrl)?;
            return Ok(Self::Postgres(url.to_owned()));
        }
        match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            // An in-memory database is one per connection: there would be nothing to share.
            Some(file) if !file.is_empty() && !file.starts_with(":memory:") => Ok(Self::Sqlite(PathBuf::from(file))),
            _ => Err(DatabaseError::Url),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite://{}", file.display()),
            Self::Postgres(url) => {
                // What stands between the scheme and the last @ may hold a password.
                let host = url
                    .rsplit_once('@')
                    .map_or_else(|| url.split_once("://").map_or("", |(_, rest)| rest), |(_, host)| host);
                // Parameters may hold one too.
                write!(f, "postgres://{}", host.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An open database: a pool for each kind of work, so that none can starve another.
///
/// On SQLite recording and the Wolf share one connection, the only writer of this process.
#[derive(Clone, Debug)]
pub struct Database {
    /// Which database it is.
    pub kind: DatabaseKind,
    /// For queries; read-only on SQLite.
    pub readers: DatabaseConnection,
    /// For recording increments.
    pub writers: DatabaseConnection,
    /// For the Wolf and for migrations.
    pub wolf: DatabaseConnection,
    /// Where it is.
    pub url: DatabaseUrl,
}

impl Database {
    /// Opens the database; an SQLite file is created when it is missing.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`] when it can't be reached within the timeout.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, DatabaseError> {
        let url = settings.database_url.clone();
        let connected = match &url {
            DatabaseUrl::Postgres(address) => connect_postgres(address, settings).await,
            DatabaseUrl::Sqlite(file) => connect_sqlite(file, settings).await,
        };
        let (kind, [readers, writers, wolf]) =
            connected.map_err(|source| DatabaseError::Connect { url: url.to_string(), source })?;
        Ok(Self { kind, readers, writers, wolf, url })
    }

    /// Closes every pool; on SQLite the last process to do so folds the write-ahead log into the file.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn close(self) -> Result<(), sea_orm::DbErr> {
        self.readers.close().await?;
        self.writers.close().await?;
        self.wolf.close().await
    }
}

type Pools = (DatabaseKind, [DatabaseConnection; 3]);

async fn connect_postgres(url: &str, settings: &DatabaseSettings) -> Result<Pools, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("analytics");
    let pool = async |connections: u32| {
        let pool = pool_options::<Postgres>(settings, connections).connect_with(options.clone()).await;
        pool.map(DatabaseConnection::from)
    };
    let readers = pool(settings.reader_connections).await?;
    let writers = pool(settings.writer_connections).await?;
    Ok((DatabaseKind::Postgres, [readers, writers, pool(WOLF_CONNECTIONS).await?]))
}

async fn connect_sqlite(file: &Path, settings: &DatabaseSettings) -> Result<Pools, sqlx::Error> {
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
    let readers =
        pool_options::<Sqlite>(settings, connections).connect_with(options.pragma("query_only", "ON")).await?;
    Ok((DatabaseKind::Sqlite, [readers.into(), writer.clone(), writer]))
}

fn pool_options<DB: sqlx::Database>(settings: &DatabaseSettings, connections: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_millis(settings.database_timeout_ms))
        // A connection that has just been used is not asked whether it still lives: that would be a round trip a checkout.
        .test_before_acquire(false)
        .before_acquire(|connection: &mut DB::Connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < TEST_WHEN_IDLE_FOR || connection.ping().await.is_ok()) })
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgres://me:secret@host:5432/db?password=secret", "postgresql://me:se@secret@host:5432/db"] {
            let Ok(url) = url.parse::<DatabaseUrl>() else { continue };
            assert_eq!(url.to_string(), "postgres://host:5432/db");
            assert_eq!(format!("{url:?}"), "postgres://host:5432/db");
        }
        assert_eq!("postgres://host/db".parse::<DatabaseUrl>().unwrap().to_string(), "postgres://host/db");
    }

    #[test]
    fn other_databases_are_refused() {
        for url in ["mysql://host/db", "analytics.db", "sqlite://", "sqlite::memory:", ""] {
            assert!(matches!(url.parse::<DatabaseUrl>(), Err(DatabaseError::Url)), "{url}");
        }
    }
}
