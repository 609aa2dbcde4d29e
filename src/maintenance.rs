//! The commands that do one thing to the database and exit.

use anyhow::Context;
use entity::{Database, DatabaseSettings};
use wolf::{Outcome, Refresher, ReportKindSetting, Turn};

use crate::{cli::MigrateCommand, database, terminal};

/// Creates or changes the tables.
pub(crate) async fn migrate(settings: &DatabaseSettings, command: MigrateCommand) -> anyhow::Result<()> {
    let database = Database::connect(settings).await?;
    match command {
        MigrateCommand::Up => migration::up(&database.wolf).await.context("can't migrate the database")?,
        MigrateCommand::Down => migration::down(&database.wolf).await.context("can't take the migration back")?,
        MigrateCommand::Status => {}
    }
    for step in migration::status(&database.wolf).await.context("can't read which migrations were applied")? {
        terminal::print(&format!("{} {}\n", if step.applied { "applied" } else { "missing" }, step.name));
    }
    Ok(database.close().await?)
}

/// One refresh.
pub(crate) async fn refresh(settings: &DatabaseSettings, kind: ReportKindSetting) -> anyhow::Result<()> {
    let database = database::open(settings, false).await?;
    let refresher = Refresher::new(&database);
    if let Some(kind) = kind.pinned() {
        refresher.ensure_kind(kind).await?;
    }
    match refresher.refresh(Turn::Wait, None).await? {
        Outcome::Refreshed(done) => terminal::print(&format!(
            "refreshed {} stale hours, {} report rows changed, in {} ms\n",
            done.hours,
            done.rows_changed,
            done.duration.num_milliseconds()
        )),
        Outcome::Standby => terminal::print("another process refreshes\n"),
    }
    Ok(database.close().await?)
}
