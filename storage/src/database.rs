//! Opens the database, PostgreSQL or SQLite, with one connection pool for each kind of work.

pub(crate) mod file_access;
pub mod pooling;
mod postgres;
mod sqlite;
mod sqlite_file;
mod url;
mod writing;

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use log::LevelFilter;
use sea_orm::{DatabaseConnection, DbBackend, DbErr};
use sqlx::{ConnectOptions, Connection, pool::PoolOptions};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use crate::connections::PoolUse;
use crate::connections::{Connections, HURRIED_MAX};

pub use file_access::{FileRefused, shell_word};
pub use sqlite_file::FileChanged;
use sqlite_file::SqliteFile;
pub use url::{DatabaseLocation, DatabaseUrl};
pub use writing::NotWritable;

use crate::clock::Clock;

/// How long a pooled connection may be idle before it is tested when it is acquired.
const TEST_WHEN_IDLE_FOR: Duration = Duration::from_secs(30);

/// How long a statement of a query or of a recording may take before it is logged as slow, with the level `WARN`.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// The default of `--database-url`: a file in the working directory.
pub const DEFAULT_URL: &str = "sqlite://analytics.db";
/// The default of `--reader-connections`.
const READER_CONNECTIONS: u32 = 8;
/// The default of `--query-timeout-ms`.
const QUERY_TIMEOUT_MS: u32 = 30_000;

/// Where the database is, and how long it is waited for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct ConnectionSettings {
    /// The database: `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/NAME?sslmode=verify-full`
    #[arg(long, env = "DATABASE_URL", value_name = "URL", default_value = DEFAULT_URL, hide_env_values = true, global = true)]
    pub database_url: DatabaseUrl,
    /// A file with the database's password (PostgreSQL), in place of one in a URL
    #[arg(long, env = "ANALYTICS_DATABASE_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub database_password_file: Option<PathBuf>,
    /// Milliseconds to wait for a connection to the database, or for SQLite's lock
    #[arg(long, env = "ANALYTICS_DATABASE_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_timeout_ms: u64,
    /// Milliseconds without a response after which a second connection checks whether PostgreSQL works on the statement; if
    /// it does not, the connection is dead, and is closed
    #[arg(long, env = "ANALYTICS_LINK_CHECK_MS", value_name = "MS", default_value_t = 5_000, global = true, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    pub link_check_ms: u32,
}

/// How the database is connected to, and how queries use it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    #[command(flatten)]
    #[allow(missing_docs, reason = "a comment here would replace the description of the command in --help")]
    pub connection: ConnectionSettings,
    /// The URL to listen for notifications of refreshes at (PostgreSQL): the same database, past a pooler or through one that
    /// pools sessions. That of --database-url by default
    #[arg(long, env = "ANALYTICS_NOTIFY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub notify_database_url: Option<DatabaseUrl>,
    /// The most connections for queries; on SQLite at most 8
    #[arg(long, env = "ANALYTICS_READER_CONNECTIONS", value_name = "COUNT", default_value_t = READER_CONNECTIONS, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub reader_connections: u32,
    /// Milliseconds that a query's statement may take; on SQLite all statements of a query together
    #[arg(long, env = "ANALYTICS_QUERY_TIMEOUT_MS", value_name = "MS", default_value_t = QUERY_TIMEOUT_MS, value_parser = clap::value_parser!(u32).range(1..))]
    pub query_timeout_ms: u32,
}

/// The settings of a process that serves no queries.
impl From<ConnectionSettings> for DatabaseSettings {
    fn from(connection: ConnectionSettings) -> Self {
        Self {
            connection,
            notify_database_url: None,
            reader_connections: READER_CONNECTIONS,
            query_timeout_ms: QUERY_TIMEOUT_MS,
        }
    }
}

impl DatabaseSettings {
    /// Returns the database's URL, with the password from the password file if there is one.
    ///
    /// # Errors
    /// Those of [`DatabaseUrl::location`]; when the password file can't be read, or the database is SQLite.
    pub fn url(&self) -> Result<DatabaseUrl, DatabaseError> {
        self.with_password(&self.connection.database_url)
    }

    /// Returns the URL to listen for notifications at, with the password.
    ///
    /// # Errors
    /// Those of [`DatabaseSettings::url`]; when there is a URL for notifications and one of the two URLs is SQLite's.
    pub fn notify_url(&self) -> Result<DatabaseUrl, DatabaseError> {
        let Some(url) = &self.notify_database_url else { return self.url() };
        match (self.connection.database_url.location()?, url.location()?) {
            (DatabaseLocation::Postgres(_), DatabaseLocation::Postgres(_)) => self.with_password(url),
            _ => Err(DatabaseError::NoNotifications),
        }
    }

    fn with_password(&self, url: &DatabaseUrl) -> Result<DatabaseUrl, DatabaseError> {
        let (url, place) = (url.clone(), url.location()?);
        let Some(file) = &self.connection.database_password_file else { return Ok(url) };
        if let DatabaseLocation::Sqlite(_) = place {
            return Err(DatabaseError::NoPassword);
        }
        let text = fs::read_to_string(file);
        let text = text.map_err(|source| DatabaseError::PasswordFile { file: file.clone(), source })?;
        Ok(url.with_password(text.trim_end_matches(['\r', '\n'])))
    }
}

/// The kind of the database.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// PostgreSQL 15 or newer.
    Postgres,
    /// An SQLite file in WAL mode.
    Sqlite,
}

impl DatabaseKind {
    /// Returns SeaORM's equivalent.
    #[must_use]
    pub fn backend(self) -> DbBackend {
        match self {
            Self::Postgres => DbBackend::Postgres,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }
}

/// The reason why the database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is neither PostgreSQL's nor SQLite's.
    #[error(
        "a database URL is sqlite:// and a file, or postgres://USER:PASSWORD@HOST/NAME, for example {}",
        .path.as_ref().map_or_else(|| DEFAULT_URL.to_owned(), |path| format!("sqlite://{path}"))
    )]
    Url {
        /// The text, if it may be the path of a file and has no password.
        path: Option<String>,
    },
    /// The PostgreSQL URL can't be parsed.
    #[error("the PostgreSQL URL can't be read, it should be like postgres://USER:PASSWORD@HOST:5432/NAME")]
    PostgresUrl,
    /// The password file can't be read.
    #[error("can't read the password file {}", .file.display())]
    PasswordFile {
        /// The password file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// There is a password file for an SQLite database.
    #[error("an SQLite file has no password: leave --database-password-file away")]
    NoPassword,
    /// The URL names several servers, or restricts the kind of server.
    #[error(
        "a PostgreSQL URL names one host here, and no target_session_attrs: give an address that always leads to the \
         primary (or, for reports, to a standby), such as a DNS name or a proxy"
    )]
    SeveralServers,
    /// There is a URL for notifications, and it or the database's URL is SQLite's.
    #[error("an SQLite file notifies nobody: --notify-database-url goes with PostgreSQL only, and is a PostgreSQL URL")]
    NoNotifications,
    /// A pooler refuses transactions.
    #[error(
        "the pooler at {url} takes no transactions (statement pooling): set it to transaction pooling or session pooling"
    )]
    StatementPooling {
        /// The URL without its password.
        url: String,
        /// The error of the pooler.
        #[source]
        source: sqlx::Error,
    },
    /// A pooler loses prepared statements.
    #[error(
        "the pooler at {url} lends its connections to others between transactions, and loses prepared statements: set it \
         to session pooling, or use pgbouncer 1.21 or newer with max_prepared_statements above 0"
    )]
    PreparedStatements {
        /// The URL without its password.
        url: String,
    },
    /// The system does not let this process use an SQLite file.
    #[error("can't open the database {url}")]
    Refused {
        /// The URL.
        url: String,
        /// The reason.
        source: FileRefused,
    },
    /// The database could not be reached or opened.
    #[error("can't open the database {url}")]
    Connect {
        /// The URL without its password.
        url: String,
        /// The error of the driver.
        #[source]
        source: sqlx::Error,
    },
}

/// Returns whether a connection failed since the server's certificate is not as TLS needs it, such as one of X.509 version
/// 1, which Citus makes by itself.
fn is_unusable_certificate(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Tls(_))
        || matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData)
}

/// An open database, with a pool for each kind of work, so that none can starve another.
///
/// On SQLite, recording and background work share one connection, the only one of this process that writes.
#[derive(Clone, Debug)]
pub struct Database {
    /// Which database it is.
    pub kind: DatabaseKind,
    /// The connections for queries; read-only on SQLite.
    pub readers: Connections,
    /// The connections for exports, whose statements are many, and each of them short. On PostgreSQL they are those for queries.
    pub exports: Connections,
    /// The connections for recording increments. On PostgreSQL each committer detaches a connection and keeps it.
    pub writers: DatabaseConnection,
    /// The connections for background work: refreshes, migrations and maintenance.
    pub background: Connections,
    /// The database's URL.
    pub url: DatabaseUrl,
    /// The URL to listen for notifications at.
    pub notify_url: DatabaseUrl,
    /// Cancelled when the process has to stop soon and waits no longer for connections that may be dead.
    hurry: CancellationToken,
    /// The clocks of this process.
    pub clock: Clock,
    sqlite_file: Option<Arc<SqliteFile>>,
}

impl Database {
    /// Opens the database; an SQLite file is created when it is missing.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`] when the database can't be reached within the timeout, [`DatabaseError::Refused`]
    /// when the system denies access to an SQLite file, and the other errors when the settings or a pooler are
    /// unusable.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, DatabaseError> {
        let (url, notify_url) = (settings.url()?, settings.notify_url()?);
        match Self::open(url.clone(), notify_url.clone(), settings).await {
            Err(DatabaseError::Connect { source, .. }) if is_unusable_certificate(&source) => {
                // libpq does the same (https://www.postgresql.org/docs/15/libpq-ssl.html#LIBPQ-SSL-PROTECTION).
                let Some(unencrypted) = url.without_encryption() else { return Err(url.unreachable(source)) };
                warn!(
                    error = &source as &dyn std::error::Error,
                    "the database's certificate can't be used, connecting without encryption, as sslmode=prefer allows"
                );
                let notify_url = notify_url.without_encryption().unwrap_or(notify_url);
                Self::open(unencrypted, notify_url, settings).await
            }
            opened => opened,
        }
    }

    async fn open(
        url: DatabaseUrl,
        notify_url: DatabaseUrl,
        settings: &DatabaseSettings,
    ) -> Result<Self, DatabaseError> {
        let hurry = CancellationToken::new();
        let mut sqlite_file = None;
        let Pools { kind, readers, exports, writers, background } = match url.location()? {
            DatabaseLocation::Postgres(options) => postgres::connect(*options, &url, settings, &hurry).await?,
            DatabaseLocation::Sqlite(file) => {
                let opened = sqlite::connect(&file, settings).await;
                let opened = opened.map_err(|error| match file_access::refusal(&file) {
                    Some(source) => DatabaseError::Refused { url: url.to_string(), source },
                    None => url.unreachable(error),
                })?;
                sqlite_file = Some(Arc::new(opened.1));
                opened.0
            }
        };
        let clock = Clock::default();
        Ok(Self { kind, readers, exports, writers, background, url, notify_url, hurry, clock, sqlite_file })
    }

    /// Returns how the pools are used. On PostgreSQL the pool for recording is left out: committers detach its
    /// connections and keep them.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolUse> {
        let background = match self.kind {
            DatabaseKind::Postgres => "background",
            DatabaseKind::Sqlite => "writer",
        };
        vec![self.readers.pool_use("queries"), self.background.pool_use(background)]
    }

    /// Runs the migration `work` on a connection of the type that the migration library needs.
    ///
    /// # Errors
    /// Those of `work`; when no connection can be acquired, or it is dead.
    pub async fn migrate<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        self.background.migrate(work).await
    }

    /// Shortens all waits for PostgreSQL from now on, for a process that has to stop soon. A statement is only waited
    /// for while a second connection finds that a backend works on it.
    pub fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Waits until a second after [`Database::hurry`]. From then on connections that may be dead are not waited for.
    pub async fn hurried(&self) {
        self.hurry.cancelled().await;
        tokio::time::sleep(HURRIED_MAX).await;
    }

    /// Checks that an SQLite file is still the one that was opened. Cheap enough for every commit.
    ///
    /// # Errors
    /// [`FileChanged`]: further commits would go into a file that no process can open by its name.
    pub fn check_file(&self) -> Result<(), FileChanged> {
        self.sqlite_file.as_ref().map_or(Ok(()), |file| file.check())
    }

    /// Gives up an SQLite file that was removed or replaced ([`Database::check_file`]). Nothing is written any more,
    /// and nothing of the write-ahead log gets into a file that has taken the name. Takes some seconds at most.
    pub async fn give_up_file(&self) {
        if let Some(file) = &self.sqlite_file {
            file.give_up(self.writers.get_sqlite_connection_pool()).await;
        }
    }

    /// Closes every pool. On SQLite the last process to do so checkpoints the write-ahead log and removes it.
    ///
    /// # Errors
    /// Those of the driver; when the SQLite file was removed or replaced ([`FileChanged`]).
    pub async fn close(self) -> Result<(), DbErr> {
        if let Err(changed) = self.check_file() {
            self.give_up_file().await;
            // Closing removes the log by its name, which may belong to another file by now.
            std::mem::forget(self);
            return Err(DbErr::Custom(changed.to_string()));
        }
        self.readers.close().await?;
        self.exports.close().await?;
        self.writers.close().await?;
        self.background.close().await?;
        match &self.sqlite_file {
            Some(file) => file.close().await.map_err(|error| DbErr::Custom(error.to_string())),
            None => Ok(()),
        }
    }
}

/// The pools of an open database.
struct Pools {
    kind: DatabaseKind,
    readers: Connections,
    exports: Connections,
    writers: DatabaseConnection,
    background: Connections,
}

/// Returns options for connections whose statements are long by nature, such as those of refreshes and backups: slow ones
/// are logged with the level `DEBUG` only. How long the whole took is logged by who runs it.
pub(crate) fn for_long_statements<O: ConnectOptions>(options: O) -> O {
    options.log_slow_statements(LevelFilter::Debug, SLOW_STATEMENT)
}

fn pool_options<DB: sqlx::Database>(settings: &DatabaseSettings, connections: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_millis(settings.connection.database_timeout_ms))
        // Only a connection that was idle for long is tested: each test costs a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection: &mut DB::Connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < TEST_WHEN_IDLE_FOR || connection.ping().await.is_ok()) })
        })
        .after_release(|connection, _| Box::pin(has_ended_its_transaction(connection)))
}

/// Returns whether sqlx has seen the end of every transaction on `connection`. If not, the pool closes the connection.
///
/// SQLite rolls back by itself when the disk is full, on I/O errors or when memory runs out. sqlx then fails to roll
/// back again and takes the connection to be in a transaction for ever (sqlx 0.9.0, `Command::Rollback`).
async fn has_ended_its_transaction<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may still run. The ping is answered after it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}
