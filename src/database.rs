//! Opens the database and checks that this program can use its schema.

use std::{error::Error, path::Path, time::Duration};

use anyhow::Context;
use api::http::{NotReady, Readiness};
use migration::{Obstacle, Status};
use storage::{
    Database, DatabaseKind, DatabaseSettings,
    database::{DatabaseLocation, DatabaseUrl, FileChanged, NotWritable},
    error_kind,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::cli::Service;

/// The time between two checks of whether the database file was removed or replaced.
const FILE_CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The reason why this program can't use a database as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// Migrations are missing, and were not to be applied.
    #[error("the database {url} lacks {missing}; run: analytics migrate (or serve with --migrate)")]
    NotMigrated { url: String, missing: String },
    /// A newer program has migrated the database. Processes of this program that run already may continue, so that a
    /// rolling upgrade can stop them one after the other.
    #[error(
        "the database {url} has migrations of a newer program than this one, which is {}: {newer}; start the newer \
         program, or take them back with it: analytics migrate down", env!("CARGO_PKG_VERSION")
    )]
    Newer { url: String, newer: String },
    /// The encoding is not UTF-8 (PostgreSQL only).
    #[error(
        "the database {url} has the encoding {encoding}, which does not hold every name of a page; use one that has been \
         made with: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding { url: String, encoding: String },
    /// No schema of the search path exists (PostgreSQL only).
    #[error("none of the schemas in the search_path of {url} exists; create it: CREATE SCHEMA analytics")]
    NoSchema { url: String },
    #[error("the database {url} has {relations} of another application; {advice}")]
    Occupied { url: String, relations: String, advice: &'static str },
}

/// The advice when a schema has relations of another application.
const OTHER_SCHEMA: &str = "give this one a schema of its own: CREATE SCHEMA analytics, and add \
                            options=-csearch_path%3Danalytics to the URL's parameters";
const OTHER_FILE: &str = "give this one a file of its own";

impl SchemaError {
    fn new(database: &Database, obstacle: Obstacle) -> Self {
        let url = database.url.to_string();
        match obstacle {
            Obstacle::Encoding(encoding) => Self::Encoding { url, encoding },
            Obstacle::NoSchema => Self::NoSchema { url },
            Obstacle::Newer(newer) => Self::Newer { url, newer: newer.join(", ") },
            Obstacle::Occupied { schema, relations } => {
                let advice = if schema.is_some() { OTHER_SCHEMA } else { OTHER_FILE };
                let schema = schema.map(|schema| format!("{schema}.")).unwrap_or_default();
                let relations: Vec<_> = relations.iter().map(|relation| format!("{schema}{relation}")).collect();
                Self::Occupied { url, relations: relations.join(", "), advice }
            }
        }
    }
}

/// Compares the migrations that the database has with those of this program.
///
/// # Errors
/// [`SchemaError`] if this program can't use the database, not even after a migration.
async fn check(database: &Database) -> anyhow::Result<Status> {
    let checked = migration::check(&database.readers).await.context("can't read which migrations were applied")?;
    Ok(checked.map_err(|obstacle| SchemaError::new(database, obstacle))?)
}

/// Applies the missing migrations. On a Citus cluster also distributes the tables.
pub(crate) async fn migrate(database: &Database) -> anyhow::Result<()> {
    check(database).await?;
    database.migrate(migration::up).await.context("can't migrate the database")?;
    Ok(wolf::distribute(database).await?)
}

/// Reverts the newest migration.
pub(crate) async fn revert(database: &Database) -> anyhow::Result<()> {
    check(database).await?;
    database.migrate(migration::down).await.context("can't take the migration back")
}

/// Returns the readiness check of a process that runs `services`. It checks that the database has this program's
/// tables, that no newer program has made it unusable for this one, that all nodes of a Citus cluster answer, and, if one of the services writes, that it is
/// writable.
pub(crate) fn readiness(database: &Database, services: &[Service]) -> Readiness {
    let database = database.clone();
    let writes = services.iter().any(|service| *service != Service::Reports);
    let names: Vec<_> = services.iter().map(|service| service.name()).collect();
    Readiness::new(&names, move || {
        let database = database.clone();
        Box::pin(async move {
            let status = migration::status(&database.readers).await.map_err(|error| unusable(&error))?;
            if !status.missing().is_empty() {
                return Err(NotReady::NotMigrated);
            }
            if status.is_too_old {
                return Err(NotReady::TooOld);
            }
            match database.lost_nodes().await {
                Ok(0) => {}
                Ok(_) => return Err(NotReady::NodeLost),
                Err(error) => return Err(unusable(&error)),
            }
            if writes { database.try_writing().await.map_err(not_writable) } else { Ok(()) }
        })
    })
}

/// Logs the error of a database that can't be used.
fn unusable(error: &(dyn Error + 'static)) -> NotReady {
    warn!(error, "the database can't be used");
    NotReady::Unusable
}

fn not_writable(why: NotWritable) -> NotReady {
    match why {
        NotWritable::DiskFull => NotReady::DiskFull,
        NotWritable::ReadOnly => NotReady::ReadOnly,
        NotWritable::Standby => NotReady::Standby,
        NotWritable::FileChanged(_) => NotReady::FileChanged,
        NotWritable::Failed(error) => {
            warn!(error = &error as &dyn Error, "the database can't be written to");
            NotReady::Unusable
        }
    }
}

/// Checks every second that an SQLite file is still the one that was opened, until `stop` is cancelled.
///
/// # Errors
/// [`FileChanged`] as soon as the file was removed or replaced. Then nothing is written to it any more.
pub(crate) async fn watch_file(database: Database, stop: CancellationToken) -> Result<(), FileChanged> {
    loop {
        tokio::select! { () = stop.cancelled() => return Ok(()), () = sleep(FILE_CHECK_PERIOD) => {} }
        if let Err(changed) = database.check_file() {
            error!(error = &changed as &dyn Error, "stopping");
            database.give_up_file().await;
            return Err(changed);
        }
    }
}

/// Adds the disk's name to an error that is caused by a full disk.
pub(crate) fn name_full_disk(error: anyhow::Error, database: Option<&DatabaseUrl>) -> anyhow::Error {
    if error.downcast_ref::<DiskFull>().is_some() || !error_kind::is_disk_full(&*error) {
        return error;
    }
    let disk = match database.map(DatabaseUrl::location) {
        Some(Ok(DatabaseLocation::Sqlite(file))) => DiskFull::around(&file),
        _ => DiskFull("the database server".to_owned()),
    };
    error.context(disk)
}

/// The error that a disk is full, with a folder on this disk.
#[derive(Debug, thiserror::Error)]
#[error("the disk of {0} is full; make room there and run the command again")]
pub(crate) struct DiskFull(String);

impl DiskFull {
    /// Returns the error for the disk that `file` is on.
    pub(crate) fn around(file: &Path) -> Self {
        let folder = std::path::absolute(file).ok().and_then(|file| file.parent().map(Path::to_owned));
        Self(folder.unwrap_or_else(|| file.to_owned()).display().to_string())
    }
}

/// Opens the database. An SQLite file is created and migrated if necessary. PostgreSQL is migrated if `migrate` is set.
///
/// # Errors
/// When the database can't be opened or migrated, or lacks migrations and `migrate` is not set.
pub(crate) async fn open(settings: &DatabaseSettings, migrate: bool) -> anyhow::Result<Database> {
    let database = Database::connect(settings).await?;
    if migrate || database.kind == DatabaseKind::Sqlite {
        self::migrate(&database).await?;
    }
    let status = check(&database).await?;
    let missing = status.missing().join(", ");
    if missing.is_empty() {
        return Ok(database);
    }
    Err(SchemaError::NotMigrated { url: database.url.to_string(), missing }.into())
}
