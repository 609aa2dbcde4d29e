//! The commands for maintenance: `migrate`, `refresh`, `rebuild` and `verify`.

use anyhow::{Context, bail};
use entity::{Database, DatabaseSettings};
use indicatif::ProgressBar;
use wolf::{LockMode, Outcome, Refresher, ReportKind, ReportKindSetting};

use crate::{
    cli::{MigrateCommand, RoleSettings},
    database, roles,
    serve::Signals,
    terminal,
};

/// The error that the report differs from its definition, with the number of differing rows.
#[derive(Debug, thiserror::Error)]
#[error("{0} report rows differ from their definition; mend them with: analytics rebuild")]
pub(crate) struct Differs(i64);

/// Runs a command of `migrate`: creates, changes or lists the tables, and creates the logins if `roles` asks for them.
pub(crate) async fn migrate(
    settings: &DatabaseSettings,
    command: MigrateCommand,
    roles: &RoleSettings,
) -> anyhow::Result<()> {
    let logins = roles::Logins::read(roles, command, &settings.database_url)?;
    let database = Database::connect(settings).await?;
    match command {
        MigrateCommand::Up => database::migrate(&database).await?,
        MigrateCommand::Down => database::take_back(&database).await?,
        MigrateCommand::Status => {}
    }
    if let Some(logins) = logins {
        logins.make(&database).await?;
    }
    let status = migration::status(&database.wolf).await.context("can't read which migrations were applied")?;
    for step in status.steps {
        terminal::print(&format!("{} {}\n", if step.applied { "applied" } else { "missing" }, step.name));
    }
    for name in status.newer {
        terminal::print(&format!("applied {name} (of a newer program)\n"));
    }
    Ok(database.close().await?)
}

/// Refreshes the report once.
pub(crate) async fn refresh(settings: &DatabaseSettings, kind: ReportKindSetting) -> anyhow::Result<()> {
    let database = database::open(settings, false).await?;
    let refresher = kind.refresher(&database).await?;
    match refresher.refresh(LockMode::Wait, None).await? {
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
pub(crate) async fn rebuild(settings: &DatabaseSettings, kind: Option<ReportKind>) -> anyhow::Result<()> {
    let database = database::open(settings, false).await?;
    // The progress bar is shown only on a terminal.
    let progress = ProgressBar::new(0).with_message("months");
    let tell = |done, total| {
        progress.set_length(total);
        progress.set_position(done);
    };
    let done = Refresher::new(&database).rebuild(kind, &tell).await;
    progress.finish_and_clear();
    let done = done?;
    terminal::print(&format!("rebuilt {} report rows in {} ms\n", done.rows_changed, done.duration.num_milliseconds()));
    Ok(database.close().await?)
}

/// Compares the report with its definition. SIGTERM and SIGINT interrupt the comparison.
///
/// # Errors
/// [`Differs`] when they differ. After every other error it is unknown whether they differ.
pub(crate) async fn verify(settings: &DatabaseSettings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let compared = async {
        let database = database::open(settings, false).await?;
        let found = wolf::verify(&database).await?;
        // An error while closing does not change the result.
        drop(database.close().await);
        anyhow::Ok(found)
    };
    let found = tokio::select! {
        found = compared => found?,
        () = signals.next() => bail!("interrupted before the comparison was done"),
    };
    for difference in &found.differences {
        terminal::print(&format!("{difference}\n"));
    }
    if found.count > 0 {
        return Err(Differs(found.count).into());
    }
    terminal::print("the report is what its definition says\n");
    Ok(())
}
