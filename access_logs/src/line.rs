//! What a line says of a request, and why a line can't be read.

use std::borrow::Cow;
use std::str::Utf8Error;

use chrono::{DateTime, Utc};

use crate::text::is_given;

/// The earliest time of a page view, as for other increments: 2000-01-01T00:00:00Z as a Unix time.
const EARLIEST_S: i64 = 946_684_800;

/// The fields of a line that matter for counting page views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The request's method, `GET` if the format has none; `-` or empty if the server received no request.
    pub method: Cow<'a, [u8]>,
    /// The request's target as it was requested, without the server's escapes; empty if there is none.
    pub target: Cow<'a, str>,
    /// The response's status; 0 if there was none.
    pub status: u16,
    /// When the request came, by the server's clock: not before the year 2000.
    pub time: DateTime<Utc>,
    /// The user agent as it is in the log. `None` if the format has none, or if it is `-` or empty.
    pub user_agent: Option<Cow<'a, str>>,
}

/// The reason why a line can't be read. No error repeats the line, which has the client's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is too long. [`Parser`](crate::Parser) never returns this error, but the reader of lines does.
    #[error("the line is longer than {bytes_max} bytes")]
    TooLong {
        /// The longest line that is read.
        bytes_max: usize,
    },
    /// The line has no request between two quotes.
    #[error("there is no request in quotes")]
    Request,
    /// The target is not UTF-8. Well-behaved clients and servers escape everything but ASCII.
    #[error("the request's target is not UTF-8")]
    Target(#[source] Utf8Error),
    /// The line has no time where one is expected.
    #[error("there is no time")]
    NoTime,
    /// The time is not written as servers do.
    #[error("the time is not written as in 17/May/2015:10:05:03 +0000 or 2015-05-17T10:05:03Z")]
    Time,
    /// The time is before the year 2000.
    #[error("the time is before the year 2000")]
    TooEarly,
    /// The time is more than five minutes ahead. [`Parser`](crate::Parser) knows no clock and never returns this error.
    #[error("the time is in the future")]
    TooLate,
    /// The line is no JSON object, or has something that JSON does not allow.
    #[error("it is not a JSON object on one line")]
    Json,
    /// The object has no field that is known as a request's target.
    #[error("there is no field with a request or a path")]
    NoTarget,
    /// No line before it says which columns it has.
    #[error("there is no #Fields line before it")]
    NoFields,
    /// The line has more columns than were named, so they would be taken for others.
    #[error("it has more columns than the #Fields line before it names")]
    Columns,
    /// The line differs from the template, from this part of the template on.
    #[error("it is not as the format says, from {0} on")]
    Template(String),
    /// There is no status where one is expected.
    #[error("the status is not a number of three digits")]
    Status,
}

impl<'a> LogLine<'a> {
    /// Makes a line of its parts. `target` is without escapes, `user_agent` may be empty or `-`.
    ///
    /// # Errors
    /// [`LineError::Target`] if the target is not UTF-8, and [`LineError::TooEarly`].
    pub(crate) fn new(
        method: &'a [u8],
        target: Cow<'a, [u8]>,
        status: u16,
        time: DateTime<Utc>,
        user_agent: Option<&'a [u8]>,
    ) -> Result<Self, LineError> {
        let target = match target {
            Cow::Borrowed(bytes) => Cow::from(str::from_utf8(bytes).map_err(LineError::Target)?),
            Cow::Owned(bytes) => {
                Cow::from(String::from_utf8(bytes).map_err(|error| LineError::Target(error.utf8_error()))?)
            }
        };
        let user_agent = user_agent.filter(|text| is_given(text)).map(String::from_utf8_lossy);
        Self { method: Cow::from(method), target, status, time, user_agent }.checked()
    }

    /// Returns the line if its time can be that of a page view.
    ///
    /// # Errors
    /// [`LineError::TooEarly`]
    pub(crate) fn checked(self) -> Result<Self, LineError> {
        if self.time.timestamp() < EARLIEST_S { Err(LineError::TooEarly) } else { Ok(self) }
    }

    /// Returns the line with a copy of all that it borrows.
    pub(crate) fn into_owned(self) -> LogLine<'static> {
        LogLine {
            method: Cow::from(self.method.into_owned()),
            target: Cow::from(self.target.into_owned()),
            status: self.status,
            time: self.time,
            user_agent: self.user_agent.map(|text| Cow::from(text.into_owned())),
        }
    }
}
