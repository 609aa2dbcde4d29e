//! The commands for maintenance: `migrate`, `refresh`, `rebuild` and `verify`.

use std::time::Instant;

use anyhow::{Context, bail};
use storage::Database;
use wolf::{LockMode, Outcome, Refresher};

use crate::{
    cli::{CommonSettings, MigrateCommand, MigrateSettings, RebuildSettings, RefreshSettings},
    database, roles,
    signals::Signals,
    terminal::{self, Progress},
};

/// The error that the report differs from its definition, with the number of differing rows.
#[derive(Debug, thiserror::Error)]
#[error("{0} report rows differ from their definition; mend them with: analytics rebuild")]
pub(crate) struct ReportDiffers(i64);

/// Runs a command of `migrate`: creates, changes or lists the tables, and creates the logins if `roles` asks for them.
pub(crate) async fn migrate(settings: MigrateSettings) -> anyhow::Result<()> {
    let MigrateSettings { command, roles, common } = settings;
    let command = command.unwrap_or(MigrateCommand::Up);
    let logins = roles::Logins::read(&roles, command, &common.connection.database_url)?;
    let database = Database::connect(&common.connection.into()).await?;
    match command {
        MigrateCommand::Up => database::migrate(&database).await?,
        MigrateCommand::Down => database::revert(&database).await?,
        MigrateCommand::Status => {}
    }
    if let Some(logins) = logins {
        logins.create(&database).await?;
    }
    let status = migration::status(&database.background).await.context("can't read which migrations were applied")?;
    for migration in status.steps {
        terminal::print(&format!("{} {}\n", if migration.applied { "applied" } else { "missing" }, migration.name));
    }
    for name in status.newer {
        terminal::print(&format!("applied {name} (of a newer program)\n"));
    }
    Ok(database.close().await?)
}

/// Refreshes the report once.
pub(crate) async fn refresh(settings: RefreshSettings) -> anyhow::Result<()> {
    let database = database::open(&settings.common.connection.into(), false).await?;
    let refresher = settings.report_kind.refresher(&database).await?;
    let progress = Progress::start("refreshing the report");
    let show = |done, all| progress.set("stale hours", done, all);
    let outcome = refresher.refresh_with_progress(LockMode::Wait, None, &show).await;
    drop(progress);
    match outcome? {
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

/// Builds a new report beside the old one, and swaps it in.
pub(crate) async fn rebuild(settings: RebuildSettings) -> anyhow::Result<()> {
    let database = database::open(&settings.common.connection.into(), false).await?;
    let progress = Progress::start("rebuilding the report");
    let show = |done, all| progress.set("months", done, all);
    let done = Refresher::new(&database).rebuild(settings.kind, &show).await;
    drop(progress);
    let done = done?;
    terminal::print(&format!("rebuilt {} report rows in {} ms\n", done.rows_changed, done.duration.num_milliseconds()));
    Ok(database.close().await?)
}

/// Compares the report with its definition. SIGTERM and SIGINT interrupt the comparison.
///
/// # Errors
/// [`ReportDiffers`] when they differ. After every other error it is unknown whether they differ.
pub(crate) async fn verify(settings: CommonSettings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let begun = Instant::now();
    // Few statements compare, so nothing is known of how far they are.
    let progress = Progress::start("comparing the report with its definition");
    let compared = async {
        let database = database::open(&settings.connection.into(), false).await?;
        let found = wolf::verify(&database).await?;
        // An error while closing does not change the result.
        drop(database.close().await);
        anyhow::Ok(found)
    };
    let found = tokio::select! {
        found = compared => found?,
        () = signals.next() => bail!("interrupted before the comparison was done"),
    };
    drop(progress);
    for difference in &found.differences {
        terminal::print(&format!("{difference}\n"));
    }
    for summary in &found.summaries {
        terminal::print(&format!("{summary}\n"));
    }
    if found.count > 0 {
        return Err(ReportDiffers(found.count).into());
    }
    terminal::print(&format!(
        "{} views are counted, and the report is what its definition says, compared in {} ms\n",
        found.views,
        begun.elapsed().as_millis()
    ));
    Ok(())
}
