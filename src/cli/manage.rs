//! The settings of the commands that change what was counted.

use std::{fs::File, io, io::Read, path::PathBuf};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Subcommand};
use entity::Hour;
use increments::PageName;
use jobs::{CORRECTION_MAX, NAMES_MAX, PageSelection, REASON_BYTES_MAX};

use super::{CommonSettings, examples};

/// The name of standard input in place of a file's.
const STANDARD_INPUT: &str = "-";
/// The longest list of names, in bytes.
const LIST_BYTES_MAX: u64 = 2 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum PagesCommand {
    /// Give a page another name, or add its views to another page
    #[command(after_long_help = examples::PAGES_RENAME)]
    Rename(RenameSettings),
    /// Remove pages, or their views of a time, as if they had never been viewed
    #[command(after_long_help = examples::PAGES_REMOVE)]
    Remove(RemovePagesSettings),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ViewsCommand {
    /// Remove the views of a time
    #[command(after_long_help = examples::VIEWS_REMOVE)]
    Remove(RemoveViewsSettings),
    /// Add views to a page in an hour, or take them away
    #[command(after_long_help = examples::VIEWS_CORRECT)]
    Correct(CorrectSettings),
}

impl PagesCommand {
    pub(super) fn common(&self) -> &CommonSettings {
        match self {
            Self::Rename(settings) => &settings.common,
            Self::Remove(settings) => &settings.common,
        }
    }
}

impl ViewsCommand {
    pub(super) fn common(&self) -> &CommonSettings {
        match self {
            Self::Remove(settings) => &settings.common,
            Self::Correct(settings) => &settings.common,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportsCommand {
    /// Take back what an import has counted
    #[command(after_long_help = examples::IMPORTS_UNDO)]
    Undo(UndoSettings),
}

/// The settings of all commands that change what was counted.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChangeSettings {
    /// Do not ask whether to go on. Without a terminal this is needed
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why: at most 1,024 bytes. It is kept and listed with the job, so put no name into it that is to be forgotten
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RenameSettings {
    /// The page's name
    #[arg(value_name = "OLD", value_parser = page_name)]
    pub(crate) from: String,
    /// The name that it gets; the views of a page that has this name already are kept, and these are added to them
    #[arg(value_name = "NEW", value_parser = page_name)]
    pub(crate) to: String,
    /// Views that are recorded by the old name later count for the page, too
    #[arg(long)]
    pub(crate) keep_alias: bool,
    #[command(flatten)]
    pub(crate) change: ChangeSettings,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RemovePagesSettings {
    #[command(flatten)]
    pub(crate) pages: ChosenPages,
    /// Only the views from this hour on: 2026-11-20T10:00:00Z, or 2026-11-20 for midnight (UTC)
    #[arg(long, value_name = "TIME", value_parser = hour, requires = "end")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// Only the views before this hour
    #[arg(long, value_name = "TIME", value_parser = hour)]
    pub(crate) end: Option<DateTime<Utc>>,
    #[command(flatten)]
    pub(crate) change: ChangeSettings,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

/// The pages that a command is about.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ChosenPages {
    /// The pages' names
    #[arg(value_name = "NAME", value_parser = page_name)]
    names: Vec<String>,
    /// A file with a name a line, at most 1,000; - is standard input
    #[arg(long, value_name = "FILE")]
    names_from: Option<PathBuf>,
    /// The pages whose names begin so
    #[arg(long, value_name = "TEXT", value_parser = text)]
    prefix: Option<String>,
    /// The pages whose names have this in them
    #[arg(long, value_name = "TEXT", value_parser = text)]
    contains: Option<String>,
    /// The pages whose names or titles have this in them, in capital or small letters
    #[arg(long, value_name = "TEXT", value_parser = text)]
    search: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct RemoveViewsSettings {
    /// All views before this hour: 2026-11-20T10:00:00Z, or 2026-11-20 for midnight (UTC)
    #[arg(long, value_name = "TIME", value_parser = hour, required_unless_present = "end", conflicts_with_all = ["start", "end"])]
    pub(crate) before: Option<DateTime<Utc>>,
    /// The views from this hour on
    #[arg(long, value_name = "TIME", value_parser = hour, requires = "end")]
    pub(crate) start: Option<DateTime<Utc>>,
    /// The views before this hour
    #[arg(long, value_name = "TIME", value_parser = hour, requires = "start")]
    pub(crate) end: Option<DateTime<Utc>>,
    #[command(flatten)]
    pub(crate) change: ChangeSettings,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CorrectSettings {
    /// The page's name
    #[arg(value_name = "PAGE", value_parser = page_name)]
    pub(crate) page: String,
    /// The hour, such as 2026-11-20T10:00:00Z
    #[arg(value_name = "HOUR", value_parser = hour)]
    pub(crate) hour: DateTime<Utc>,
    /// How many: 12 or +12 to add them, -12 to take them away. No more can be taken away than there are
    #[arg(value_name = "VIEWS", allow_negative_numbers = true, value_parser = correction)]
    pub(crate) views: i64,
    #[command(flatten)]
    pub(crate) change: ChangeSettings,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct UndoSettings {
    /// The import's number, as `analytics imports` lists it
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    pub(crate) import: i64,
    #[command(flatten)]
    pub(crate) change: ChangeSettings,
}

/// The error of a list of names that can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamesError {
    #[error("can't read the names from {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("the names from {} must be at most {LIST_BYTES_MAX} bytes long", .0.display())]
    TooLong(PathBuf),
    #[error("{}, line {line}: {problem}", .file.display())]
    Line { file: PathBuf, line: usize, problem: String },
    #[error("there must be 1 to {NAMES_MAX} names, not {0}")]
    Count(usize),
}

impl ChosenPages {
    /// Returns whether the names come by standard input, so that nothing else can be asked there.
    pub(crate) fn take_standard_input(&self) -> bool {
        self.names_from.as_ref().is_some_and(|file| file.as_os_str() == STANDARD_INPUT)
    }

    /// Returns the selection, with the names of the file.
    ///
    /// # Errors
    /// When the file can't be read, has a line that is no name, or there are too many names.
    pub(crate) fn select(self) -> Result<PageSelection, NamesError> {
        let Self { names, names_from, prefix, contains, search } = self;
        let selection = prefix.map(PageSelection::Prefix).or(contains.map(PageSelection::Contains));
        if let Some(selection) = selection.or(search.map(|text| PageSelection::Search { text, ignore_case: true })) {
            return Ok(selection);
        }
        let names = names_from.map_or(Ok(names), read_names)?;
        if names.is_empty() || names.len() > NAMES_MAX {
            return Err(NamesError::Count(names.len()));
        }
        Ok(PageSelection::Names(names))
    }
}

fn read_names(file: PathBuf) -> Result<Vec<String>, NamesError> {
    let mut text = String::new();
    let read = if file.as_os_str() == STANDARD_INPUT {
        io::stdin().take(LIST_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        File::open(&file).and_then(|opened| opened.take(LIST_BYTES_MAX + 1).read_to_string(&mut text))
    };
    match read {
        Err(source) => return Err(NamesError::File(file, source)),
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes > LIST_BYTES_MAX) => {
            return Err(NamesError::TooLong(file));
        }
        Ok(_) => {}
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    let names = lines
        .map(|(line, name)| page_name(name).map_err(|problem| NamesError::Line { file: file.clone(), line, problem }));
    names.collect()
}

/// Checks a page's name.
fn page_name(name: &str) -> Result<String, String> {
    checked(name, "the name")
}

/// Checks a part of names.
fn text(text: &str) -> Result<String, String> {
    checked(text, "the text")
}

fn checked(text: &str, what: &str) -> Result<String, String> {
    let checked = PageName::new(text.to_owned()).map_err(|invalid| invalid.of_field(what))?;
    Ok(checked.as_str().to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > REASON_BYTES_MAX {
        return Err(format!("it must be 1 to {REASON_BYTES_MAX} bytes long, and not of spaces only"));
    }
    match text.chars().all(increments::is_allowed_in_names) {
        true => Ok(text.to_owned()),
        false => Err("it must not have control characters".to_owned()),
    }
}

/// Reads a time that is the beginning of an hour.
fn hour(text: &str) -> Result<DateTime<Utc>, String> {
    let midnight = text.parse::<NaiveDate>().map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let at = midnight.or_else(|_no_date| text.parse::<DateTime<Utc>>());
    let at = at.ok().filter(|at| (0..=9_999).contains(&chrono::Datelike::year(at)));
    let at = at.filter(|at| Hour::containing(*at).start() == *at);
    at.ok_or_else(|| "it must be a whole hour of UTC, such as 2026-11-20T10:00:00Z, or a date".to_owned())
}

fn correction(text: &str) -> Result<i64, String> {
    let views =
        text.parse().ok().filter(|views: &i64| *views != 0 && views.unsigned_abs() <= CORRECTION_MAX.unsigned_abs());
    views.ok_or_else(|| format!("it must be -{CORRECTION_MAX} to {CORRECTION_MAX} and not 0"))
}
