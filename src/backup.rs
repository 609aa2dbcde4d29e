//! `analytics backup`: copies an SQLite database that is in use.

use std::{path::Path, time::Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use storage::{
    backup::{self, BackupError},
    database::DatabaseLocation,
};
use tempfile::NamedTempFile;
use tokio::{
    signal,
    time::{MissedTickBehavior, interval},
};

use crate::{cli::BackupSettings, database::DiskFull, new_file::NewFile, terminal};

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

/// The error that a signal came before the backup was made.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; nothing is left of the backup")]
struct Interrupted;

/// Copies the database into `file`.
///
/// The copy is written to a temporary file, synced, and then renamed, so that a file with this name is always complete.
pub(crate) async fn back_up(settings: &BackupSettings) -> anyhow::Result<()> {
    let DatabaseLocation::Sqlite(source) = settings.database_url.location()? else {
        return Err(BackedUpByPostgres.into());
    };
    let file = NewFile::create(&settings.file, "a backup")?;
    let name = file.path().to_owned();
    let begun = Instant::now();
    copy(&source, file.partial()).await.map_err(|error| match error.downcast_ref() {
        Some(BackupError::TargetFull(_)) => error.context(DiskFull::around(&name)),
        _ => error,
    })?;
    let bytes = file.complete()?;
    let (source, file, duration_ms) = (source.display(), name.display(), begun.elapsed().as_millis());
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
                return Err(Interrupted.into());
            }
            _ = redraw.tick() => progress.set_position(partial.as_file().metadata().map_or(0, |file| file.len())),
        }
    };
    progress.finish_and_clear();
    Ok(copied?)
}
