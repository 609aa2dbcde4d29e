//! A database of either kind: how it is filled and copied, and what it says of its report and its refreshes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde_json::json;
use sqlx::{
    Connection, Executor, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use super::content::Content;
use crate::server::Server;

/// The database user of the services, to tell their server processes from this program's.
pub(super) const USER: &str = "served";
/// How many lines are inserted into SQLite by one statement.
const LINES_MAX: usize = 10_000;

/// A kind of database.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// PostgreSQL
    Postgresql,
    /// SQLite
    Sqlite,
}

/// A database that programs can use.
#[derive(Debug)]
pub(super) enum Store {
    Postgres { name: String, url: String },
    Sqlite { file: PathBuf },
}

/// A connection of this program's to a store.
#[derive(Debug)]
pub(super) enum Admin {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A refresh that is over.
#[derive(Copy, Clone, Debug)]
pub(super) struct Refresh {
    pub(super) id: i64,
    pub(super) rows_changed: i64,
    pub(super) duration_ms: i64,
    pub(super) started_at: DateTime<Utc>,
}

/// How far the server's log of changes has come, and when.
#[derive(Copy, Clone, Debug)]
pub(super) struct WalPosition {
    pub(super) bytes: i64,
    pub(super) at: DateTime<Utc>,
}

/// How many rows of the report's tables were written so far.
#[derive(Copy, Clone, Debug)]
pub(super) struct Written {
    pub(super) inserted: i64,
    pub(super) updated: i64,
    /// Of the updated ones, those that touched no index.
    pub(super) hot: i64,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// Creates the user that the services connect as.
pub(super) async fn create_user(server: &Server) -> anyhow::Result<()> {
    let sql = sqlx::AssertSqlSafe(format!("CREATE ROLE {USER} SUPERUSER LOGIN"));
    server.connect().await?.execute(sql).await?;
    Ok(())
}

impl Store {
    /// Creates an empty database.
    pub(super) async fn create(kind: Kind, server: &mut Server, folder: &Path) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Postgresql => {
                let (name, url) = server.create_database().await?;
                Self::Postgres { name, url }
            }
            Kind::Sqlite => Self::Sqlite { file: folder.join("analytics.db") },
        })
    }

    /// Returns a copy. There must be no connection to the database.
    pub(super) async fn copy(&self, server: &mut Server, folder: &Path, number: usize) -> anyhow::Result<Self> {
        Ok(match self {
            Self::Postgres { name, .. } => {
                let (name, url) = server.copy_database(name).await?;
                Self::Postgres { name, url }
            }
            Self::Sqlite { file } => {
                let copy = folder.join(format!("analytics-{number}.db"));
                fs::copy(file, &copy)?;
                Self::Sqlite { file: copy }
            }
        })
    }

    /// Removes the database. There must be no connection to it.
    pub(super) async fn remove(self, server: &Server) -> anyhow::Result<()> {
        match self {
            Self::Postgres { name, .. } => server.drop_database(&name).await,
            Self::Sqlite { file } => Ok(fs::remove_file(file)?),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Postgres { .. } => Kind::Postgresql,
            Self::Sqlite { .. } => Kind::Sqlite,
        }
    }

    /// The name of a PostgreSQL database.
    pub(super) fn database(&self) -> Option<&str> {
        match self {
            Self::Postgres { name, .. } => Some(name),
            Self::Sqlite { .. } => None,
        }
    }

    /// The address for the services.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Postgres { url, .. } => url.replacen("postgres@", &format!("{USER}@"), 1),
            Self::Sqlite { file } => format!("sqlite://{}", file.display()),
        }
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Admin> {
        Ok(match self {
            Self::Postgres { url, .. } => Admin::Postgres(PgConnection::connect(url).await?),
            Self::Sqlite { file } => {
                let options = SqliteConnectOptions::new().filename(file).synchronous(SqliteSynchronous::Off);
                Admin::Sqlite(SqliteConnection::connect_with(&options).await?)
            }
        })
    }
}

impl Admin {
    /// Loads the pages and their counts, as recorders would have left them, without marks.
    pub(super) async fn fill(&mut self, content: &Content) -> anyhow::Result<()> {
        let pages = ("pages", ["name", "title", "first_seen_at"].as_slice(), content.pages_file());
        let columns = ["name", "date", "hour", "views", "updated_at"].as_slice();
        let page_views = ("page_views", columns, content.page_views_file());
        for (table, columns, file) in [pages, page_views] {
            let filled = match self {
                Self::Postgres(connection) => copy_in(connection, table, columns, &file).await,
                Self::Sqlite(connection) => insert(connection, table, columns, &file).await,
            };
            filled.with_context(|| format!("can't fill {table}"))?;
        }
        let rows: i64 = self.read("SELECT count(*) FROM page_views").await?;
        ensure!(u64::try_from(rows)? == content.rows(), "{rows} rows instead of {}", content.rows());
        Ok(())
    }

    /// Lets the server tidy up, so that what is measured next does not pay for what came before.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        if let Self::Postgres(connection) = self {
            connection.execute("VACUUM (ANALYZE)").await?;
            connection.execute("CHECKPOINT").await?;
        }
        Ok(())
    }

    /// Returns the size of all tables and indexes but those of the counts: that is the report's.
    pub(super) async fn report_bytes(&mut self) -> anyhow::Result<i64> {
        self.read(match self {
            Self::Postgres(_) => {
                "SELECT CAST(sum(pg_total_relation_size(oid)) AS bigint) FROM pg_class
                 WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace
                     AND relname NOT IN ('pages', 'page_views')"
            }
            Self::Sqlite(_) => {
                "SELECT sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name)
                 WHERE tbl_name NOT IN ('pages', 'page_views')"
            }
        })
        .await
    }

    /// Returns the refreshes after that one that are over and changed something, in their order.
    pub(super) async fn refreshes_after(&mut self, id: i64) -> anyhow::Result<Vec<Refresh>> {
        const SQL: &str = "SELECT id, rows_changed, duration_ms, started_at FROM report_refreshes
            WHERE id > $1 AND finished_at IS NOT NULL AND rows_changed > 0 ORDER BY id";
        let rows: Vec<(i64, i64, i64, _)> = match self {
            Self::Postgres(connection) => sqlx::query_as(SQL).bind(id).fetch_all(connection).await?,
            Self::Sqlite(connection) => sqlx::query_as(SQL).bind(id).fetch_all(connection).await?,
        };
        let refreshes = rows.into_iter().map(|(id, rows_changed, duration_ms, started_at)| Refresh {
            id,
            rows_changed,
            duration_ms,
            started_at,
        });
        Ok(refreshes.collect())
    }

    /// Returns the last refresh that is over.
    pub(super) async fn last_refresh(&mut self) -> anyhow::Result<i64> {
        self.read("SELECT max(id) FROM report_refreshes WHERE finished_at IS NOT NULL").await
    }

    /// Returns how far PostgreSQL's log has come.
    pub(super) async fn wal_position(&mut self) -> anyhow::Result<Option<WalPosition>> {
        const SQL: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes,
            clock_timestamp() AS at";
        let Self::Postgres(connection) = self else { return Ok(None) };
        let (bytes, at) = sqlx::query_as(SQL).fetch_one(connection).await?;
        Ok(Some(WalPosition { bytes, at }))
    }

    /// Returns what PostgreSQL has counted of the report's tables.
    pub(super) async fn written(&mut self) -> anyhow::Result<Option<Written>> {
        const SQL: &str = "SELECT coalesce(sum(n_tup_ins), 0)::bigint AS inserted,
                coalesce(sum(n_tup_upd), 0)::bigint AS updated, coalesce(sum(n_tup_hot_upd), 0)::bigint AS hot
            FROM pg_stat_user_tables WHERE relname LIKE 'page\\_views\\_report%'";
        let Self::Postgres(connection) = self else { return Ok(None) };
        let (inserted, updated, hot) = sqlx::query_as(SQL).fetch_one(connection).await?;
        Ok(Some(Written { inserted, updated, hot }))
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Postgres(connection) => connection.close().await?,
            Self::Sqlite(connection) => connection.close().await?,
        }
        Ok(())
    }

    async fn read(&mut self, sql: &'static str) -> anyhow::Result<i64> {
        Ok(match self {
            Self::Postgres(connection) => sqlx::query_scalar(sql).fetch_one(connection).await?,
            Self::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await?,
        })
    }
}

async fn copy_in(connection: &mut PgConnection, table: &str, columns: &[&str], file: &Path) -> anyhow::Result<()> {
    let sql = format!("COPY {table} ({}) FROM STDIN (FORMAT csv)", columns.join(", "));
    let mut copy = connection.copy_in_raw(&sql).await?;
    copy.read_from(tokio::fs::File::open(file).await?).await?;
    copy.finish().await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, table: &str, columns: &[&str], file: &Path) -> anyhow::Result<()> {
    let values: Vec<_> = (0..columns.len()).map(|column| format!("value ->> {column}")).collect();
    let sql = format!("INSERT INTO {table} ({}) SELECT {} FROM json_each($1)", columns.join(", "), values.join(", "));
    let mut lines = BufReader::new(fs::File::open(file)?).lines();
    loop {
        let part = lines.by_ref().take(LINES_MAX).collect::<Result<Vec<_>, _>>()?;
        if part.is_empty() {
            return Ok(());
        }
        let rows: Vec<Vec<_>> = part.iter().map(|line| line.split(',').collect()).collect();
        sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).bind(json!(rows).to_string()).execute(&mut *connection).await?;
    }
}
