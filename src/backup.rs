//! `analytics backup`: copies an SQLite database that is in use.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use indicatif::ProgressBar;
use storage::{
    backup::{self, BackupError},
    database::{DatabaseLocation, shell_word},
};
use tempfile::NamedTempFile;
use tokio::{
    signal,
    time::{MissedTickBehavior, interval},
};

use crate::{cli::BackupSettings, database::DiskFull, terminal};

/// A table that every database of this program has.
const TABLE: &str = "page_views";
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
enum BackupFailed {
    #[error("{} is there already, and a backup overwrites nothing", .0.display())]
    Exists(PathBuf),
    #[error("the folder {} does not exist; create it: mkdir -p {}", .0.display(), shell_word(.0))]
    NoFolder(PathBuf),
    #[error("can't write {}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("interrupted; nothing is left of the backup")]
    Interrupted,
}

/// Copies the database into `file`.
///
/// The copy is written to a temporary file, synced, and then renamed, so that a file with this name is always complete.
pub(crate) async fn back_up(settings: &BackupSettings) -> anyhow::Result<()> {
    let DatabaseLocation::Sqlite(source) = settings.database_url.location()? else {
        return Err(BackedUpByPostgres.into());
    };
    let file = std::path::absolute(&settings.file)?;
    if file.symlink_metadata().is_ok() {
        return Err(BackupFailed::Exists(file).into());
    }
    let write = |source| BackupFailed::Write { file: file.clone(), source };
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(write(io::ErrorKind::IsADirectory.into()).into());
    };
    if matches!(folder.try_exists(), Ok(false)) {
        return Err(BackupFailed::NoFolder(folder.to_owned()).into());
    }
    let mut prefix = name.to_owned();
    prefix.push(".");
    // Only its owner may read the temporary file, and it is deleted if the backup fails.
    let partial = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(folder).map_err(write)?;
    let begun = Instant::now();
    copy(&source, &partial).await.map_err(|error| match error.downcast_ref() {
        Some(BackupError::TargetFull(_)) => error.context(DiskFull::around(&file)),
        _ => error,
    })?;
    partial.as_file().sync_all().map_err(write)?;
    let complete = partial.persist_noclobber(&file).map_err(|failed| match failed.error.kind() {
        io::ErrorKind::AlreadyExists => BackupFailed::Exists(file.clone()),
        _ => write(failed.error),
    })?;
    // The folder is synced too, so that the name survives a crash.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)?;
    let bytes = complete.metadata().map_err(write)?.len();
    let (source, file, duration_ms) = (source.display(), file.display(), begun.elapsed().as_millis());
    terminal::print(&format!("backed up {source} into {file}, {bytes} bytes, in {duration_ms} ms\n"));
    Ok(())
}

/// Copies the database, with a progress bar on a terminal.
async fn copy(source: &Path, partial: &NamedTempFile) -> anyhow::Result<()> {
    let progress = ProgressBar::new(0);
    terminal::set_style(&progress, "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}");
    let expect = |bytes| progress.set_length(bytes);
    let mut copying = std::pin::pin!(backup::copy_sqlite(source, partial.path(), TABLE, &expect));
    let mut interrupted = std::pin::pin!(signal::ctrl_c());
    let mut redraw = interval(terminal::REDRAW_PERIOD);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let copied = loop {
        tokio::select! {
            copied = &mut copying => break copied,
            waited = &mut interrupted => {
                waited.context("can't wait for an interruption")?;
                return Err(BackupFailed::Interrupted.into());
            }
            _ = redraw.tick() => progress.set_position(partial.as_file().metadata().map_or(0, |file| file.len())),
        }
    };
    progress.finish_and_clear();
    Ok(copied?)
}
