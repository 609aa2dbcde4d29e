//! `analytics import`: records the page views of access logs, through the same recorder as the server.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use anyhow::{Context, bail};
use entity::Hour;
use import::{Chunk, Chunks, ImportStats, Rules, Sources};
use increments::{IdempotencyKey, Increment, PageName, RecordError, Recorder, Request, Views};
use indicatif::ProgressBar;
use storage::clock;
use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{cli::ImportSettings, database, log_settings::LogFormat, terminal};

/// The number of chunks that are read ahead of the one being recorded.
const CHUNKS_AHEAD: usize = 2;
/// The most tries of a chunk while the database can't be reached.
const TRIES_MAX: u32 = 10;
/// The pause before a retry, multiplied by the number of tries so far.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The result of the import of a log.
#[derive(Debug, Default)]
struct Imported {
    stats: ImportStats,
    /// The number of page views that had been imported before.
    duplicate_views: u64,
}

/// Imports the logs one after the other, in order of time.
///
/// # Errors
/// When a log is missing, or can't be read to its end: all others are read, and all chunks before remain counted. When
/// the database fails, the import stops.
pub(crate) async fn import(settings: ImportSettings) -> anyhow::Result<()> {
    let database = database::open(&settings.common.connection.into(), false).await?;
    let (recorder, committer) = Recorder::new(&database, &settings.recorder);
    let mut committing = JoinSet::new();
    committing.spawn(committer.run(CancellationToken::new()));
    let rules = Rules { include_assets: settings.include_assets, include_bots: settings.include_bots };
    let sources = Sources::find(&settings.files, |path| import::first_time(path, clock::process_now()));
    let mut errors: Vec<_> = sources.errors.into_iter().map(anyhow::Error::from).collect();
    for file in &sources.logs {
        let Err(error) = import_file(&recorder, file, rules).await else { continue };
        let is_of_the_file = error.downcast_ref::<RecordError>().is_none();
        errors.push(error.context(format!("can't import {}", file.display())));
        if !is_of_the_file {
            break;
        }
    }
    drop(recorder);
    while let Some(ended) = committing.join_next().await {
        ended?;
    }
    database.close().await?;
    terminal::print(&left_out(&sources.left_out));
    last_of(errors, settings.common.log.log_format)
}

fn left_out(files: &[PathBuf]) -> String {
    let line = |file: &PathBuf| format!("no access log, so it was left out: {}\n", file.display());
    files.iter().map(line).collect()
}

/// Returns the last error, which ends the program, and prints the others.
fn last_of(mut errors: Vec<anyhow::Error>, format: LogFormat) -> anyhow::Result<()> {
    let Some(last) = errors.pop() else { return Ok(()) };
    for error in errors {
        terminal::print_error(&error, format);
    }
    Err(last)
}

async fn import_file(recorder: &Recorder, file: &Path, rules: Rules) -> anyhow::Result<()> {
    let log = import::open(file)?;
    let progress = progress_bar(log.size_bytes, file);
    let (sender, mut receiver) = mpsc::channel(CHUNKS_AHEAD);
    let mut reading = JoinSet::new();
    reading.spawn_blocking(move || {
        for chunk in Chunks::new(log.reader, rules, clock::process_now()) {
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    let mut imported = Imported::default();
    let result = async {
        while let Some(chunk) = receiver.recv().await {
            record(recorder, chunk?, &mut imported).await?;
            progress.set_position(log.bytes_read.load(Ordering::Relaxed));
        }
        while let Some(read) = reading.join_next().await {
            read.context("the log could not be read to its end")?;
        }
        anyhow::Ok(())
    };
    let result = result.await;
    progress.finish_and_clear();
    // Chunks that were recorded before a failure remain counted, so the summary is printed in both cases.
    if result.is_ok() || imported.stats.lines > 0 {
        terminal::print(&imported.summary(file));
    }
    result
}

/// Records a chunk and adds its numbers to `imported`.
async fn record(recorder: &Recorder, chunk: Chunk, imported: &mut Imported) -> anyhow::Result<()> {
    let counted = chunk.stats.counted;
    let increments = chunk.views.into_iter().map(|((page, hour), views)| {
        let (page, views) = (PageName::new(page)?, Views::new(views)?);
        Ok(Increment { page, views, hour: Hour::containing(hour), at: Some(hour), title: None })
    });
    let increments = increments.collect::<Result<_, increments::ValidationError>>()?;
    // A chunk without views is recorded too: with the keys of all chunks, a later import with other rules is detected.
    let request = Request::new(increments, Some(IdempotencyKey::of_import(chunk.key)?));
    if record_with_retries(recorder, request).await? {
        imported.duplicate_views += counted;
    }
    imported.stats.add(chunk.stats);
    Ok(())
}

/// Records a chunk, with retries while the database can't be reached. Returns whether it had been imported before.
async fn record_with_retries(recorder: &Recorder, request: Request) -> anyhow::Result<bool> {
    let mut tries = 1;
    loop {
        match recorder.record(request.clone()).await {
            Ok(recorded) => return Ok(recorded.duplicate),
            // The chunk may have been recorded, but its idempotency key makes a retry safe.
            Err(RecordError::Unavailable(_) | RecordError::Overloaded) if tries < TRIES_MAX => {
                sleep(RETRY_PAUSE * tries).await;
                tries += 1;
            }
            Err(RecordError::KeyReused) => {
                bail!(
                    "it was imported before with other --include options, or by an older program that counted other lines; its counts \
                     were left as they are"
                )
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Imported {
    fn summary(&self, file: &Path) -> String {
        let duplicates = match self.duplicate_views {
            0 => String::new(),
            views => format!("of these, {views} page views had been imported before: nothing was counted twice\n"),
        };
        format!("{}\n{}\n{duplicates}", file.display(), self.stats)
    }
}

/// Returns a progress bar, which is shown only on a terminal.
fn progress_bar(size_bytes: Option<u64>, file: &Path) -> ProgressBar {
    let Some(size) = size_bytes else { return ProgressBar::new_spinner() };
    let progress = ProgressBar::new(size).with_message(terminal::visible(&file.display().to_string()));
    terminal::set_style(&progress, "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}");
    progress
}
