//! Opening the database such that its tables are there.

use std::error::Error;

use anyhow::Context;
use api::http::{NotReady, Readiness};
use entity::{Database, DatabaseKind, DatabaseSettings};
use tracing::warn;

/// The database lacks migrations, and nobody asked to apply them.
#[derive(Debug, thiserror::Error)]
#[error("the database {url} lacks {missing}; run: analytics migrate (or serve with --migrate)")]
pub(crate) struct NotMigrated {
    url: String,
    missing: String,
}

/// Applies the migrations that are missing; on a Citus cluster the tables are distributed too.
pub(crate) async fn migrate(database: &Database) -> anyhow::Result<()> {
    migration::up(&database.wolf).await.context("can't migrate the database")?;
    Ok(wolf::distribute(database).await?)
}

/// Asks whether the database has the tables that this program needs.
pub(crate) fn readiness(database: &Database) -> Readiness {
    let db = database.readers.clone();
    Readiness::new(move || {
        let db = db.clone();
        Box::pin(async move {
            let steps = migration::status(&db).await.map_err(|error| {
                warn!(error = &error as &dyn Error, "the database can't be used");
                NotReady::Unusable
            })?;
            if steps.iter().all(|step| step.applied) { Ok(()) } else { Err(NotReady::NotMigrated) }
        })
    })
}

/// Opens the database. An SQLite file is created and migrated; PostgreSQL is migrated if `migrate` says so, and
/// has to be already if not.
pub(crate) async fn open(settings: &DatabaseSettings, migrate: bool) -> anyhow::Result<Database> {
    let database = Database::connect(settings).await?;
    if migrate || database.kind == DatabaseKind::Sqlite {
        self::migrate(&database).await?;
    }
    let steps = migration::status(&database.readers).await.context("can't read which migrations were applied")?;
    let missing: Vec<_> = steps.into_iter().filter(|step| !step.applied).map(|step| step.name).collect();
    if !missing.is_empty() {
        return Err(NotMigrated { url: database.url.to_string(), missing: missing.join(", ") }.into());
    }
    Ok(database)
}
