//! Reads lines of one log in order.

use std::borrow::Cow;

use serde::Deserialize;

use crate::format::Format;
use crate::line::{LineError, LogLine};
use crate::{combined, json};

/// How a line begins that Docker's `json-file` driver wrote, with the server's line inside.
const DOCKER: &[u8] = br#"{"log":""#;

/// Reads the lines of one log in order. Some formats have lines that say how later ones are to be read.
#[derive(Clone, Debug)]
pub struct Parser {
    format: Format,
}

/// The part of a line of Docker's `json-file` driver that the server wrote.
#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
}

impl Parser {
    /// Returns a parser at the beginning of a log.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Parses a line, with or without its line end (LF or CRLF), in time linear in its length. Returns `None` for a line
    /// that is no request: an empty one, a comment, a directive.
    ///
    /// # Errors
    /// [`LineError`] of the first part that can't be read.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Result<Option<LogLine<'a>>, LineError> {
        let line = trim(line);
        if line.is_empty() {
            return Ok(None);
        }
        match self.unwrap_docker(line) {
            Some(inner) => Ok(self.parse_inner(trim(inner.as_bytes()))?.map(LogLine::into_owned)),
            None => self.parse_inner(line),
        }
    }

    /// Takes notice of a line that is not counted, because it was counted before.
    pub fn skip(&mut self, _line: &[u8]) {}

    /// Returns whether [`skip`](Self::skip) has to see the lines that are not counted.
    #[must_use]
    pub fn has_directives(&self) -> bool {
        false
    }

    /// Returns whether what a line says is certain though it has no line end yet: nothing that may still be appended to
    /// it can change page, status, time or user agent.
    #[must_use]
    pub fn is_complete(&self, unterminated: &[u8]) -> bool {
        let line = trim(unterminated);
        if self.unwrap_docker(line).is_some() {
            return true;
        }
        match self.format {
            Format::Combined => combined::is_complete(line),
            Format::Json => json::is_complete(line),
        }
    }

    fn parse_inner<'a>(&mut self, line: &'a [u8]) -> Result<Option<LogLine<'a>>, LineError> {
        match self.format {
            Format::Combined => combined::parse(line).map(Some),
            Format::Json => json::parse(line).map(Some),
        }
    }

    /// Returns the server's line if Docker wrote this one.
    fn unwrap_docker<'a>(&self, line: &'a [u8]) -> Option<Cow<'a, str>> {
        if self.format == Format::Json || !line.starts_with(DOCKER) {
            return None;
        }
        serde_json::from_slice::<DockerLine<'_>>(line).ok().map(|line| line.log)
    }
}

/// Returns the line without line end, zeros and the mark of UTF-8 at its ends. A machine that crashed can leave zeros in
/// a log, before the next line.
fn trim(line: &[u8]) -> &[u8] {
    let line = match line.first() {
        Some(0) => &line[line.iter().position(|&byte| byte != 0).unwrap_or(line.len())..],
        Some(0xef) => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
        _ => line,
    };
    line.trim_ascii()
}
