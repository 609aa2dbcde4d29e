//! A format as it is written in a configuration: nginx's `log_format`, Apache's `LogFormat`.
//!
//! A line is matched from left to right, without ever going back: each field extends to what the template has behind
//! it, a time as far as its form does. So the time is linear in the line's length.

mod syntax;

use std::borrow::Cow;
use std::fmt;

use chrono::format::{Item, Parsed, parse_and_remainder};
use chrono::{DateTime, Utc};
use memchr::memchr_iter;
use memchr::memmem::{find, find_iter};

use crate::escape::unescape_backslashes;
use crate::line::{LineError, LogLine};
use crate::text::{is_escaped, parse_status, split_request};
use crate::time::{read_time, read_unix_text};

/// A format as it is written in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The template as it was given.
    text: String,
    parts: Vec<Part>,
    /// Whether the server writes what it can't write otherwise with backslashes.
    has_escapes: bool,
}

/// The reason why a text can't be used as a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template has no field of a time.
    #[error("the template has no time, such as $time_local, $time_iso8601 or $msec; %t")]
    NoTime,
    /// The template has no field of a path.
    #[error("the template has no path, such as $request, $request_uri or $uri; %r or %U")]
    NoPath,
    /// The template has no status.
    #[error("the template has no status ($status; %>s), without which errors would count as views")]
    NoStatus,
    /// A field of Apache's is not known.
    #[error("the template has an unknown field: {0}")]
    Unknown(String),
    /// Nothing separates two fields.
    #[error("nothing stands between {0} and {1} in the template, so they can't be told apart")]
    Adjacent(String, String),
    /// The time can't be read in this form.
    #[error("the times of the template do not say day, hour and minute in a form that can be read: {0}")]
    TimeForm(String),
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Field(Field, /* as it is written */ String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    /// A field that does not matter.
    Other,
    /// Method, target and protocol.
    Request,
    Method,
    Target,
    /// What may follow the target at once: it is a part of it.
    Query,
    Status,
    /// A time in Apache's, nginx's or ISO 8601's form.
    Time,
    /// A time since 1970.
    UnixTime,
    /// A time, or a part of one, in a form of `strftime`.
    Strftime(Vec<Item<'static>>),
    UserAgent,
}

/// The values of the fields that a line has.
#[derive(Default)]
struct Found<'a> {
    request: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    status: Option<u16>,
    time: Option<DateTime<Utc>>,
    /// The time by its pieces in forms of `strftime`.
    pieces: Option<Parsed>,
    user_agent: Option<&'a [u8]>,
    /// The number of parts of the template that were found up to their ends.
    parts: usize,
}

impl Template {
    /// Reads a template as it is written in a configuration: with or without the directive, its name and quotes.
    ///
    /// # Errors
    /// [`TemplateError`] if page views can't be counted by it.
    pub(crate) fn new(text: &str) -> Result<Self, TemplateError> {
        syntax::read(text)
    }

    /// Returns whether a line begins with a brace: the template is one of JSON.
    pub(crate) fn begins_with_brace(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Literal(text)) if text.starts_with(b"{"))
    }

    /// Parses a line. What stands before may be a prefix of syslog or of containers. A line that is cut off behind
    /// time, path and status is readable.
    pub(crate) fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LineError> {
        let found = self.find(line);
        let prefixes = [&b"| "[..], b": "];
        let ends = prefixes.into_iter().filter_map(|end| Some(find(line, end)? + end.len()));
        let found =
            found.or_else(|error| ends.into_iter().find_map(|end| self.find(&line[end..]).ok()).ok_or(error))?;
        let (method, target) = found.request.map(split_request).unwrap_or_default();
        let method = found.method.unwrap_or(if found.request.is_some() { method } else { b"GET" });
        let target = found.target.unwrap_or(target);
        let target = if self.has_escapes { unescape_backslashes(target) } else { Cow::from(target) };
        let time = found.time.ok_or(LineError::NoTime)?;
        LogLine::new(method, target, found.status.ok_or(LineError::Status)?, time, found.user_agent)
    }

    /// Returns whether nothing that is appended to the line can change what it says.
    pub(crate) fn is_complete(&self, line: &[u8]) -> bool {
        let is_other = |part: &Part| matches!(part, Part::Literal(_) | Part::Field(Field::Other, _));
        let last = self.parts.iter().rposition(|part| !is_other(part)).unwrap_or(self.parts.len());
        // The end of a field is what stands behind it.
        self.find(line).is_ok_and(|found| found.parts > last + 1)
    }

    /// Matches a line with the template.
    fn find<'a>(&self, line: &'a [u8]) -> Result<Found<'a>, LineError> {
        let mut found = Found::default();
        let mut rest = line;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => match rest.strip_prefix(text.as_slice()) {
                    Some(after) => rest = after,
                    None if text.starts_with(rest) => break,
                    None => return Err(self.mismatch(index)),
                },
                Part::Field(field, _) => match self.take(field, index, rest, &mut found) {
                    Some(after) => rest = after,
                    None if is_text(field) => {
                        // The line was cut off within this field.
                        if !matches!(field, Field::UserAgent | Field::Other) {
                            return Err(self.mismatch(index));
                        }
                        if *field == Field::UserAgent {
                            found.user_agent = Some(rest);
                        }
                        break;
                    }
                    None => return Err(self.mismatch(index)),
                },
            }
            found.parts += 1;
        }
        if let (None, Some(pieces)) = (found.time, &found.pieces) {
            found.time = time_of(pieces);
        }
        let is_enough = found.time.is_some() && found.status.is_some();
        if is_enough && (found.request.is_some() || found.target.is_some()) {
            Ok(found)
        } else {
            Err(self.mismatch(found.parts))
        }
    }

    /// Reads the field at `index` from the beginning of `rest`, and returns what follows it. Returns `None` if it is
    /// not there, or has no end.
    fn take<'a>(&self, field: &Field, index: usize, rest: &'a [u8], found: &mut Found<'a>) -> Option<&'a [u8]> {
        match field {
            Field::Time => {
                let (time, after) = read_time(rest)?;
                found.time = found.time.or(Some(time.utc()));
                Some(after)
            }
            Field::UnixTime => {
                let is_digit = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
                let (number, after) = rest.split_at(rest.iter().position(|byte| !is_digit(byte)).unwrap_or(rest.len()));
                found.time = found.time.or(Some(read_unix_text(number)?));
                Some(after)
            }
            Field::Strftime(items) => {
                let text = rest.utf8_chunks().next()?.valid();
                let after = parse_and_remainder(found.pieces.get_or_insert_default(), text, items.iter()).ok()?;
                Some(&rest[text.len() - after.len()..])
            }
            Field::Status => {
                let (word, after) = rest.split_at_checked(if rest.starts_with(b"-") { 1 } else { 3 })?;
                let status = if word == b"-" { 0 } else { parse_status(word)? };
                found.status = found.status.or(Some(status));
                (!after.first().is_some_and(u8::is_ascii_digit)).then_some(after)
            }
            Field::Other | Field::Request | Field::Method | Field::Target | Field::Query | Field::UserAgent => {
                let end = self.end_of(field, index, rest)?;
                let value = Some(&rest[..end]);
                match field {
                    Field::Request => found.request = found.request.or(value),
                    Field::Method => found.method = found.method.or(value),
                    Field::Target => found.target = found.target.or(value),
                    Field::UserAgent => found.user_agent = found.user_agent.or(value),
                    _ => {}
                }
                Some(&rest[end..])
            }
        }
    }

    /// Finds where the text of a field ends: where the template's next part begins.
    fn end_of(&self, field: &Field, index: usize, rest: &[u8]) -> Option<usize> {
        let literal = match self.parts.get(index + 1) {
            None => return Some(rest.len()),
            // The target begins with a slash.
            Some(Part::Field(..)) => return memchr::memchr(b'/', rest),
            Some(Part::Literal(text)) => text.as_slice(),
        };
        if literal.starts_with(b"\"") && self.has_escapes {
            return memchr_iter(b'"', rest).find(|&at| rest[at..].starts_with(literal) && !is_escaped(rest, at));
        }
        match (field, self.parts.get(index + 2)) {
            // A target may have spaces, and the protocol follows it.
            (Field::Request, _) => {
                let protocol = find(rest, b" HTTP/").map_or(0, |at| at + 1);
                Some(protocol + find(&rest[protocol..], literal)?)
            }
            // A user name may look like what stands before the time.
            (_, Some(Part::Field(Field::Time, _))) => {
                find_iter(rest, literal).find(|&at| read_time(&rest[at + literal.len()..]).is_some())
            }
            _ => find(rest, literal),
        }
    }

    fn mismatch(&self, index: usize) -> LineError {
        LineError::Template(match self.parts.get(index) {
            Some(Part::Field(_, name)) => name.clone(),
            Some(Part::Literal(text)) => String::from_utf8_lossy(text).into_owned(),
            None => "its end".to_owned(),
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns whether a field is any text, up to what follows it.
fn is_text(field: &Field) -> bool {
    !matches!(field, Field::Time | Field::UnixTime | Field::Strftime(_) | Field::Status)
}

/// Makes a time of its pieces, as UTC if they have no offset.
fn time_of(pieces: &Parsed) -> Option<DateTime<Utc>> {
    let time = pieces.to_datetime().map(|time| time.to_utc());
    time.or_else(|_| pieces.to_naive_datetime_with_offset(0).map(|time| time.and_utc())).ok()
}

#[cfg(test)]
mod tests;
