//! `analytics backup`: a copy of a live SQLite database.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use entity::{
    DatabaseSettings,
    backup::{self, BackupError},
    database::Place,
};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;
use tokio::{
    signal,
    time::{MissedTickBehavior, interval},
};

use crate::{database::DiskFull, terminal};

/// How often the progress is shown anew.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// PostgreSQL has tools for this which are better than ours would be.
#[derive(Debug, thiserror::Error)]
#[error(
    "a PostgreSQL database is backed up with PostgreSQL's own tools: one database by \
     pg_dump --format=custom --file=FILE URL, which pg_restore reads; a whole server, up to any moment, by pg_basebackup \
     and archived write-ahead log. docs/backup.md says more"
)]
pub(crate) struct BackedUpByPostgres;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
enum NotBackedUp {
    #[error("{} is there already, and a backup overwrites nothing", .0.display())]
    Exists(PathBuf),
    #[error("can't write {}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("interrupted; nothing is left of the backup")]
    Interrupted,
}

/// Copies the database into `file`.
///
/// The copy grows under a name of its own, is synced, and gets its name when it is whole: what has that name is a backup.
pub(crate) async fn back_up(settings: &DatabaseSettings, file: &Path) -> anyhow::Result<()> {
    let Place::Sqlite(source) = settings.url()?.place()? else { return Err(BackedUpByPostgres.into()) };
    let file = std::path::absolute(file)?;
    if file.symlink_metadata().is_ok() {
        return Err(NotBackedUp::Exists(file).into());
    }
    let write = |source| NotBackedUp::Write { file: file.clone(), source };
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(write(io::ErrorKind::IsADirectory.into()).into());
    };
    let mut prefix = name.to_owned();
    prefix.push(".");
    // Only its owner may read it; it goes away when this fails.
    let growing = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(folder).map_err(write)?;
    copy(&source, &growing).await.map_err(|error| match error.downcast_ref() {
        Some(BackupError::TargetFull(_)) => error.context(DiskFull::around(&file)),
        _ => error,
    })?;
    growing.as_file().sync_all().map_err(write)?;
    let whole = growing.persist_noclobber(&file).map_err(|failed| match failed.error.kind() {
        io::ErrorKind::AlreadyExists => NotBackedUp::Exists(file.clone()),
        _ => write(failed.error),
    })?;
    // So that the name outlives a crash too.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)?;
    let bytes = whole.metadata().map_err(write)?.len();
    terminal::print(&format!("backed up {} into {}, {bytes} bytes\n", source.display(), file.display()));
    Ok(())
}

/// Copies, and shows on a terminal how far it is.
async fn copy(source: &Path, growing: &NamedTempFile) -> anyhow::Result<()> {
    let progress = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}") {
        progress.set_style(style);
    }
    let expect = |bytes| progress.set_length(bytes);
    let mut copying = std::pin::pin!(backup::copy_sqlite(source, growing.path(), &expect));
    let mut interrupted = std::pin::pin!(signal::ctrl_c());
    let mut shown = interval(SHOWN_EVERY);
    shown.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let copied = loop {
        tokio::select! {
            copied = &mut copying => break copied,
            waited = &mut interrupted => {
                waited.context("can't wait for an interruption")?;
                return Err(NotBackedUp::Interrupted.into());
            }
            _ = shown.tick() => progress.set_position(growing.as_file().metadata().map_or(0, |file| file.len())),
        }
    };
    progress.finish_and_clear();
    Ok(copied?)
}
