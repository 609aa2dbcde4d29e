//! The parameters of an export: the fields of the API's `filter`, by their names.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use reports::Range;
use url::form_urlencoded;

use crate::{
    error_code::Code,
    graphql::{PageFilter, PageSearch},
    http::error::HttpError,
};

/// The most bytes of the parameters.
const PARAMETERS_BYTES_MAX: usize = 64 * 1024;

/// What is to be exported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExportParameters {
    pub(super) pages: reports::PageFilter,
    pub(super) start: Option<DateTime<Utc>>,
    pub(super) end: Option<DateTime<Utc>>,
}

impl ExportParameters {
    /// Reads the parameters `start`, `end`, and one of `names` (as often as there are names), `prefix`, `contains`,
    /// `search` (with `ignoreCase`) and `group`.
    pub(super) fn parse(query: &str) -> Result<Self, HttpError> {
        if query.len() > PARAMETERS_BYTES_MAX {
            let message = format!("the parameters must be at most {PARAMETERS_BYTES_MAX} bytes");
            return Err(HttpError::new(StatusCode::URI_TOO_LONG, Code::PayloadTooLarge, message));
        }
        let (mut names, mut others) = (Vec::new(), Vec::new());
        let (mut start, mut end, mut ignore_case) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "names" => names.push(value),
                "prefix" => others.push(PageFilter::Prefix(value)),
                "contains" => others.push(PageFilter::Contains(value)),
                "group" => others.push(PageFilter::Group(value)),
                "search" => others.push(PageFilter::Search(PageSearch { text: value, ignore_case: true })),
                "start" => set_once(&mut start, "start", moment("start", &value)?)?,
                "end" => set_once(&mut end, "end", moment("end", &value)?)?,
                "ignoreCase" => set_once(&mut ignore_case, "ignoreCase", truth("ignoreCase", &value)?)?,
                other => {
                    let other: String = other.chars().filter(|character| !character.is_control()).take(64).collect();
                    return Err(HttpError::malformed(format!(
                        "there is no parameter \"{other}\": they are names, prefix, contains, search, ignoreCase, group, \
                         start and end"
                    )));
                }
            }
        }
        if !names.is_empty() {
            others.push(PageFilter::Names(names));
        }
        if others.len() > 1 {
            return Err(HttpError::malformed("only one of names, prefix, contains, search and group may be given"));
        }
        let pages = match (others.pop(), ignore_case) {
            (None, None) => None,
            (Some(PageFilter::Search(search)), Some(ignore_case)) => {
                Some(PageFilter::Search(PageSearch { ignore_case, ..search }))
            }
            (_, Some(_)) => return Err(HttpError::malformed("ignoreCase belongs to search")),
            (pages, None) => pages,
        };
        // The parameters have the names of the API's fields, without the fields around them.
        let malformed = |message: String| {
            HttpError::malformed(message.replace("filter.pages.", "").replace("filter.interval.range.", ""))
        };
        let pages = pages.map_or(Ok(reports::PageFilter::All), PageFilter::parse);
        let pages = pages.map_err(|wrong| malformed(wrong.message))?;
        // Both bounds are checked as those of the API's range.
        let range = Range::new(start.or(end).unwrap_or_default(), end.or(start).unwrap_or_default());
        range.map_err(|wrong| malformed(wrong.to_string()))?;
        Ok(Self { pages, start, end })
    }
}

fn set_once<T>(value: &mut Option<T>, name: &str, new: T) -> Result<(), HttpError> {
    match value.replace(new) {
        None => Ok(()),
        Some(_) => Err(HttpError::malformed(format!("{name} is given twice"))),
    }
}

fn moment(name: &str, text: &str) -> Result<DateTime<Utc>, HttpError> {
    text.parse().map_err(|_wrong| {
        HttpError::malformed(format!(
            "{name} must be a time such as 2026-01-31T13:00:00Z (a + has to be written as %2B)"
        ))
    })
}

fn truth(name: &str, text: &str) -> Result<bool, HttpError> {
    text.parse().map_err(|_wrong| HttpError::malformed(format!("{name} must be true or false")))
}
