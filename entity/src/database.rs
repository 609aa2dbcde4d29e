//! The connection to the database: which of the two it is, and one pool for each kind of work.

mod postgres;
mod sqlite;
mod sqlite_file;
mod writing;

use std::{convert::Infallible, fmt, fs, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use sea_orm::{DatabaseConnection, DbBackend, DbErr};
use sqlx::{Connection, Pool, pool::PoolOptions, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;

pub use sqlite_file::FileChanged;
use sqlite_file::SqliteFile;
pub use writing::NotWritable;

use crate::clock::Clock;

/// A pooled connection idle for longer is tested before it is handed out.
const TEST_WHEN_IDLE_FOR: Duration = Duration::from_secs(30);

/// Where the database is and how it is used.
#[derive(Args, Clone, Debug)]
pub struct DatabaseSettings {
    /// The database: `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/NAME?sslmode=verify-full`
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite://analytics.db", hide_env_values = true, global = true)]
    pub database_url: DatabaseUrl,
    /// A file with the database's password (PostgreSQL), in place of one in the URL
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

/// A database's address, as it was given. Its `Debug` and `Display` never show a password.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    /// Counts more than the one in the text.
    password: Option<String>,
}

/// What an address can mean.
#[derive(Clone, Debug)]
pub enum Place {
    /// A PostgreSQL server's database.
    Postgres(Box<PgConnectOptions>),
    /// An SQLite file.
    Sqlite(PathBuf),
}

impl DatabaseSettings {
    /// Where the database is, and its password.
    ///
    /// # Errors
    /// As [`DatabaseUrl::place`], and when there is a password file that can't be read or used.
    pub fn url(&self) -> Result<DatabaseUrl, DatabaseError> {
        let url = self.database_url.clone();
        let place = url.place()?;
        let Some(file) = &self.database_password_file else { return Ok(url) };
        if let Place::Sqlite(_) = place {
            return Err(DatabaseError::NoPassword);
        }
        let text = fs::read_to_string(file);
        let text = text.map_err(|source| DatabaseError::PasswordFile { file: file.clone(), source })?;
        Ok(DatabaseUrl { password: Some(text.trim_end_matches(['\r', '\n']).to_owned()), ..url })
    }
}

impl DatabaseUrl {
    /// Where it points to.
    ///
    /// # Errors
    /// [`DatabaseError::Url`] and [`DatabaseError::PostgresUrl`], which repeat nothing of it.
    pub fn place(&self) -> Result<Place, DatabaseError> {
        let text = &self.text;
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(text).map_err(|_may_repeat_it| DatabaseError::PostgresUrl)?;
            // Poolers take no startup parameter that they do not know, and this one matters to floats in text only, of which
            // there are none.
            let options = options.application_name("analytics").extra_float_digits(None);
            let options = match &self.password {
                Some(password) => options.password(password),
                None => options,
            };
            return Ok(Place::Postgres(Box::new(options)));
        }
        match text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            // An in-memory database is one per connection: there would be nothing to share. Parameters are not known.
            Some(file) if !file.is_empty() && !file.starts_with(":memory:") && !file.contains('?') => {
                Ok(Place::Sqlite(PathBuf::from(file)))
            }
            _ => Err(DatabaseError::Url),
        }
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
    type Err = Infallible;

    /// Takes anything: who refuses an argument repeats it, and it may hold a password. It is read when it is used.
    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self { text: url.to_owned(), password: None })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("", &self.text));
        if scheme == "sqlite" {
            return write!(f, "{}", self.text);
        }
        // Parameters may hold a password, and so does what stands before the last @.
        let rest = rest.split('?').next().unwrap_or_default();
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "postgres://{place}")
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
    pub readers: Connections,
    /// For recording increments. On PostgreSQL each committer takes a connection out and keeps it.
    pub writers: DatabaseConnection,
    /// For the Wolf and for migrations.
    pub wolf: Connections,
    /// Where it is.
    pub url: DatabaseUrl,
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
    /// [`DatabaseError::Connect`] when it can't be reached within the timeout.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, DatabaseError> {
        let url = settings.url()?;
        let hurry = CancellationToken::new();
        let mut sqlite_file = None;
        let connected = match url.place()? {
            Place::Postgres(options) => postgres::connect(*options, settings, &hurry).await,
            Place::Sqlite(file) => sqlite::connect(&file, settings).await.map(|(pools, file)| {
                sqlite_file = Some(Arc::new(file));
                pools
            }),
        };
        let Pools { kind, readers, writers, wolf } =
            connected.map_err(|source| DatabaseError::Connect { url: url.to_string(), source })?;
        Ok(Self { kind, readers, writers, wolf, url, hurry, clock: Clock::default(), sqlite_file })
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

    /// Ends when the process is to end and nothing that may be dead is waited for any more.
    pub async fn hurried(&self) {
        self.hurry.cancelled().await;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        let Ok(url) = text.parse();
        url
    }

    #[test]
    fn a_password_is_never_shown() {
        for (given, shown) in [
            ("postgres://me:secret@host:5432/db?password=secret", "postgres://host:5432/db"),
            ("postgresql://me:se@secret@host:5432/db", "postgres://host:5432/db"),
            ("postgres://host/db?user=me@corp&password=p@secret", "postgres://host/db"),
            ("postgres://me:secret@host:badport/db", "postgres://host:badport/db"),
            ("mysql://me:secret@host/db", "postgres://host/db"),
        ] {
            assert_eq!(url(given).to_string(), shown);
            assert_eq!(format!("{:?}", url(given)), shown);
        }
    }

    #[test]
    fn other_databases_are_refused_and_not_repeated() {
        for wrong in ["mysql://host/secret", "secret.db", "sqlite://", "sqlite::memory:", "", "sqlite://secret?mode=ro"]
        {
            assert!(matches!(url(wrong).place(), Err(DatabaseError::Url)), "{wrong}");
        }
        let error = url("postgres://me:secret@host:badport/db").place().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
