//! Records what is new in logs.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use access_logs::{Format, Parser, Unknown};
use counts::FormatName;
use increments::{
    RecordError, Recorder, Request, ValidationError,
    imports::{ChunkChange, ImportLog, ImportRun},
};
use sea_orm::DbErr;
use storage::{Database, clock};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::sleep,
};

use crate::{
    known::Known,
    line_parser::LineParser,
    lines::{Identity, LogText},
    log_file::LogFile,
    progress::ImportProgress,
    random,
    rules::Rules,
    scan::{Chunk, Scan, ScanSettings},
    summary::{KnownLines, LogSummary},
};

/// The number of chunks that are read ahead of the one being recorded.
const CHUNKS_AHEAD: usize = 2;
/// The most tries of a chunk while the database can't be reached.
const TRIES_MAX: u32 = 10;
/// The pause before a retry, multiplied by the number of tries so far.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The most times that a log is read from its beginning again, because other imports read it at the same time.
const RESTARTS_MAX: u32 = 1_000;
/// The longest name of a log that is stored, in bytes.
const SOURCE_BYTES_MAX: usize = 1_024;

/// The reason why a log was not imported to its end. What was recorded before remains.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file can't be read to its end: the reason, or a [`LogFileError`](crate::LogFileError).
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The log is in no known format.
    #[error("it looks like {0}")]
    Format(Unknown),
    /// The counts are in no known format.
    #[error("it looks like {0}")]
    Counts(#[from] counts::Unknown),
    /// What was imported before can't be read.
    #[error("what was imported before can't be read")]
    Known(#[from] DbErr),
    /// The page views can't be recorded.
    #[error("its page views could not be recorded")]
    Record(#[source] RecordError),
    /// Another import reads the same log, and this one can't begin again.
    #[error("another import reads the same log; run this one again")]
    ImportedMeanwhile,
    /// A page view is not valid. The rules leave such lines out.
    #[error("a page view is not valid")]
    Increment(#[from] ValidationError),
    /// The thread that reads the log has failed.
    #[error("the log could not be read")]
    Thread(#[from] JoinError),
    /// An earlier error has ended the import of this log.
    #[error("the import of this log has ended with an error")]
    Ended,
}

impl ImportError {
    /// Returns whether the reason is the database, and not the log.
    #[must_use]
    pub fn is_of_the_database(&self) -> bool {
        matches!(self, Self::Known(_) | Self::Record(_))
    }
}

/// What can be set about imports.
#[derive(Clone, Debug, Default)]
pub struct ImportSettings {
    /// Which requests count.
    pub rules: Rules,
    /// The format of the logs; by default it is found by the first lines of each.
    pub format: Option<Format>,
    /// Whether lines that an earlier import left out are judged again.
    pub again: bool,
    /// If the files are counts, and no access logs: what can be set about them.
    pub counts: Option<CountsSettings>,
}

/// What can be set about imports of counts.
#[derive(Copy, Clone, Debug, Default)]
pub struct CountsSettings {
    /// The format; by default it is found by the first line and the name of each file.
    pub format: Option<FormatName>,
}

impl CountsSettings {
    /// Returns the format of the file `source`, which `log` is.
    fn format_of(self, source: &str, log: &mut LogFile) -> Result<counts::Format, ImportError> {
        match self.format {
            Some(name) => Ok(name.of_file(Path::new(source))?),
            None => Ok(counts::detect(Path::new(source), log.first_line()?)?),
        }
    }
}

/// Prints the settings as options of the command line.
impl fmt::Display for CountsSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            Some(format) => write!(formatter, "--counts --counts-format {format}"),
            None => formatter.write_str("--counts"),
        }
    }
}

/// Imports logs into a database. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Importer {
    /// The recorder; none if nothing is to be recorded.
    recorder: Option<Recorder>,
    known: Known,
    settings: ImportSettings,
    rules: Arc<Rules>,
    program: String,
    progress: Arc<ImportProgress>,
}

/// The import of one log.
#[derive(Debug)]
pub struct LogImport {
    recorder: Option<Recorder>,
    progress: Arc<ImportProgress>,
    /// The log; none after an error.
    scan: Option<Scan>,
    summary: LogSummary,
    /// The chunks that were recorded.
    own: HashSet<i64>,
}

impl Importer {
    /// Returns an importer. Without a `recorder` nothing is recorded, and summaries have the pages that would be
    /// counted. `program` is this program's version.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn new(
        database: &Database,
        recorder: Option<Recorder>,
        settings: ImportSettings,
        program: &str,
    ) -> Result<Self, DbErr> {
        let known = Known::load(ImportLog::new(database)).await?;
        let rules = Arc::new(settings.rules.clone());
        Ok(Self { recorder, known, settings, rules, program: program.to_owned(), progress: Arc::default() })
    }

    /// Returns what imports by this importer and its clones have done so far.
    #[must_use]
    pub fn progress(&self) -> Arc<ImportProgress> {
        Arc::clone(&self.progress)
    }

    /// Returns the format of all logs; none if it is found by the first lines of each.
    pub(crate) fn format(&self) -> Option<&Format> {
        self.settings.format.as_ref()
    }

    /// Returns the import of a log that begins where `log` does. `source` is the log's name.
    #[must_use]
    pub fn open(&self, log: LogFile, source: &str) -> LogImport {
        let own = HashSet::new();
        let (parser, identity) = self.log_parser();
        let scan = self.scan(log, parser, &identity, self.run(source), own.clone());
        let (recorder, progress) = (self.recorder.clone(), self.progress());
        LogImport { recorder, progress, scan: Some(scan), summary: LogSummary::default(), own }
    }

    /// Imports a log to its end.
    ///
    /// `open` opens the log at its beginning. It is called again if another import reads the same log at the same time,
    /// and returns none if the log can't be opened twice.
    ///
    /// # Errors
    /// When the log can't be imported to its end. The summary is that of the part before.
    pub async fn import(
        &self,
        mut open: impl FnMut() -> io::Result<Option<LogFile>>,
        source: &str,
    ) -> (LogSummary, Result<(), ImportError>) {
        let run = self.run(source);
        let (recorder, mut summary, mut own) = (&self.recorder, LogSummary::default(), HashSet::new());
        for _ in 0..RESTARTS_MAX {
            let mut log = match open() {
                Ok(Some(log)) => log,
                Ok(None) => break,
                Err(error) => return (summary, Err(error.into())),
            };
            let (parser, identity) = match self.parser(source, &mut log) {
                Ok(parser) => parser,
                Err(error) => return (summary, Err(error)),
            };
            let scan = Some(self.scan(log, parser, &identity, run.clone(), own.clone()));
            let mut import = LogImport { recorder: recorder.clone(), progress: self.progress(), scan, summary, own };
            let read = import.read_on(true).await;
            import.finish();
            if !matches!(read, Err(ImportError::ImportedMeanwhile)) {
                return (import.summary, read);
            }
            (summary, own) = (import.summary, import.own);
        }
        (summary, Err(ImportError::ImportedMeanwhile))
    }

    /// Returns what was imported of a log before, and whether it has more. Records nothing.
    ///
    /// # Errors
    /// When the log or the database can't be read.
    pub async fn look(&self, log: LogFile) -> Result<(KnownLines, bool), ImportError> {
        let (parser, identity) = self.log_parser();
        let mut scan = self.scan(log, parser, &identity, self.run(""), HashSet::new());
        let mut reading = JoinSet::new();
        reading.spawn_blocking(move || {
            let has_more = loop {
                match scan.next_chunk(false)? {
                    Some(chunk) if chunk.is_of_an_earlier_program() => {}
                    more => break more.is_some(),
                }
            };
            scan.finish_known();
            Ok((scan.known, has_more))
        });
        reading.join_next().await.ok_or(ImportError::Ended)??
    }

    fn run(&self, source: &str) -> ImportRun {
        let format = self.settings.format.as_ref().map(|format| format!("--format '{format}'"));
        let again = self.settings.again.then(|| "--again".to_owned());
        let rules = Some(self.rules.to_string()).filter(|rules| !rules.is_empty());
        let rules = match self.settings.counts {
            Some(counts) => counts.to_string(),
            None => [rules, format, again].into_iter().flatten().collect::<Vec<_>>().join(" "),
        };
        ImportRun {
            id: random::id(),
            began_at: clock::process_now(),
            source: source[..source.floor_char_boundary(SOURCE_BYTES_MAX)].to_owned(),
            rules,
            program: self.program.clone(),
        }
    }

    /// Returns the parser of an access log, if its format is known already.
    fn log_parser(&self) -> (Option<LineParser>, Identity) {
        (self.settings.format.clone().map(Parser::new).map(LineParser::Log), Identity::default())
    }

    /// Returns the parser of the file `source`, which `log` is, and what tells the file apart from others.
    fn parser(&self, source: &str, log: &mut LogFile) -> Result<(Option<LineParser>, Identity), ImportError> {
        let Some(counts) = self.settings.counts else { return Ok(self.log_parser()) };
        let format = counts.format_of(source, log)?;
        let identity = Identity { seed: counts::Parser::identity(format), are_counts: true };
        Ok((Some(LineParser::Counts(counts::Parser::new(format))), identity))
    }

    fn scan(
        &self,
        log: LogFile,
        parser: Option<LineParser>,
        identity: &Identity,
        run: ImportRun,
        own: HashSet<i64>,
    ) -> Scan {
        let (rules, known, again) = (Arc::clone(&self.rules), self.known.clone(), self.settings.again);
        let settings = ScanSettings { run, rules, known, own, again };
        Scan::new(LogText::new(log.reader, identity), parser, identity.clone(), settings)
    }
}

impl LogImport {
    /// Reads what there is to read now, and records what is new.
    ///
    /// With `is_complete` nothing will be appended to the log any more: the last line may lack its end then.
    ///
    /// # Errors
    /// When the log can't be read or recorded. Errors of the database, and [`ImportError::ImportedMeanwhile`], end this
    /// import: the log has to be opened again, which counts no line twice.
    pub async fn read_on(&mut self, is_complete: bool) -> Result<(), ImportError> {
        let mut scan = self.scan.take().ok_or(ImportError::Ended)?;
        let (sender, mut receiver) = mpsc::channel(CHUNKS_AHEAD);
        let mut reading = JoinSet::new();
        reading.spawn_blocking(move || {
            let result = loop {
                match scan.next_chunk(is_complete) {
                    Ok(Some(chunk)) => {
                        if sender.blocking_send(chunk).is_err() {
                            break Ok(());
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            (scan, result)
        });
        let mut recorded = Ok(());
        while let Some(chunk) = receiver.recv().await {
            recorded = self.record(chunk).await;
            if recorded.is_err() {
                break;
            }
        }
        drop(receiver);
        let (scan, read) = reading.join_next().await.ok_or(ImportError::Ended)??;
        self.summary.known = scan.known;
        recorded?;
        self.summary.has_open_line = is_complete && scan.has_open_line();
        self.scan = Some(scan);
        read
    }

    /// Ends the import of this log: lines that are the beginning of a known log are counted as known.
    fn finish(&mut self) {
        if let Some(scan) = &mut self.scan {
            scan.finish_known();
            self.summary.known = scan.known;
        }
    }

    /// Records a chunk, with retries while the database can't be reached, and adds its numbers to the summary.
    async fn record(&mut self, chunk: Chunk) -> Result<(), ImportError> {
        let Chunk { increments, step, stats } = chunk;
        match &self.recorder {
            Some(recorder) => {
                if let ChunkChange::Inserted { chunk, .. } = &step.change {
                    self.own.insert(chunk.id);
                }
                record_with_retries(recorder, &Request::of_import(increments, step)).await?;
            }
            None => {
                for increment in &increments {
                    let pages: &mut BTreeMap<_, _> = &mut self.summary.pages;
                    *pages.entry(increment.page.as_str().to_owned()).or_default() += increment.views.get();
                }
            }
        }
        self.progress.add(&stats);
        self.summary.stats.add(stats);
        Ok(())
    }
}

async fn record_with_retries(recorder: &Recorder, request: &Request) -> Result<(), ImportError> {
    let mut tries = 1;
    loop {
        match recorder.record(request.clone()).await {
            Ok(_) => return Ok(()),
            // The step may have been taken, but a step that is repeated changes nothing.
            Err(RecordError::Unavailable(_) | RecordError::Overloaded) if tries < TRIES_MAX => {
                sleep(RETRY_PAUSE * tries).await;
                tries += 1;
            }
            Err(RecordError::ImportedMeanwhile) => return Err(ImportError::ImportedMeanwhile),
            Err(error) => return Err(ImportError::Record(error)),
        }
    }
}
