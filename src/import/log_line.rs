//! One line of a web server's access log, in Apache's and nginx's *common* or *combined* format.
//!
//! ```text
//! host ident user [17/May/2015:10:05:03 +0000] "GET /path?x HTTP/1.1" 200 123 "referer" "user agent"
//! ```
//!
//! The line is read from its first quote, which opens the request: both servers escape quotes in
//! what stands before it, so that user names with spaces and brackets can't mislead. The time is
//! what the last bracket before that quote opens. What comes before the time, the client's
//! address above all, is never looked at; a virtual host in front of it does no harm either.

use std::borrow::Cow;
use std::str::Utf8Error;

use chrono::{DateTime, TimeDelta, Utc};

const TIME_FORMAT: &str = "%d/%b/%Y:%H:%M:%S %z";
const STATUS_DIGITS: usize = 3;

/// 2000-01-01T00:00:00Z as a Unix time: the service takes no page view from before it.
const EARLIEST_S: i64 = 946_684_800;
/// How far a log's clock may be ahead: as far as the service lets a client's.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// What one line says, as far as it matters for counting page views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLine<'a> {
    /// The request's method, `-` or nothing where the server got no request.
    pub(crate) method: &'a [u8],
    /// The request's target as it stands in the log, empty where there is none.
    pub(crate) target: &'a str,
    /// The answer's status; some servers write 000 for a connection closed without one.
    pub(crate) status: u16,
    /// When the request came, not before 2000 and hardly after now.
    pub(crate) time: DateTime<Utc>,
    /// The user agent as it stands in the log, `None` for `-`, for nothing and in the common format.
    pub(crate) user_agent: Option<Cow<'a, str>>,
}

/// Why a line can't be read. None of it repeats the line: that holds the client's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// Longer than is buffered; [`LogLine::parse`] never says this, the reader of lines does.
    #[error("the line is longer than {bytes_max} bytes")]
    TooLong {
        /// The most that is read.
        bytes_max: usize,
    },
    /// No request between two quotes.
    #[error("there is no request in quotes")]
    Request,
    /// The target is not text. Well-behaved clients and servers escape what is not ASCII.
    #[error("the request's target is not UTF-8")]
    Target(#[source] Utf8Error),
    /// Nothing in brackets before the request.
    #[error("there is no time in brackets before the request")]
    NoTime,
    /// Something else than a time in the brackets.
    #[error("the time is not written as in [17/May/2015:10:05:03 +0000]")]
    Time(#[source] chrono::ParseError),
    /// Before 2000.
    #[error("the time is before the year 2000")]
    TooEarly,
    /// More than five minutes ahead.
    #[error("the time is in the future")]
    TooLate,
    /// No status after the request.
    #[error("the status after the request is not a number of three digits")]
    Status,
    /// No size after the status.
    #[error("the size after the status is neither a number nor -")]
    Size,
    /// Neither the common format, which ends with the size, nor the combined one. To read such a
    /// line as a common one would count bots as people.
    #[error("what follows the size is not a referrer and a user agent in quotes")]
    UserAgent,
}

impl<'a> LogLine<'a> {
    /// Reads a line, with or without its end of line (LF or CRLF), in time linear in its length.
    ///
    /// # Errors
    /// Names the first part that can't be read. A time more than five minutes after `now` or
    /// before 2000 can't be: the service would refuse it.
    pub(crate) fn parse(line: &'a [u8], now: DateTime<Utc>) -> Result<Self, LineError> {
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

/// The time from everything before the request's quote.
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

/// Splits `GET /a HTTP/1.1` into method and target. HTTP/0.9 has no protocol at the end, and a
/// broken client's target may have spaces in it, which the log repeats.
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

/// The user agent from everything after the size; fields after it are a site's own and ignored.
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

/// The inside of the quoted field that `text` begins with, its escapes left as they are, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let closing = unescaped_quote(inside)?;
    Some((&inside[..closing], &inside[closing + 1..]))
}

/// Where the first quote is that no backslash escapes.
fn unescaped_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// The first word of `text`, which may be empty, and what follows it.
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
    fn the_common_format_has_no_user_agent() {
        let line = parse(COMMON).unwrap();
        let time = "2015-05-17T10:05:03Z".parse().unwrap();
        assert_eq!(line, LogLine { method: b"GET", target: "/a?b", status: 200, time, user_agent: None });
        for end in ["\n", "\r\n", " \r\n"] {
            assert_eq!(parse(&format!("{COMMON}{end}")).unwrap(), line, "{end:?}");
        }
    }

    #[test]
    fn the_combined_format_ends_with_the_user_agent_and_what_a_site_adds() {
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
    fn requests_are_read_as_the_log_repeats_them() {
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
    fn errors_name_the_part_that_cannot_be_read() {
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
    fn a_clock_may_be_five_minutes_ahead() {
        let text = COMMON.replace("17/May/2015:10:05:03", "01/Jan/2026:00:05:00");
        assert!(parse(&text).is_ok());
        assert_eq!(parse(&text.replace("05:00 ", "05:01 ")), Err(LineError::TooLate));
    }

    #[test]
    fn the_year_2000_begins_in_utc() {
        let text = COMMON.replace("17/May/2015:10:05:03 +0000", "31/Dec/1999:23:00:00 -0100");
        assert!(parse(&text).is_ok());
        assert_eq!(parse(&text.replace("-0100", "-0059")), Err(LineError::TooEarly));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..COMMON.len()) {
            // Raw bytes seldom get past the first quote, so they are also put into a good line.
            let (before, after) = COMMON.as_bytes().split_at(at);
            for line in [&bytes, &[before, &bytes, after].concat()] {
                if let Ok(line) = LogLine::parse(line, now()) {
                    prop_assert!(line.status < 1_000);
                }
            }
        }

        #[test]
        fn a_written_line_reads_back(
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
