//! Follows logs while servers write to them: growth, rotation of every kind, and the time that the program was away.
//!
//! What was counted of a log is known by its content, so any file may be opened at any time, and counts once. Following
//! only has to see to it that every file is read to its end: the files that the arguments name; a file that was renamed,
//! as long as the server still writes to it; and the rotated files that hold what was not read of a log before it was
//! rotated.

mod growing_file;
mod rotations;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use access_logs::Format;
use chrono::{DateTime, TimeDelta, Utc};
use storage::clock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::growing_file::{FileId, GrowingFile, Growth, Stamp, id_of, stamp_of};
use self::rotations::{Rotation, rotations};
use crate::importer::{ImportError, Importer, LogImport};
use crate::sources::{self, Candidate, SourceError};
use crate::{first_time, log_file};

/// The time between two looks at the files.
const PERIOD: Duration = Duration::from_millis(500);
/// The time between two tries while the database can't be reached.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);
/// How long a commit is waited for when following is to end.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// How long a file that was renamed or deleted is read on after its last change: a server writes to it until it is told
/// to open its log anew.
const RENAMED_QUIET: Duration = Duration::from_secs(600);
/// How long a compressed file has to be left alone before it is read: until then it may still be written.
const COMPRESSED_QUIET: Duration = Duration::from_secs(2);
/// The time between two looks for rotated files, besides those when a rotation is noticed.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// The most files that are open at the same time. Those without change for the longest time are closed first.
pub(crate) const OPEN_FILES_MAX: usize = 64;
/// The most complaints that are remembered, so that they are not logged again.
const COMPLAINTS_MAX: usize = 1_000;
/// The length from which a file is opened. No line is so short, and no compressed file.
const OPEN_BYTES_MIN: u64 = 16;
/// How many rotated files of which nothing is new are looked at before the older ones are left alone.
const SETTLED_FILES: usize = 2;

/// Follows logs until it is stopped.
#[derive(Debug)]
pub struct Follower {
    importer: Importer,
    arguments: Vec<PathBuf>,
    stop: CancellationToken,
    /// The files that are followed, and those that were read to their end.
    files: BTreeMap<FileId, Followed>,
    /// The logs that are named themselves, and not by a folder or a pattern.
    named: BTreeMap<PathBuf, Named>,
    /// The last complaints, so that each is logged once.
    complaints: HashMap<PathBuf, String>,
}

/// A file that is followed.
#[derive(Debug)]
struct Followed {
    path: PathBuf,
    /// The open file: it is read on when it has been renamed.
    file: Option<GrowingFile>,
    /// The import of the file's log. None while the file is too short to tell whether it is compressed.
    reading: Option<Reading>,
    /// The stamp of the file when it was closed. It is opened again when it has changed.
    done: Option<Stamp>,
    /// The last stamp, and since when the file has it.
    stamp: Stamp,
    quiet_since: Instant,
    /// Whether an argument names the file now. A file that none names was renamed or deleted.
    is_named: bool,
}

/// The import of the log in an open file.
#[derive(Debug)]
struct Reading {
    import: LogImport,
    is_compressed: bool,
    /// Whether nothing has been read yet, except for the beginning that tells the compression.
    is_new: bool,
}

/// A log that is named itself. Its rotated files are looked for beside it.
#[derive(Debug)]
struct Named {
    /// The file that had the name last.
    file: Option<FileId>,
    /// When rotated files are looked for again: now and then, and at once when the log was rotated.
    look_at: Instant,
    /// The rotated files when they were last looked for.
    seen: BTreeMap<FileId, Rotation>,
    /// Rotated files whose lines begin later belong to what is followed, others are its history. None before the first
    /// look.
    since: Option<DateTime<Utc>>,
}

/// A rotated file, and the time of its first line.
struct Rotated {
    time: DateTime<Utc>,
    id: FileId,
    rotation: Rotation,
}

/// What is to be done with rotated files.
#[derive(Default)]
struct Choice {
    /// The time of the oldest file of which something is known.
    known_since: Option<DateTime<Utc>>,
    /// The files to be read.
    accepted: Vec<Rotated>,
    /// The files of which nothing is known.
    unknown: Vec<Rotated>,
}

/// A file that an argument names now.
struct Present {
    id: FileId,
    path: PathBuf,
    stamp: Stamp,
    /// Whether the file itself is named.
    is_named: bool,
}

/// What the arguments name now.
#[derive(Default)]
struct Look {
    present: Vec<Present>,
    /// What can't be found or read, and why.
    missing: Vec<(PathBuf, SourceError)>,
}

impl Follower {
    /// Returns a follower of the logs that `arguments` name: files, folders and patterns, as for
    /// [`Sources::find`](crate::Sources::find). What they name may come later.
    #[must_use]
    pub fn new(importer: Importer, arguments: Vec<PathBuf>, stop: CancellationToken) -> Self {
        let (files, named) = (BTreeMap::new(), BTreeMap::new());
        Self { importer, arguments, stop, files, named, complaints: HashMap::new() }
    }

    /// Follows the logs until it is stopped; then what has been read is recorded.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let too_late = async {
                stop.cancelled().await;
                sleep(STOP_WAIT).await;
            };
            let polled = tokio::select! {
                polled = self.poll() => polled,
                // What is not recorded is read again by the next follower.
                () = too_late => return,
            };
            let pause = match polled {
                Ok(()) => PERIOD,
                Err(error) => {
                    self.complain(Path::new(""), &error);
                    DATABASE_PAUSE
                }
            };
            let open = self.files.values().filter(|file| file.file.is_some());
            self.importer.progress().set_files(open.count());
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    /// Reads what is new in all files.
    ///
    /// # Errors
    /// When the database fails. The next call goes on where this one began.
    async fn poll(&mut self) -> Result<(), ImportError> {
        self.look().await?;
        let ids: Vec<_> = self.files.keys().copied().collect();
        for id in ids {
            self.read(id).await?;
        }
        let now = Instant::now();
        let due = self.named.iter().filter(|(_, named)| named.look_at <= now);
        let due: Vec<_> = due.map(|(path, _)| path.clone()).collect();
        for path in due {
            self.catch_up(&path).await?;
        }
        self.complaints.remove(Path::new(""));
        self.close_quiet_files();
        Ok(())
    }

    /// Finds the files that the arguments name now.
    async fn look(&mut self) -> Result<(), ImportError> {
        let arguments = self.arguments.clone();
        let Look { present, missing } = blocking(move || look(&arguments)).await?;
        for (argument, error) in missing {
            // The log may have been rotated while the program was away, and not be there again.
            if matches!(error, SourceError::Unreadable { .. }) {
                self.named.entry(argument.clone()).or_insert_with(Named::new);
            }
            self.complain(&argument, &error);
        }
        self.files.values_mut().for_each(|file| file.is_named = false);
        let now = Instant::now();
        for Present { id, path, stamp, is_named } in present {
            if is_named {
                let named = self.named.entry(path.clone()).or_insert_with(Named::new);
                if named.file.is_some_and(|before| before != id) {
                    named.look_at = now;
                }
                named.file = Some(id);
            }
            let file = self.files.entry(id).or_insert_with(|| Followed::new(path.clone(), stamp));
            (file.path, file.is_named) = (path, true);
            file.note_stamp(stamp, now);
        }
        Ok(())
    }

    /// Reads what is new in a file.
    async fn read(&mut self, id: FileId) -> Result<(), ImportError> {
        let Some(mut file) = self.files.remove(&id) else { return Ok(()) };
        let result = self.read_file(id, &mut file).await;
        let (path, is_read) = (file.path.clone(), file.reading.is_some());
        if !file.is_over() {
            self.files.insert(id, file);
        }
        match result {
            Ok(()) if is_read => drop(self.complaints.remove(&path)),
            Ok(()) => {}
            Err(error) if error.is_of_the_database() => return Err(error),
            // The end of a file is not reached when it is stopped.
            Err(_) if self.stop.is_cancelled() => {}
            Err(error) => self.complain(&path, &error),
        }
        Ok(())
    }

    async fn read_file(&mut self, id: FileId, file: &mut Followed) -> Result<(), ImportError> {
        let Some(growing) = self.open(id, file).await? else { return Ok(()) };
        let growth = growing.growth()?;
        if growth == Growth::Truncated {
            return self.begin_anew(id, file, &growing).await;
        }
        file.note_stamp(growing.stamp()?, Instant::now());
        if file.reading.is_none() {
            file.reading = self.reading(&growing, &file.path).await.inspect_err(|_| file.close())?;
        }
        let Some(reading) = &file.reading else { return Ok(()) };
        let is_compressed = reading.is_compressed;
        if is_compressed && file.changed_within(COMPRESSED_QUIET) {
            file.restart();
            return Ok(());
        }
        if growth == Growth::More || reading.is_new {
            self.read_on(file, false).await?;
        }
        let is_over = is_compressed || (!file.is_named && !file.changed_within(RENAMED_QUIET));
        if is_over && !self.stop.is_cancelled() {
            self.read_on(file, true).await?;
            file.close();
        }
        Ok(())
    }

    /// Begins to read a file from its beginning that was truncated.
    async fn begin_anew(&mut self, id: FileId, file: &mut Followed, growing: &GrowingFile) -> Result<(), ImportError> {
        info!(log = %file.path.display(), "the log was truncated, it is read from its beginning");
        let named = self.named.values_mut().filter(|named| named.file == Some(id));
        named.for_each(|named| named.look_at = Instant::now());
        // The beginning of the last line is in memory only.
        let rest = self.read_on(file, true).await;
        (file.file, file.reading, file.quiet_since) = (Some(growing.again()), None, Instant::now());
        rest
    }

    /// Returns the open file. Opens it if it has changed since it was closed.
    async fn open(&mut self, id: FileId, file: &mut Followed) -> Result<Option<GrowingFile>, ImportError> {
        if file.file.is_some() || file.done == Some(file.stamp) {
            return Ok(file.file.clone());
        }
        let (path, stop) = (file.path.clone(), self.stop.clone());
        match blocking(move || GrowingFile::open(&path, &stop)).await? {
            Ok((opened, growing)) if opened == id => file.file = Some(growing),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                file.close();
                return Err(error.into());
            }
            // It was renamed, and is found under its new name the next time.
            _ => {
                file.close();
                self.named.values_mut().for_each(|named| named.look_at = Instant::now());
            }
        }
        Ok(file.file.clone())
    }

    /// Returns the import of the log in an open file, unless that is still too short.
    async fn reading(&mut self, growing: &GrowingFile, path: &Path) -> Result<Option<Reading>, ImportError> {
        let growing = growing.clone();
        let log = blocking(move || {
            let bytes = growing.stamp()?.0;
            if bytes < OPEN_BYTES_MIN { Ok(None) } else { log_file::from_raw(growing, Some(bytes)).map(Some) }
        });
        Ok(log.await??.map(|log| {
            let is_compressed = log.compression.is_some();
            Reading { import: self.importer.open(log, &path.display().to_string()), is_compressed, is_new: true }
        }))
    }

    /// Records what is new in an open file.
    async fn read_on(&mut self, file: &mut Followed, is_complete: bool) -> Result<(), ImportError> {
        let Some(reading) = &mut file.reading else { return Ok(()) };
        reading.is_new = false;
        match reading.import.read_on(is_complete).await {
            Ok(()) => Ok(()),
            // Another import has counted these lines.
            Err(ImportError::ImportedMeanwhile) => {
                file.restart();
                Ok(())
            }
            Err(error) if error.is_of_the_database() => {
                file.restart();
                Err(error)
            }
            Err(error) => {
                file.close();
                Err(error)
            }
        }
    }

    /// Finds lines of a log that were rotated away before they were read: by copying and truncating, or while the
    /// program was away.
    ///
    /// Rotated files of which a part was counted are read on, and those that are younger than such a file are read.
    /// Older ones are history, which is not counted unless it is imported.
    async fn catch_up(&mut self, path: &Path) -> Result<(), ImportError> {
        let Some(named) = self.named.get(path) else { return Ok(()) };
        let (log, seen, format) = (path.to_owned(), named.seen.clone(), self.importer.format().cloned());
        // What could not be read is looked at again when something has changed.
        let looked = blocking(move || {
            let found = rotations(&log)?;
            let dated = if found == seen { None } else { Some(by_time(&found, format.as_ref())) };
            let own_time = first_time(&log, format.as_ref()).unwrap_or_default();
            io::Result::Ok((found, dated, own_time))
        });
        let (found, dated, own_time) = match looked.await? {
            Ok(looked) => looked,
            Err(error) => {
                self.complain(path, &error);
                return Ok(());
            }
        };
        let Some(named) = self.named.get_mut(path) else { return Ok(()) };
        let Some(dated) = dated.or_else(|| named.since.is_none().then(Vec::new)) else {
            named.look_at = Instant::now() + LOOK_PERIOD;
            return Ok(());
        };
        let mut choice = self.choose(dated).await?;
        let Some(named) = self.named.get_mut(path) else { return Ok(()) };
        let start = || own_time.unwrap_or_else(|| clock::process_now() - TimeDelta::seconds(2));
        let since = *named.since.get_or_insert_with(|| choice.known_since.unwrap_or_else(start));
        let since = choice.known_since.map_or(since, |known| known.min(since));
        choice.accepted.extend(choice.unknown.into_iter().filter(|rotated| rotated.time > since));
        named.look_at = Instant::now() + LOOK_PERIOD;
        // The oldest first: the next look ends at the youngest ones that have been read.
        choice.accepted.sort_by_key(|rotated| rotated.time);
        for Rotated { id, rotation, .. } in choice.accepted {
            info!(log = %rotation.path.display(), "reading what was not read before the log was rotated");
            self.files.insert(id, Followed::new(rotation.path, rotation.stamp));
            self.read(id).await?;
        }
        // Not before: after an error of the database the others are looked for again.
        if let Some(named) = self.named.get_mut(path) {
            named.seen = found;
        }
        Ok(())
    }

    /// Looks for rotated files of which something is known. `dated` begins with the youngest.
    async fn choose(&mut self, dated: Vec<Rotated>) -> Result<Choice, ImportError> {
        let mut choice = Choice::default();
        let mut settled = 0;
        for rotated in dated {
            if settled >= SETTLED_FILES || self.stop.is_cancelled() {
                break;
            }
            if self.files.contains_key(&rotated.id) {
                settled += 1;
                choice.known_since = Some(rotated.time);
                continue;
            }
            match self.look_at(&rotated.rotation.path).await {
                Ok(Some(has_more)) => {
                    settled += usize::from(!has_more);
                    choice.known_since = Some(rotated.time);
                    choice.accepted.push(rotated);
                }
                Ok(None) => choice.unknown.push(rotated),
                Err(error) if error.is_of_the_database() => return Err(error),
                // It was renamed, or is being compressed: it is looked at again when it has changed.
                Err(_) => {}
            }
        }
        Ok(choice)
    }

    /// Returns whether a rotated file has lines that were not imported; none if none of its lines were.
    async fn look_at(&mut self, path: &Path) -> Result<Option<bool>, ImportError> {
        let (path, stop) = (path.to_owned(), self.stop.clone());
        let log = blocking(move || log_file::from_raw(GrowingFile::open(&path, &stop)?.1, None)).await??;
        let (known, has_more) = self.importer.look(log).await?;
        Ok((known.lines > 0).then_some(has_more))
    }

    /// Closes the files that have not changed for the longest time, if too many are open. Those that are not named any
    /// more come last, since they can't be opened again.
    fn close_quiet_files(&mut self) {
        let mut open: Vec<_> = self.files.values_mut().filter(|file| file.file.is_some()).collect();
        open.sort_by_key(|file| (file.is_named, std::cmp::Reverse(file.quiet_since)));
        open.into_iter().skip(OPEN_FILES_MAX).for_each(Followed::close);
        // A file that is neither named nor open is not read any more.
        self.files.retain(|_, file| !file.is_over());
    }

    /// Logs why a log is not read now, unless that was the last complaint about it. The empty path stands for all logs.
    fn complain(&mut self, path: &Path, error: &(dyn Error + 'static)) {
        let causes = std::iter::successors(Some(error), |error| (*error).source());
        let words = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if self.complaints.get(path) != Some(&words) {
            match path.as_os_str().is_empty() {
                true => warn!(error = words, "logs can't be followed now, trying again"),
                false => warn!(log = %path.display(), error = words, "the log can't be read now"),
            }
            if self.complaints.len() >= COMPLAINTS_MAX {
                self.complaints.clear();
            }
            self.complaints.insert(path.to_owned(), words);
        }
    }
}

impl Named {
    fn new() -> Self {
        Self { file: None, look_at: Instant::now(), seen: BTreeMap::new(), since: None }
    }
}

impl Followed {
    fn new(path: PathBuf, stamp: Stamp) -> Self {
        let age = stamp.1.and_then(|changed_at| changed_at.elapsed().ok()).unwrap_or_default();
        let now = Instant::now();
        let quiet_since = now.checked_sub(age.min(RENAMED_QUIET)).unwrap_or(now);
        Self { path, file: None, reading: None, done: None, stamp, quiet_since, is_named: false }
    }

    /// Returns whether the file was renamed or deleted, and read to its end.
    fn is_over(&self) -> bool {
        !self.is_named && self.file.is_none() && self.done.is_some()
    }

    fn note_stamp(&mut self, stamp: Stamp, now: Instant) {
        if self.stamp != stamp {
            (self.stamp, self.quiet_since) = (stamp, now);
        }
    }

    fn changed_within(&self, time: Duration) -> bool {
        self.quiet_since.elapsed() < time
    }

    /// Closes the file until it has changed.
    fn close(&mut self) {
        // By the stamp from before the last read: what was written since is read then.
        (self.file, self.reading, self.done) = (None, None, Some(self.stamp));
    }

    /// Lets the open file be read from its beginning again.
    fn restart(&mut self) {
        (self.file, self.reading) = (self.file.as_ref().map(GrowingFile::again), None);
    }
}

/// Returns the rotated files with the times of their first lines, the youngest first. Files without such a line are left
/// out.
fn by_time(found: &BTreeMap<FileId, Rotation>, format: Option<&Format>) -> Vec<Rotated> {
    let dated = found.iter().filter_map(|(id, rotation)| {
        // A file that is being compressed is not left out: it is looked at again when it has changed.
        let time = first_time(&rotation.path, format).unwrap_or(Some(DateTime::<Utc>::MAX_UTC))?;
        Some(Rotated { time, id: *id, rotation: rotation.clone() })
    });
    let mut dated: Vec<_> = dated.collect();
    dated.sort_unstable_by_key(|rotated| std::cmp::Reverse(rotated.time));
    dated
}

/// Finds what the arguments name now.
fn look(arguments: &[PathBuf]) -> Look {
    let mut look = Look::default();
    let mut known = HashSet::new();
    for argument in arguments {
        let candidates = match sources::candidates(argument) {
            Ok(candidates) => candidates,
            Err(error) => {
                look.missing.push((argument.clone(), error));
                continue;
            }
        };
        for Candidate { path, is_found } in candidates {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_file() && known.insert((id_of(&metadata), !is_found)) {
                look.present.push(Present {
                    id: id_of(&metadata),
                    path,
                    stamp: stamp_of(&metadata),
                    is_named: !is_found,
                });
            }
        }
    }
    look
}

/// Runs what may block on a thread of its own.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, ImportError> {
    let mut thread = JoinSet::new();
    thread.spawn_blocking(run);
    Ok(thread.join_next().await.ok_or(ImportError::Ended)??)
}
