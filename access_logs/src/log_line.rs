//! One line of a web server's access log, in Apache's and nginx's *common* or *combined* format.
//!
//! ```text
//! host ident user [17/May/2015:10:05:03 +0000] "GET /path?x HTTP/1.1" 200 123 "referer" "user agent"
//! ```
//!
//! The first quote opens the request. Both servers escape quotes in the fields before it, so user names with spaces,
//! brackets and quotes can't mislead the parser. The last bracket before that quote opens the time. Everything before
//! the time is ignored: the client's address, the user, and a virtual host that some logs begin with.

use std::borrow::Cow;
use std::str::Utf8Error;

use chrono::{DateTime, Utc};
use entity::AHEAD_MAX;

const TIME_FORMAT: &str = "%d/%b/%Y:%H:%M:%S %z";
const STATUS_DIGITS: usize = 3;

/// The earliest time of a page view, as for other increments: 2000-01-01T00:00:00Z as a Unix time.
const EARLIEST_S: i64 = 946_684_800;

/// The fields of a line that matter for counting page views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The request's method; `-` or empty if the server received no request.
    pub method: &'a [u8],
    /// The request's target as it is in the log; empty if there is none.
    pub target: &'a str,
    /// The response's status. Some servers write 000 for a connection that was closed without a response.
    pub status: u16,
    /// When the request came: not before the year 2000, and at most five minutes ahead.
    pub time: DateTime<Utc>,
    /// The user agent as it is in the log. `None` in the common format, or if it is `-` or empty.
    pub user_agent: Option<Cow<'a, str>>,
}

/// The reason why a line can't be read. No error repeats the line, which has the client's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line is too long. [`LogLine::parse`] never returns this error, but the reader of lines does.
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
    /// The line has no brackets before the request.
    #[error("there is no time in brackets before the request")]
    NoTime,
    /// The text in the brackets is not a time.
    #[error("the time is not written as in [17/May/2015:10:05:03 +0000]")]
    Time(#[source] chrono::ParseError),
    /// The time is before the year 2000.
    #[error("the time is before the year 2000")]
    TooEarly,
    /// The time is more than five minutes ahead.
    #[error("the time is in the future")]
    TooLate,
    /// The request is not followed by a status.
    #[error("the status after the request is not a number of three digits")]
    Status,
    /// The status is not followed by a size.
    #[error("the size after the status is neither a number nor -")]
    Size,
    /// The line is neither in the common format, which ends with the size, nor in the combined one. If it was read as
    /// a common one, bots would count as people.
    #[error("what follows the size is not a referrer and a user agent in quotes")]
    UserAgent,
}

impl<'a> LogLine<'a> {
    /// Parses a line, with or without its line end (LF or CRLF), in time linear in its length.
    ///
    /// # Errors
    /// [`LineError`] of the first part that can't be read. A time before the year 2000 or more than five minutes after
    /// `now` is an error too, since the service would refuse it.
    pub fn parse(line: &'a [u8], now: DateTime<Utc>) -> Result<Self, LineError> {
        let opening = unescaped_quote(line).ok_or(LineError::Request)?;
        let time = parse_time(&line[..opening], now)?;
        let (request, rest) = quoted(&line[opening..]).ok_or(LineError::Request)?;
        let (method, target) = split_request(request);
        let target = str::from_utf8(target).map_err(LineError::Target)?;
        let (status, rest) = split_word(rest);
        let status = parse_status(status).ok_or(LineError::Status)?;
        let (size, rest) = split_word(rest);
        if size != b"-" && !is_number(size) {
            return Err(LineError::Size);
        }
        Ok(Self { method, target, status, time, user_agent: parse_user_agent(rest)? })
    }
}

/// Parses the time from the text before the request's quote.
fn parse_time(head: &[u8], now: DateTime<Utc>) -> Result<DateTime<Utc>, LineError> {
    let head = head.trim_ascii_end().strip_suffix(b"]").ok_or(LineError::NoTime)?;
    let bracket = head.iter().rposition(|&byte| byte == b'[').ok_or(LineError::NoTime)?;
    let text = String::from_utf8_lossy(&head[bracket + 1..]);
    let time = DateTime::parse_from_str(&text, TIME_FORMAT).map_err(LineError::Time)?.to_utc();
    if time.timestamp() < EARLIEST_S {
        return Err(LineError::TooEarly);
    }
    if time.signed_duration_since(now) > AHEAD_MAX {
        return Err(LineError::TooLate);
    }
    Ok(time)
}

/// Splits a request such as `GET /a HTTP/1.1` into method and target. A request of HTTP/0.9 has no protocol at the end,
/// and the target of a broken client may have spaces.
fn split_request(request: &[u8]) -> (&[u8], &[u8]) {
    let (method, rest) = split_word(request);
    let rest = rest.trim_ascii();
    match rest.iter().rposition(|&byte| byte == b' ') {
        Some(space) if rest[space + 1..].starts_with(b"HTTP/") => (method, rest[..space].trim_ascii_end()),
        None if rest.starts_with(b"HTTP/") => (method, b""),
        _ => (method, rest),
    }
}

fn parse_status(word: &[u8]) -> Option<u16> {
    if word.len() != STATUS_DIGITS || !is_number(word) {
        return None;
    }
    Some(word.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// Parses the user agent from the text after the size. Further fields, which sites can add, are ignored.
fn parse_user_agent(rest: &[u8]) -> Result<Option<Cow<'_, str>>, LineError> {
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return Ok(None);
    }
    let (_referrer, rest) = quoted(rest).ok_or(LineError::UserAgent)?;
    let (user_agent, _others) = quoted(rest.trim_ascii_start()).ok_or(LineError::UserAgent)?;
    let is_given = !matches!(user_agent, b"" | b"-");
    Ok(is_given.then(|| String::from_utf8_lossy(user_agent)))
}

/// Returns the content of the quoted field that `text` begins with, with its escapes, and the text after the field.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let closing = unescaped_quote(inside)?;
    Some((&inside[..closing], &inside[closing + 1..]))
}

/// Returns the position of the first quote that is not escaped by a backslash.
fn unescaped_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// Returns the first word of `text`, which may be empty, and the text after it.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    text.split_at(end)
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON: &str = r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 123"#;

    fn now() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn parse(line: &str) -> Result<LogLine<'_>, LineError> {
        LogLine::parse(line.as_bytes(), now())
    }

    #[test]
    fn common_format_has_no_user_agent() {
        let line = parse(COMMON).unwrap();
        let time = "2015-05-17T10:05:03Z".parse().unwrap();
        assert_eq!(line, LogLine { method: b"GET", target: "/a?b", status: 200, time, user_agent: None });
        for end in ["\n", "\r\n", " \r\n"] {
            assert_eq!(parse(&format!("{COMMON}{end}")).unwrap(), line, "{end:?}");
        }
    }

    #[test]
    fn combined_format_has_a_user_agent_and_may_have_further_fields() {
        for (rest, user_agent) in [
            (r#""http://e.org/" "Mozilla/5.0 (X11)""#, Some("Mozilla/5.0 (X11)")),
            (r#""-" "a \"quoted\\\" name" 0.005 "more"#, Some(r#"a \"quoted\\\" name"#)),
            (r#""-" "-""#, None),
            (r#""-" """#, None),
        ] {
            let text = format!("{COMMON} {rest}\r\n");
            assert_eq!(parse(&text).unwrap().user_agent.as_deref(), user_agent, "{rest}");
        }
    }

    #[test]
    fn request_is_split_into_method_and_target() {
        for (request, method, target) in [
            ("GET /a HTTP/1.1", "GET", "/a"),
            ("GET /a", "GET", "/a"),
            ("GET http://e.org/a HTTP/1.1", "GET", "http://e.org/a"),
            ("GET /a b HTTP/1.0", "GET", "/a b"),
            (r#"GET /a\"b HTTP/2.0"#, "GET", r#"/a\"b"#),
            ("GET HTTP/1.1", "GET", ""),
            ("-", "-", ""),
            ("", "", ""),
            (r"\x16\x03\x01", r"\x16\x03\x01", ""),
        ] {
            let text = format!(r#"h - - [17/May/2015:10:05:03 +0000] "{request}" 200 -"#);
            let line = parse(&text).unwrap();
            assert_eq!((line.method, line.target), (method.as_bytes(), target), "{request}");
        }
    }

    #[test]
    fn user_names_may_hold_spaces_brackets_and_escaped_quotes() {
        for user in ["-", "Jane Doe", "[jane]", "a [17/May/1999:10:05:03 +0000] b", r#"\"GET / HTTP/1.1\" 200 1"#] {
            let text = format!(r#"h - {user} [17/May/2015:12:05:03 +0200] "GET /a HTTP/1.1" 304 -"#);
            let line = parse(&text).unwrap();
            assert_eq!(line.time, "2015-05-17T10:05:03Z".parse::<DateTime<Utc>>().unwrap(), "{user}");
            assert_eq!((line.target, line.status), ("/a", 304), "{user}");
        }
    }

    #[test]
    fn only_the_target_has_to_be_utf8() {
        let line =
            b"\xe9 - \xe9 [17/May/2015:10:05:03 +0000] \"GET /caf\xc3\xa9 HTTP/1.1\" 200 1 \"\xe9\" \"\xe9 agent\"";
        let line = LogLine::parse(line, now()).unwrap();
        assert_eq!((line.target, line.user_agent.as_deref()), ("/caf\u{e9}", Some("\u{fffd} agent")));
        let line = b"h - - [17/May/2015:10:05:03 +0000] \"GET /caf\xe9 HTTP/1.1\" 200 1";
        assert!(matches!(LogLine::parse(line, now()), Err(LineError::Target(_))));
    }

    #[test]
    fn error_names_the_first_part_that_cannot_be_read() {
        for (broken, error) in [
            (String::new(), LineError::Request),
            (COMMON.replace('"', ""), LineError::Request),
            (COMMON.replace("1.1\"", "1.1\\\""), LineError::Request),
            (COMMON.replace('[', ""), LineError::NoTime),
            (COMMON.replace("] ", " "), LineError::NoTime),
            (COMMON.replace("2015", "1999"), LineError::TooEarly),
            (COMMON.replace("17/May/2015:10", "01/Jan/2026:01"), LineError::TooLate),
            (COMMON.replace("200", "2000"), LineError::Status),
            (COMMON.replace("200", "+20"), LineError::Status),
            (COMMON.replace(" 200 123", ""), LineError::Status),
            (COMMON.replace("123", "12x"), LineError::Size),
            (COMMON.replace(" 123", ""), LineError::Size),
            (format!("{COMMON} \"-\""), LineError::UserAgent),
            (format!("{COMMON} \"-\" \"Mozilla"), LineError::UserAgent),
            (format!("{COMMON} 0.005"), LineError::UserAgent),
        ] {
            assert_eq!(parse(&broken), Err(error), "{broken}");
        }
        assert!(matches!(parse(&COMMON.replace("May", "Mai")), Err(LineError::Time(_))));
        assert!(matches!(parse(&COMMON.replace("17/May", "31/Feb")), Err(LineError::Time(_))));
    }

    #[test]
    fn clock_of_a_log_may_be_five_minutes_ahead() {
        let text = COMMON.replace("17/May/2015:10:05:03", "01/Jan/2026:00:05:00");
        assert!(parse(&text).is_ok());
        assert_eq!(parse(&text.replace("05:00 ", "05:01 ")), Err(LineError::TooLate));
    }

    #[test]
    fn year_2000_begins_in_utc() {
        let text = COMMON.replace("17/May/2015:10:05:03 +0000", "31/Dec/1999:23:00:00 -0100");
        assert!(parse(&text).is_ok());
        assert_eq!(parse(&text.replace("-0100", "-0059")), Err(LineError::TooEarly));
    }

    proptest! {
        #[test]
        fn parse_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..COMMON.len()) {
            // Random bytes seldom have a valid request, so they are also inserted into a valid line.
            let (before, after) = COMMON.as_bytes().split_at(at);
            for line in [&bytes, &[before, &bytes, after].concat()] {
                if let Ok(line) = LogLine::parse(line, now()) {
                    prop_assert!(line.status < 1_000);
                }
            }
        }

        #[test]
        fn written_line_is_parsed_back(
            user in r#"([A-Za-z\[\] :/]|\\\\|\\")*"#,
            method in "[A-Z]{1,8}",
            target in r#"[!#-\[\]-~é]([ !#-\[\]-~é]*[!#-\[\]-~é])?"#,
            status in 100..600_u16,
            seconds in EARLIEST_S..1_767_225_600,
            offset_minutes in -840..=840_i32,
            user_agent in prop::option::of(r#"([ -!#-\[\]-~é]|\\\\|\\")*"#),
        ) {
            prop_assume!(!target.contains(" HTTP/") && !target.starts_with("HTTP/"));
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            let zone = chrono::FixedOffset::east_opt(offset_minutes * 60).unwrap();
            let written = time.with_timezone(&zone).format(TIME_FORMAT);
            let tail = user_agent.as_ref().map(|agent| format!(r#" "-" "{agent}""#)).unwrap_or_default();
            let text = format!(r#"192.0.2.1 - {user} [{written}] "{method} {target} HTTP/1.1" {status} 5{tail}"#);
            let line = parse(&text).unwrap();
            let user_agent = user_agent.as_deref().filter(|agent| !matches!(*agent, "" | "-")).map(Cow::from);
            prop_assert_eq!(line, LogLine { method: method.as_bytes(), target: &target, status, time, user_agent });
        }
    }
}
