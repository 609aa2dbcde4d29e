//! Reads lines of one log in order.

use std::borrow::Cow;

use serde::Deserialize;

use crate::format::Format;
use crate::line::{LineError, LogLine};
use crate::w3c::Directives;
use crate::{combined, haproxy, json, load_balancer};

/// How a line begins that Docker's `json-file` driver wrote, with the server's line inside.
const DOCKER: &[u8] = br#"{"log":""#;

/// Reads the lines of one log in order. Some formats have lines that say how later ones are to be read.
#[derive(Clone, Debug)]
pub struct Parser {
    format: Format,
    directives: Directives,
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
        Self { format, directives: Directives::default() }
    }

    /// Parses a line, with or without its line end (LF or CRLF), in time linear in its length. Returns `None` for a
    /// line that is no request: an empty one, a comment, a directive.
    ///
    /// # Errors
    /// [`LineError`] of the first part that can't be read.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Result<Option<LogLine<'a>>, LineError> {
        let line = self.trim(line);
        if line.is_empty() {
            return Ok(None);
        }
        match self.unwrap_docker(line) {
            Some(inner) => Ok(self.parse_inner(self.trim(inner.as_bytes()))?.map(LogLine::into_owned)),
            None => self.parse_inner(line),
        }
    }

    /// Takes notice of a line that is not counted, because it was counted before.
    pub fn skip(&mut self, line: &[u8]) {
        if self.format == Format::W3c {
            let line = self.trim(line);
            match self.unwrap_docker(line) {
                Some(inner) => self.directives.read(self.trim(inner.as_bytes())),
                None => self.directives.read(line),
            };
        }
    }

    /// Returns whether [`skip`](Self::skip) has to see the lines that are not counted.
    #[must_use]
    pub fn has_directives(&self) -> bool {
        self.format == Format::W3c
    }

    /// Returns whether what a line says is certain though it has no line end yet: nothing that may still be appended to
    /// it can change page, status, time or user agent.
    #[must_use]
    pub fn is_complete(&self, unterminated: &[u8]) -> bool {
        let line = trim_start(unterminated);
        if self.unwrap_docker(line).is_some() {
            return true;
        }
        match &self.format {
            Format::Combined => combined::is_complete(line),
            Format::Json => json::is_complete(line),
            Format::W3c => self.directives.is_complete(line),
            Format::LoadBalancer => load_balancer::is_complete(line),
            Format::HaProxy => haproxy::is_complete(line),
            Format::Template(template) => template.is_complete(line),
        }
    }

    fn parse_inner<'a>(&mut self, line: &'a [u8]) -> Result<Option<LogLine<'a>>, LineError> {
        match &self.format {
            Format::Combined => combined::parse(line).map(Some),
            Format::Json => json::parse(line).map(Some),
            Format::W3c if self.directives.read(line) => Ok(None),
            Format::W3c => self.directives.parse(line).map(Some),
            Format::LoadBalancer => load_balancer::parse(line).map(Some),
            Format::HaProxy => haproxy::parse(line).map(Some),
            Format::Template(template) => template.parse(line).map(Some),
        }
    }

    /// Returns the line without its line end, and without spaces at its ends, but for those that are empty columns.
    fn trim<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let line = trim_start(line);
        if self.format != Format::W3c {
            return line.trim_ascii_end();
        }
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        &line[..end]
    }

    /// Returns the server's line if Docker wrote this one.
    fn unwrap_docker<'a>(&self, line: &'a [u8]) -> Option<Cow<'a, str>> {
        let is_json = match &self.format {
            Format::Json => true,
            Format::Template(template) => template.begins_with_brace(),
            _ => false,
        };
        if is_json || !line.starts_with(DOCKER) {
            return None;
        }
        // Not to the end of the line: what follows the object does not matter.
        DockerLine::deserialize(&mut serde_json::Deserializer::from_slice(line)).ok().map(|line| line.log)
    }
}

/// Returns the line without spaces, zeros and the mark of UTF-8 at its beginning. A machine that crashed can leave
/// zeros in a log, before the next line.
fn trim_start(line: &[u8]) -> &[u8] {
    let text = match line.first() {
        Some(0) => &line[line.iter().position(|&byte| byte != 0).unwrap_or(line.len())..],
        _ => line,
    };
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "Mozilla/5.0""#;

    fn parse(line: &str) -> Result<Option<LogLine<'_>>, LineError> {
        Parser::new(Format::Combined).parse(line.as_bytes())
    }

    #[test]
    fn line_ends_zeros_and_the_mark_of_utf8_are_not_of_the_line() {
        let expected = parse(LINE).unwrap().unwrap();
        for (before, after) in [("", "\n"), ("", "\r\n"), ("\0\0\0", " \n"), ("\u{feff}", "")] {
            assert_eq!(parse(&format!("{before}{LINE}{after}")), Ok(Some(expected.clone())), "{before:?}{after:?}");
        }
        for line in ["", "\n", "\r\n", " \t\n", "\0\0\0\n"] {
            assert_eq!(parse(line), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn line_within_a_line_of_docker_is_read() {
        let line = LINE.replace("/a", r"/\xC3\xA9\x22");
        let inside = line.replace('\\', r"\\").replace('"', r#"\""#);
        let docker = format!(r#"{{"log":"{inside}\n","stream":"stdout","time":"2015-05-17T11:05:03.1Z"}}"#);
        assert_eq!(parse(&docker), parse(&line));
        assert_eq!(parse(&docker).unwrap().unwrap().target, "/\u{e9}\"");
        let parser = Parser::new(Format::Combined);
        assert!(parser.is_complete(docker.as_bytes()) && !parser.is_complete(&docker.as_bytes()[..docker.len() - 1]));
    }

    #[test]
    fn directives_count_in_skipped_lines_too() {
        let fields = "#Fields: date time cs-uri-stem sc-status";
        let docker = format!(r#"{{"log":"{fields}\r\n","stream":"stdout"}}"#);
        let line = b"2015-05-17 10:05:03 /a 200\r\n";
        for (skip, fields) in [(true, fields), (false, fields), (true, &docker), (false, &docker)] {
            let fields = fields.as_bytes();
            let mut parser = Parser::new(Format::W3c);
            assert!(parser.has_directives());
            assert_eq!(parser.parse(line), Err(LineError::NoFields));
            if skip {
                parser.skip(fields);
            } else {
                assert_eq!(parser.parse(fields), Ok(None));
            }
            assert_eq!(parser.parse(line).unwrap().unwrap().target, "/a");
        }
        assert!(!Parser::new(Format::Combined).has_directives());
    }
}
