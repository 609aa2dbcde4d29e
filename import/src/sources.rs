//! Finds the logs that arguments name: files, folders, patterns and standard input.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

/// The most files that are read in one import. Their names are held in memory.
pub(crate) const FILES_MAX: usize = 100_000;

/// The argument that means standard input.
pub const STANDARD_INPUT: &str = "-";

/// The logs that arguments name, and what became of the other files.
#[derive(Debug, Default)]
pub struct Sources {
    /// The logs in the order of their first lines' times; without one, of their last change. Pipes and standard input
    /// come last. No file is in it twice.
    pub logs: Vec<PathBuf>,
    /// Files of folders and patterns whose beginning has no line of an access log.
    pub left_out: Vec<PathBuf>,
    /// What could not be found or read.
    pub errors: Vec<SourceError>,
}

/// An argument that names no log, or a file that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or a folder can't be read.
    #[error("can't read {}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The pattern is none.
    #[error("{pattern:?} is not a pattern")]
    Pattern {
        /// The argument.
        pattern: String,
        /// Why.
        #[source]
        error: glob::PatternError,
    },
    /// No file matches the pattern.
    #[error("no file matches {pattern}")]
    NoMatch {
        /// The argument.
        pattern: String,
    },
    /// There is no file in the folder.
    #[error("no file in {} (those in its folders, hidden and empty ones are left out)", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// There are too many files.
    #[error("more than {FILES_MAX} files; import them in several runs")]
    TooMany,
}

/// A file that an argument names.
pub(crate) struct Candidate {
    pub(crate) path: PathBuf,
    /// Whether it was found in a folder or by a pattern, and not named itself.
    pub(crate) is_found: bool,
}

impl Sources {
    /// Finds the logs that `arguments` name.
    ///
    /// * A file, a pipe, or `-` for standard input, means itself.
    /// * A folder means the files in it, but not those of its folders, hidden and empty ones.
    /// * Anything else with `*`, `?` or `[` is a pattern, and means the files that match. (A shell replaces patterns
    ///   that are not in quotes.)
    ///
    /// `first_time` returns the time of the first line that can be read, or `None` if the beginning has no such line.
    pub fn find(arguments: &[PathBuf], mut first_time: impl FnMut(&Path) -> io::Result<Option<DateTime<Utc>>>) -> Self {
        let mut sources = Self::default();
        let mut known = HashSet::new();
        let (mut dated, mut pipes) = (Vec::new(), Vec::new());
        for argument in arguments {
            let candidates = candidates(argument).unwrap_or_else(|error| {
                sources.errors.push(error);
                Vec::new()
            });
            for Candidate { path, is_found } in candidates {
                match look_at(&path, is_found, &mut known, &mut first_time) {
                    Ok(Found::Known) => {}
                    Ok(Found::Pipe) => pipes.push(path),
                    Ok(Found::NoLog) => sources.left_out.push(path),
                    Ok(Found::Log(time)) => dated.push((time, path)),
                    Err(error) => sources.errors.push(SourceError::Unreadable { path, error }),
                }
            }
        }
        if dated.len() > FILES_MAX {
            return Self { errors: vec![SourceError::TooMany], ..Self::default() };
        }
        // Equal times: by name, so that the order is the same every time.
        dated.sort_unstable();
        sources.logs = dated.into_iter().map(|(_, path)| path).chain(pipes).collect();
        sources
    }
}

enum Found {
    /// A file that another argument named too.
    Known,
    /// Something whose beginning can't be looked at without taking it.
    Pipe,
    NoLog,
    Log(DateTime<Utc>),
}

/// Looks at a file. The device and number of a file that is `known` tell that it was named before.
fn look_at(
    path: &Path,
    is_found: bool,
    known: &mut HashSet<Option<(u64, u64)>>,
    first_time: &mut impl FnMut(&Path) -> io::Result<Option<DateTime<Utc>>>,
) -> io::Result<Found> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(if known.insert(None) { Found::Pipe } else { Found::Known });
    }
    let metadata = fs::metadata(path)?;
    if !known.insert(Some((metadata.dev(), metadata.ino()))) {
        return Ok(Found::Known);
    }
    if !metadata.is_file() {
        return Ok(Found::Pipe);
    }
    Ok(match first_time(path)? {
        Some(time) => Found::Log(time),
        None if is_found => Found::NoLog,
        None => Found::Log(DateTime::from(metadata.modified()?)),
    })
}

/// Returns the files that an argument means, those of folders and patterns in the order of their names.
pub(crate) fn candidates(argument: &Path) -> Result<Vec<Candidate>, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: argument.to_owned(), error };
    if argument == Path::new(STANDARD_INPUT) {
        return Ok(vec![Candidate { path: argument.to_owned(), is_found: false }]);
    }
    match fs::metadata(argument) {
        Ok(metadata) if metadata.is_dir() => {
            some(in_folder(argument).map_err(unreadable)?, SourceError::EmptyFolder { path: argument.to_owned() })
        }
        Ok(_) => Ok(vec![Candidate { path: argument.to_owned(), is_found: false }]),
        Err(error) => match pattern(argument) {
            Some(pattern) if error.kind() == io::ErrorKind::NotFound => {
                some(matching(pattern)?, SourceError::NoMatch { pattern: pattern.to_owned() })
            }
            _ => Err(unreadable(error)),
        },
    }
}

fn some(found: Vec<Candidate>, error: SourceError) -> Result<Vec<Candidate>, SourceError> {
    if found.is_empty() { Err(error) } else { Ok(found) }
}

/// Returns the argument if it is a pattern.
fn pattern(argument: &Path) -> Option<&str> {
    argument.to_str().filter(|text| text.contains(['*', '?', '[']))
}

/// Returns the files in a folder, except for hidden and empty ones.
fn in_folder(folder: &Path) -> io::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.take(FILES_MAX + 1) {
        let entry = entry?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && is_log(&entry.path()) {
            found.push(Candidate { path: entry.path(), is_found: true });
        }
    }
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Returns the files that match a pattern, except for empty ones. `*` does not stand for a dot at the beginning of a
/// name, nor for `/`, as in shells.
fn matching(pattern: &str) -> Result<Vec<Candidate>, SourceError> {
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let paths = glob::glob_with(pattern, options)
        .map_err(|error| SourceError::Pattern { pattern: pattern.to_owned(), error })?;
    let mut found = Vec::new();
    for path in paths.take(FILES_MAX + 1) {
        match path {
            Ok(path) if is_log(&path) => found.push(Candidate { path, is_found: true }),
            Ok(_) => {}
            Err(error) => {
                return Err(SourceError::Unreadable { path: error.path().to_owned(), error: error.into() });
            }
        }
    }
    Ok(found)
}

/// Returns whether a file of a folder or pattern may be a log. A link to nowhere is one, so that it is said.
fn is_log(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file() && metadata.len() > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// A folder with files, whose first line is their time in seconds, or is not a log's.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for (name, text) in files {
                fs::create_dir_all(folder.path(name).parent().unwrap()).unwrap();
                fs::write(folder.path(name), text).unwrap();
            }
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// Finds what `arguments` name in the folder, with the names relative to it.
        fn find(&self, arguments: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>) {
            let arguments: Vec<_> =
                arguments.iter().map(|name| if *name == "-" { "-".into() } else { self.path(name) }).collect();
            let sources = Sources::find(&arguments, |path| {
                let text = fs::read_to_string(path)?;
                Ok(text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)))
            });
            let prefix = format!("{}/", self.0.path().display());
            let names = |paths: &[PathBuf]| -> Vec<String> {
                paths.iter().map(|path| path.display().to_string().replace(&prefix, "")).collect()
            };
            let errors = sources.errors.iter().map(|error| error.to_string().replace(&prefix, "")).collect();
            (names(&sources.logs), names(&sources.left_out), errors)
        }
    }

    const NOTHING: Vec<String> = Vec::new();

    #[test]
    fn files_come_in_order_of_their_first_lines_and_pipes_last() {
        let folder =
            Folder::with(&[("access.log", "300"), ("access.log.1", "200"), ("b/old.gz", "100"), ("same", "200")]);
        let arguments = ["-", "access.log", "access.log.1", "b/old.gz", "same", "-"];
        let expected = ["b/old.gz", "access.log.1", "same", "access.log", "-"].map(str::to_owned).to_vec();
        assert_eq!(folder.find(&arguments), (expected, NOTHING, NOTHING));
    }

    #[test]
    fn file_without_a_time_comes_by_its_last_change() {
        let folder = Folder::with(&[("new", "4000000000"), ("no-log", "x"), ("old", "100")]);
        assert_eq!(folder.find(&["new", "no-log", "old"]).0, ["old", "no-log", "new"]);
    }

    #[test]
    fn folder_means_the_logs_in_it_and_no_others() {
        let folder = Folder::with(&[
            ("logs/access.log", "200"),
            ("logs/access.log.1", "100"),
            ("logs/error.log", "x"),
            ("logs/.hidden", "1"),
            ("logs/empty", ""),
            ("logs/deeper/access.log", "1"),
            ("none/error.log", "x"),
        ]);
        fs::create_dir(folder.path("empty")).unwrap();
        let logs = ["logs/access.log.1", "logs/access.log"].map(str::to_owned).to_vec();
        assert_eq!(folder.find(&["logs"]), (logs, vec!["logs/error.log".to_owned()], NOTHING));
        // A file that is named itself is read whatever it is, so that the import can say what it looks like.
        assert_eq!(folder.find(&["logs/error.log"]), (vec!["logs/error.log".to_owned()], NOTHING, NOTHING));
        let errors = vec!["no file in empty (those in its folders, hidden and empty ones are left out)".to_owned()];
        assert_eq!(folder.find(&["none", "empty"]), (NOTHING, vec!["none/error.log".to_owned()], errors));
    }

    #[test]
    fn pattern_means_the_files_that_match() {
        let folder = Folder::with(&[
            ("access.log", "200"),
            ("access.log.1", "100"),
            ("access.log-d/x", "1"),
            (".access.log", "1"),
            ("error.log", "x"),
            ("a[1].log", "50"),
        ]);
        let find = |pattern| folder.find(&[pattern]);
        assert_eq!(find("access.log*").0, ["access.log.1", "access.log"]);
        assert_eq!(
            find("*.log"),
            (["a[1].log", "access.log"].map(str::to_owned).to_vec(), vec!["error.log".to_owned()], NOTHING)
        );
        assert_eq!(find("access.log.?").0, ["access.log.1"]);
        assert_eq!(find("*/x").0, ["access.log-d/x"]);
        // A file of that name is meant itself.
        assert_eq!(find("a[1].log").0, ["a[1].log"]);
        assert_eq!(find("no*").2, ["no file matches no*"]);
        assert!(find("a[").2[0].ends_with("a[\" is not a pattern"), "{:?}", find("a[").2);
    }

    #[test]
    fn file_that_is_named_twice_is_read_once() {
        let folder = Folder::with(&[("logs/a", "100"), ("logs/b", "200")]);
        symlink(folder.path("logs/a"), folder.path("link")).unwrap();
        fs::hard_link(folder.path("logs/b"), folder.path("hard")).unwrap();
        assert_eq!(
            folder.find(&["logs/a", "logs", "link", "./logs/*", "hard"]),
            (["logs/a", "logs/b"].map(str::to_owned).to_vec(), NOTHING, NOTHING)
        );
    }

    #[test]
    fn missing_and_unreadable_files_are_errors_and_the_others_are_found() {
        let folder = Folder::with(&[("a", "100"), ("d/b", "100")]);
        fs::write(folder.path("d/binary"), b"\xff").unwrap();
        symlink("nowhere", folder.path("d/link")).unwrap();
        let (logs, left_out, errors) = folder.find(&["missing", "a", "d", "gone/*"]);
        assert_eq!((logs, left_out), (["a", "d/b"].map(str::to_owned).to_vec(), NOTHING));
        assert_eq!(
            errors,
            ["can't read missing", "can't read d/binary", "can't read d/link", "no file matches gone/*"]
        );
    }

    #[test]
    fn pipe_is_not_opened_before_it_is_read() {
        let folder = Folder::with(&[("a", "100")]);
        assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
        // Opening it would wait for a writer, which there is none of.
        assert_eq!(folder.find(&["pipe", "a", "pipe"]).0, ["a", "pipe"]);
    }
}
