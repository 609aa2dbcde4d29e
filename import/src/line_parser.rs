//! Reads the lines of a file: of an access log, or of counts.

use chrono::{DateTime, Utc};
use counts::{Count, CountedTime, LineError, Parsed};
use entity::Hour;
use increments::{BackDating, PageName, Title, ValidationError, check_at};

use crate::{
    lines::{LINE_BYTES_MAX, Line},
    rules::LeftOut,
    unreadable::Unreadable,
};

/// The parser of a file's lines.
#[derive(Debug)]
pub(crate) enum LineParser {
    /// Of an access log.
    Log(access_logs::Parser),
    /// Of counts.
    Counts(counts::Parser),
}

/// A valid count.
pub(crate) struct ValidCount {
    pub(crate) page: String,
    pub(crate) title: Option<String>,
    pub(crate) hour: Hour,
    pub(crate) is_day: bool,
    pub(crate) views: i64,
}

impl LineParser {
    /// Takes notice of a line that is not to be read.
    pub(crate) fn skip(&mut self, line: &[u8]) {
        match self {
            Self::Log(parser) => parser.skip(line),
            Self::Counts(parser) => parser.skip(line),
        }
    }

    /// Returns whether a line without an end can be read as it is, at the end of a file.
    pub(crate) fn is_complete(&self, line: &[u8]) -> bool {
        match self {
            Self::Log(parser) => parser.is_complete(line),
            Self::Counts(_) => !line.is_empty(),
        }
    }
}

/// Reads a line of counts; none if it has nothing to read.
pub(crate) fn judge_count(
    parser: &mut counts::Parser,
    line: Line<'_>,
    now: DateTime<Utc>,
) -> Option<Result<Result<ValidCount, LeftOut>, Unreadable>> {
    if line.is_too_long {
        return Some(Err(access_logs::LineError::TooLong { bytes_max: LINE_BYTES_MAX }.into()));
    }
    match parser.parse(line.text) {
        Ok(None) => None,
        Ok(Some(Parsed::Count(count))) => Some(valid(count, now).map(Ok).map_err(Unreadable::from)),
        Ok(Some(Parsed::LeftOut(reason))) => Some(Ok(Err(match reason {
            counts::LeftOut::Event => LeftOut::Event,
            counts::LeftOut::Bot => LeftOut::Bot,
            counts::LeftOut::NoViews => LeftOut::NoViews,
        }))),
        Err(error) => Some(Err(error.into())),
    }
}

/// Checks a count by the rules of increments. A title is made to fit.
fn valid(count: Count, now: DateTime<Utc>) -> Result<ValidCount, LineError> {
    let Count { page, title, time, views } = count;
    let hour = time.first_hour();
    let wrong = |field: &'static str, error: &ValidationError| {
        let text = error.to_string();
        let problem = text.strip_prefix(error.field).unwrap_or(&text).trim_start().to_owned();
        LineError::Field { field, problem }
    };
    check_at(hour.start(), now, BackDating::Any).map_err(|error| wrong("start", &error))?;
    let page = PageName::new(page).map_err(|error| wrong("page", &error))?;
    let title = title.as_deref().and_then(Title::of_page).map(|title| title.as_str().to_owned());
    Ok(ValidCount { page: page.as_str().to_owned(), title, hour, is_day: matches!(time, CountedTime::Day(_)), views })
}
