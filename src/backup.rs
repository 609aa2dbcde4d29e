//! `analytics backup`: copies an SQLite database that is in use.

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

/// The time between two updates of the progress bar.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// The error for a PostgreSQL database, which PostgreSQL's own tools back up.
#[derive(Debug, thiserror::Error)]
#[error(
    "a PostgreSQL database is backed up with PostgreSQL's own tools: one database by \
     pg_dump --format=custom --file=FILE URL, which pg_restore reads; a whole server, up to any moment, by pg_basebackup \
     and archived write-ahead log. docs/backup.md says more"
)]
pub(crate) struct BackedUpByPostgres;

/// The reason why no backup was made.
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
/// The copy is written to a temporary file, synced, and then renamed, so that a file with this name is always complete.
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
    // Only its owner may read the temporary file, and it is deleted if the backup fails.
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
    // The folder is synced too, so that the name survives a crash.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)?;
    let bytes = whole.metadata().map_err(write)?.len();
    terminal::print(&format!("backed up {} into {}, {bytes} bytes\n", source.display(), file.display()));
    Ok(())
}

/// Copies the database, with a progress bar on a terminal.
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
