//! `analytics import`: records the page views of access logs and counts of files, and `analytics imports`: lists what was imported.

use std::{
    fs::{File, Metadata},
    io::{self, Seek},
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, anyhow};
use import::{CountsSettings, ImportError, Importer, LogFile, LogSummary, STANDARD_INPUT, Sources};
use increments::{Recorder, imports::ImportLog};
use indicatif::ProgressBar;
use storage::Database;
use tokio::{task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{CommonSettings, ImportSettings},
    database, follow,
    log_settings::LogFormat,
    signals::Signals,
    terminal,
};

/// Imports the logs one after the other, in order of time.
///
/// # Errors
/// When a log is missing, or can't be read to its end: all others are read, and all chunks before remain counted. When
/// the database fails, the import stops.
pub(crate) async fn import(settings: ImportSettings) -> anyhow::Result<()> {
    // Before anything else, so that a signal never ends it in the middle.
    let signals = settings.follow.then(Signals::new).transpose()?;
    if settings.follow {
        follow::check(&settings.files)?;
    }
    let database = database::open(&settings.common.connection.into(), false).await?;
    let (recorder, committer) = Recorder::new(&database, &settings.recorder);
    let mut committing = JoinSet::new();
    committing.spawn(committer.run(CancellationToken::new()));
    let recorder = (!settings.dry_run).then_some(recorder);
    let counts = settings.counts.then_some(CountsSettings { format: settings.counts_format });
    let rules = import::ImportSettings { again: settings.again, counts, ..settings.rules.into() };
    let format = rules.format.clone();
    let importer = Importer::new(&database, recorder, rules, crate::VERSION).await?;
    if let Some(signals) = signals {
        follow::follow(importer, settings.files, signals).await?;
        return end(committing, database).await;
    }
    let sources = Sources::find(&settings.files, |path| match counts {
        Some(CountsSettings { format }) => import::first_count(path, format),
        None => import::first_time(path, format.as_ref()),
    });
    let (kind, kinds) = if settings.counts { ("file of counts", "files") } else { ("access log", "logs") };
    let mut all = LogSummary::default();
    let mut errors: Vec<_> = sources.errors.into_iter().map(anyhow::Error::from).collect();
    for file in &sources.logs {
        let (summary, imported) = import_file(&importer, file).await;
        // Chunks that were recorded before a failure remain counted, so the summary is printed in both cases.
        if imported.is_ok() || summary.stats.lines > 0 {
            terminal::print(&format!("{}\n{summary}\n", file.display()));
        }
        all.add(&summary);
        let Err(error) = imported else { continue };
        let is_of_the_database = error.downcast_ref().is_some_and(ImportError::is_of_the_database);
        errors.push(error.context(format!("can't import {}", file.display())));
        if is_of_the_database {
            break;
        }
    }
    if sources.logs.len() > 1 {
        terminal::print(&format!("all {} {kinds}\n{all}\n", sources.logs.len()));
    }
    if settings.dry_run {
        print_what_would_be_counted(&all);
    }
    drop(importer);
    end(committing, database).await?;
    terminal::print(&left_out(kind, &sources.left_out));
    last_of(errors, settings.common.log.log_format)
}

/// Waits until everything is committed, and closes the database.
async fn end(mut committing: JoinSet<()>, database: Database) -> anyhow::Result<()> {
    while let Some(ended) = committing.join_next().await {
        ended?;
    }
    Ok(database.close().await?)
}

fn left_out(kind: &str, files: &[PathBuf]) -> String {
    let line = |file: &PathBuf| format!("no {kind}, so it was left out: {}\n", file.display());
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

/// Imports one log.
async fn import_file(importer: &Importer, file: &Path) -> (LogSummary, anyhow::Result<()>) {
    let mut source = match Source::open(file) {
        Ok(source) => source,
        Err(error) => return (LogSummary::default(), Err(error.into())),
    };
    let progress = progress_bar(source.size_bytes, file);
    let bytes_read = Arc::clone(&source.bytes_read);
    let name = file.display().to_string();
    let importing = importer.import(|| source.log(), &name);
    tokio::pin!(importing);
    let mut redraw = interval(terminal::REDRAW_PERIOD);
    let (summary, imported) = loop {
        tokio::select! {
            done = &mut importing => break done,
            _ = redraw.tick() => progress.set_position(read_so_far(&bytes_read)),
        }
    };
    progress.finish_and_clear();
    let imported = match imported {
        Ok(()) if summary.is_unreadable() => Err(anyhow!("none of its {} lines could be read", summary.stats.lines)),
        imported => imported.map_err(anyhow::Error::from),
    };
    (summary, imported)
}

/// How many bytes of the log that is open now were read.
type BytesRead = Arc<Mutex<Arc<AtomicU64>>>;

fn read_so_far(bytes_read: &BytesRead) -> u64 {
    bytes_read.lock().map_or(0, |bytes| bytes.load(Ordering::Relaxed))
}

/// A file or standard input.
struct Source {
    /// The file; none for standard input.
    file: Option<File>,
    /// The file's length; none for a pipe.
    size_bytes: Option<u64>,
    bytes_read: BytesRead,
    is_first: bool,
}

impl Source {
    /// Opens the file, or standard input for `-`.
    fn open(path: &Path) -> io::Result<Self> {
        let file = if path == Path::new(STANDARD_INPUT) { None } else { Some(File::open(path)?) };
        let metadata = file.as_ref().map(File::metadata).transpose()?;
        let size_bytes = metadata.filter(Metadata::is_file).map(|metadata| metadata.len());
        Ok(Self { file, size_bytes, bytes_read: BytesRead::default(), is_first: true })
    }

    /// Returns the log from its beginning; none if it can't be read a second time, like a pipe.
    fn log(&mut self) -> io::Result<Option<LogFile>> {
        let is_first = mem::replace(&mut self.is_first, false);
        if !is_first && self.size_bytes.is_none() {
            return Ok(None);
        }
        let log = match &self.file {
            None => import::from_raw(io::stdin(), None)?,
            Some(file) => {
                let mut file = file.try_clone()?;
                if !is_first {
                    file.rewind()?;
                }
                import::from_file(file)?
            }
        };
        if let Ok(mut bytes_read) = self.bytes_read.lock() {
            *bytes_read = Arc::clone(&log.bytes_read);
        }
        Ok(Some(log))
    }
}

/// Prints the pages with their views, the most viewed first, and the first line of each kind that was left out.
fn print_what_would_be_counted(all: &LogSummary) {
    let mut pages: Vec<_> = all.pages.iter().collect();
    pages.sort_by_key(|(page, views)| (std::cmp::Reverse(**views), page.as_str()));
    let width = pages.first().map_or(0, |(_, views)| views.to_string().len());
    for (page, views) in pages {
        terminal::print(&format!("{views:>width$} {page}\n"));
    }
    for (reason, line) in all.first_lines() {
        terminal::print(&format!("\nthe first line left out, {reason}:\n{}\n", line.escape_debug()));
    }
    terminal::print("\nnothing was recorded\n");
}

/// Prints a table of the imports, oldest first.
///
/// # Errors
/// When the database can't be read.
pub(crate) async fn list(settings: &CommonSettings) -> anyhow::Result<()> {
    let database = database::open(&settings.connection.clone().into(), false).await?;
    let imports = ImportLog::new(&database).imports().await.context("can't read the imports")?;
    let header = ["IMPORT", "BEGAN", "ENDED", "LINES", "COUNTED", "LEFT OUT", "UNREADABLE", "LOG", "OPTIONS", "UNDONE"];
    let mut rows = vec![header.map(str::to_owned)];
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    rows.extend(imports.into_iter().map(|import| {
        let numbers = [import.lines, import.counted, import.left_out, import.unreadable].map(|lines| lines.to_string());
        let [lines, counted, left_out, unreadable] = numbers;
        let (began, ended) = (time(import.began_at), time(import.last_at));
        let undone = import.undone_at.map(time).unwrap_or_default();
        [import.id.to_string(), began, ended, lines, counted, left_out, unreadable, import.source, import.rules, undone]
    }));
    for line in terminal::columns(&rows) {
        terminal::print(&format!("{line}\n"));
    }
    Ok(database.close().await?)
}

/// Returns a progress bar, which is shown only on a terminal.
fn progress_bar(size_bytes: Option<u64>, file: &Path) -> ProgressBar {
    let Some(size) = size_bytes else { return ProgressBar::new_spinner() };
    let progress = ProgressBar::new(size).with_message(terminal::visible(&file.display().to_string()));
    terminal::set_style(&progress, "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}");
    progress
}
