//! The connection to the database: which of the two it is, and one pool for each kind of work.

pub(crate) mod file_access;
pub mod pooling;
mod postgres;
mod sqlite;
mod sqlite_file;
mod url;
mod writing;

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use sea_orm::{DatabaseConnection, DbBackend, DbErr};
use sqlx::{Connection, Pool, pool::PoolOptions};
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;

pub use file_access::FileRefused;
pub use sqlite_file::FileChanged;
use sqlite_file::SqliteFile;
pub use url::{DatabaseUrl, Place};
pub use writing::NotWritable;

use crate::clock::Clock;

/// A pooled connection idle for longer is tested before it is handed out.
const TEST_WHEN_IDLE_FOR: Duration = Duration::from_secs(30);

/// How long a process that has to hurry waits for the database.
pub(crate) const HURRIED_MAX: Duration = Duration::from_secs(1);

/// Where the database is and how it is used.
#[derive(Args, Clone, Debug)]
pub struct DatabaseSettings {
    /// The database: `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/NAME?sslmode=verify-full`
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://analytics.db", hide_env_values = true, global = true)]
    pub database_url: DatabaseUrl,
    /// Where to listen for notifications of refreshes (PostgreSQL): the same database past a pooler, or through one that pools
    /// sessions. That of --database-url when left out
    #[arg(long, env = "ANALYTICS_NOTIFY_DATABASE_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub notify_database_url: Option<DatabaseUrl>,
    /// A file with the database's password (PostgreSQL), in place of one in the URLs
    #[arg(long, env = "ANALYTICS_DATABASE_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub database_password_file: Option<PathBuf>,
    /// Connections that queries may use at once (PostgreSQL)
    #[arg(long, env = "ANALYTICS_READER_CONNECTIONS", default_value_t = 8, global = true, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub reader_connections: u32,
    /// Milliseconds to wait for the database: for a free connection, or for SQLite's lock
    #[arg(long, env = "ANALYTICS_DATABASE_TIMEOUT_MS", default_value_t = 10_000, global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_timeout_ms: u64,
    /// Milliseconds that a query's statement may take; on SQLite all of a query's statements together
    #[arg(long, env = "ANALYTICS_QUERY_TIMEOUT_MS", default_value_t = 30_000, global = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub query_timeout_ms: u32,
    /// Milliseconds without an answer after which a second connection looks whether PostgreSQL works on a statement; a
    /// link that is dead without a word is given up so
    #[arg(long, env = "ANALYTICS_LINK_CHECK_MS", default_value_t = 5_000, global = true, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    pub link_check_ms: u32,
}

impl DatabaseSettings {
    /// Where the database is, and its password.
    ///
    /// # Errors
    /// As [`DatabaseUrl::place`], and when there is a password file that can't be read or used.
    pub fn url(&self) -> Result<DatabaseUrl, DatabaseError> {
        self.with_password(&self.database_url)
    }

    /// Where to listen for notifications, with the password.
    ///
    /// # Errors
    /// As [`DatabaseSettings::url`], and when one of the two is SQLite.
    pub fn notify_url(&self) -> Result<DatabaseUrl, DatabaseError> {
        let Some(url) = &self.notify_database_url else { return self.url() };
        match (self.database_url.place()?, url.place()?) {
            (Place::Postgres(_), Place::Postgres(_)) => self.with_password(url),
            _ => Err(DatabaseError::NoNotifications),
        }
    }

    fn with_password(&self, url: &DatabaseUrl) -> Result<DatabaseUrl, DatabaseError> {
        let (url, place) = (url.clone(), url.place()?);
        let Some(file) = &self.database_password_file else { return Ok(url) };
        if let Place::Sqlite(_) = place {
            return Err(DatabaseError::NoPassword);
        }
        let text = fs::read_to_string(file);
        let text = text.map_err(|source| DatabaseError::PasswordFile { file: file.clone(), source })?;
        Ok(url.with_password(text.trim_end_matches(['\r', '\n'])))
    }
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
    #[error("a database URL is sqlite:// and a file, or postgres://USER:PASSWORD@HOST/NAME")]
    Url,
    /// The PostgreSQL address can't be read.
    #[error("the PostgreSQL URL can't be read, it should be like postgres://USER:PASSWORD@HOST:5432/NAME")]
    PostgresUrl,
    /// The password is not to be had.
    #[error("can't read the password file {}", .file.display())]
    PasswordFile {
        /// Where it should be.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a password for an SQLite file.
    #[error("an SQLite file has no password: leave --database-password-file away")]
    NoPassword,
    /// The URL leaves a choice among servers.
    #[error(
        "a PostgreSQL URL names one host here, and no target_session_attrs: give an address that always leads to the \
         primary (or, for reports, to a standby), such as a DNS name or a proxy"
    )]
    SeveralServers,
    /// There is an address for notifications beside an SQLite file, or one that is a file.
    #[error("an SQLite file notifies nobody: --notify-database-url goes with PostgreSQL only, and is a PostgreSQL URL")]
    NoNotifications,
    /// A pooler refuses transactions.
    #[error(
        "the pooler at {url} takes no transactions (statement pooling): set it to transaction pooling or session pooling"
    )]
    StatementPooling {
        /// The address without its password.
        url: String,
        /// What the pooler says.
        #[source]
        source: sqlx::Error,
    },
    /// A pooler loses prepared statements.
    #[error(
        "the pooler at {url} lends its connections to others between transactions, and loses prepared statements: set it \
         to session pooling, or use pgbouncer 1.21 or newer with max_prepared_statements above 0"
    )]
    PreparedStatements {
        /// The address without its password.
        url: String,
    },
    /// The system does not let this process use an SQLite file.
    #[error("can't open the database {url}")]
    Refused {
        /// The address.
        url: String,
        /// What the system refuses.
        source: FileRefused,
    },
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

/// An open database: a pool for each kind of work, so that none can starve another.
///
/// On SQLite recording and the Wolf share one connection, the only writer of this process.
#[derive(Clone, Debug)]
pub struct Database {
    /// Which database it is.
    pub kind: DatabaseKind,
    /// For queries; read-only on SQLite.
    pub readers: Connections,
    /// For recording increments. On PostgreSQL each committer takes a connection out and keeps it.
    pub writers: DatabaseConnection,
    /// For the Wolf and for migrations.
    pub wolf: Connections,
    /// Where it is.
    pub url: DatabaseUrl,
    /// Where to listen for notifications.
    pub notify_url: DatabaseUrl,
    /// The process stops, and waits no longer for what may be dead.
    hurry: CancellationToken,
    /// The clocks of the process that uses it.
    pub clock: Clock,
    sqlite_file: Option<Arc<SqliteFile>>,
}

impl Database {
    /// Opens the database; an SQLite file is created when it is missing.
    ///
    /// # Errors
    /// [`DatabaseError::Connect`] when it can't be reached within the timeout, [`DatabaseError::Refused`] when the system
    /// does not let an SQLite file be used; those of the settings and of a pooler that can't be used.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, DatabaseError> {
        let url = settings.url()?;
        let notify_url = settings.notify_url()?;
        let hurry = CancellationToken::new();
        let mut sqlite_file = None;
        let Pools { kind, readers, writers, wolf } = match url.place()? {
            Place::Postgres(options) => postgres::connect(*options, &url, settings, &hurry).await?,
            Place::Sqlite(file) => {
                let opened = sqlite::connect(&file, settings).await;
                let opened = opened.map_err(|error| match file_access::refusal(&file) {
                    Some(source) => DatabaseError::Refused { url: url.to_string(), source },
                    None => url.unreachable(error),
                })?;
                sqlite_file = Some(Arc::new(opened.1));
                opened.0
            }
        };
        Ok(Self { kind, readers, writers, wolf, url, notify_url, hurry, clock: Clock::default(), sqlite_file })
    }

    /// How its pools are used. On PostgreSQL the one for recording is not among them: who records takes a connection
    /// out of it and keeps it.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolUse> {
        let wolf = match self.kind {
            DatabaseKind::Postgres => "wolf",
            DatabaseKind::Sqlite => "writer",
        };
        vec![self.readers.pool_use("queries"), self.wolf.pool_use(wolf)]
    }

    /// Runs `work`, which migrates, on a connection in the form that the library for migrations asks for.
    ///
    /// # Errors
    /// Those of `work`; when there is no connection, or it is dead.
    pub async fn migrate<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        self.wolf.migrate(work).await
    }

    /// Makes every wait for PostgreSQL short from now on: for a process that is to end. Only a statement that a second
    /// connection finds at work is still waited for.
    pub fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Ends a second after the process was to hurry: nothing that may be dead is waited for any more.
    pub async fn hurried(&self) {
        self.hurry.cancelled().await;
        tokio::time::sleep(HURRIED_MAX).await;
    }

    /// Looks whether an SQLite file is still the one that was opened. Cheap enough for every commit.
    ///
    /// # Errors
    /// [`FileChanged`]: what is committed now goes to a file that nobody will open again.
    pub fn check_file(&self) -> Result<(), FileChanged> {
        self.sqlite_file.as_ref().map_or(Ok(()), |file| file.check())
    }

    /// Gives up an SQLite file that has changed ([`Database::check_file`]): nothing is written any more, and nothing of the
    /// write-ahead log can get into the file that took its name. Some seconds at most.
    pub async fn give_up_file(&self) {
        if let Some(file) = &self.sqlite_file {
            file.give_up(self.writers.get_sqlite_connection_pool()).await;
        }
    }

    /// Closes every pool; on SQLite the last process to do so folds the write-ahead log into the file.
    ///
    /// # Errors
    /// What the driver says, and [`FileChanged`].
    pub async fn close(self) -> Result<(), DbErr> {
        if let Err(changed) = self.check_file() {
            self.give_up_file().await;
            // What is closed removes the log by its name, which may be another file's by now.
            std::mem::forget(self);
            return Err(DbErr::Custom(changed.to_string()));
        }
        self.readers.close().await?;
        self.writers.close().await?;
        self.wolf.close().await?;
        match &self.sqlite_file {
            Some(file) => file.close().await.map_err(|error| DbErr::Custom(error.to_string())),
            None => Ok(()),
        }
    }
}

/// How a pool is used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// What its connections are for.
    pub name: &'static str,
    /// Connections that are open.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// Connections that may be open.
    pub max: u32,
}

impl PoolUse {
    pub(crate) fn of<DB: sqlx::Database>(name: &'static str, pool: &Pool<DB>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self { name, open: pool.size(), idle, max: pool.options().get_max_connections() }
    }
}

/// The pools of an open database.
struct Pools {
    kind: DatabaseKind,
    readers: Connections,
    writers: DatabaseConnection,
    wolf: Connections,
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
        .after_release(|connection, _| Box::pin(has_ended_its_transaction(connection)))
}

/// Whether the library has seen the end of every transaction on `connection`; if not, it is to be closed.
///
/// SQLite rolls back by itself when a disk is full, when it fails or when memory runs out. The library then fails to roll
/// back again and believes for ever that it is in a transaction (sqlx 0.9.0, `Command::Rollback`).
async fn has_ended_its_transaction<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be under way; what answers behind it has seen its end.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}
