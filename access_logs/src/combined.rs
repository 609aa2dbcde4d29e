//! Apache's and nginx's *common* and *combined* formats, with anything before and after, and their relatives.
//!
//! ```text
//! host ident user [17/May/2015:10:05:03 +0000] "GET /path?x HTTP/1.1" 200 123 "referrer" "user agent"
//! ```
//!
//! A line is read by what can't be mistaken: a time in brackets, then a request in quotes that a status follows. What
//! stands before, between and behind is ignored: virtual hosts, addresses, prefixes of syslog and of containers,
//! durations. So Amazon S3's server access logs, Traefik's and Envoy's lines are read too.
//!
//! All these servers escape quotes within the fields, so user names and paths can't mislead the parser.

use chrono::{DateTime, Utc};
use memchr::{memchr_iter, memrchr_iter};

use crate::escape::unescape_backslashes;
use crate::line::{LineError, LogLine};
use crate::text::{
    Quoted, begins_with_product, closing_quote, is_escaped, is_given, is_url, next_quoted, opening_quote, parse_status,
    quoted, split_request, split_word,
};
use crate::time::read_time;

/// Parses a line. A line that is cut off behind the status is readable: the view happened.
pub(crate) fn parse(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    let Found { time, request, status, rest } = find_request(line)?;
    let (method, target) = split_request(request);
    LogLine::new(method, unescape_backslashes(target), status, time, find_user_agent(rest).0)
}

/// Returns whether nothing that is appended to the line can change what it says.
pub(crate) fn is_complete(line: &[u8]) -> bool {
    find_request(line).is_ok_and(|found| find_user_agent(found.rest).1)
}

/// The parts of a line that can't be mistaken.
struct Found<'a> {
    time: DateTime<Utc>,
    /// Method, target and protocol, with their escapes.
    request: &'a [u8],
    status: u16,
    /// The text after the status.
    rest: &'a [u8],
}

fn find_request(line: &[u8]) -> Result<Found<'_>, LineError> {
    let mut time = Err(LineError::NoTime);
    let mut seen = 0;
    let mut error = LineError::Request;
    while let Some(opening) = opening_quote(line, seen) {
        // The last time before the request: a user name may look like one.
        match find_time(&line[seen..opening]) {
            Err(LineError::NoTime) => {}
            found => time = found,
        }
        let inside = &line[opening + 1..];
        let Some(mut closing) = closing_quote(inside) else { break };
        if let Ok(time) = time {
            error = LineError::Status;
            // Servers that do not escape write a request with a quote in it: it ends where a status follows.
            let has_method = begins_with_method(inside);
            loop {
                if let Some((status, rest)) = split_status(&inside[closing + 1..]) {
                    return Ok(Found { time, request: &inside[..closing], status, rest });
                }
                let after = &inside[closing + 1..];
                if !has_method || after.starts_with(b" \"") {
                    break;
                }
                let next = memchr_iter(b'"', after).map(|at| closing + 1 + at).find(|&at| !is_escaped(inside, at));
                // There is no status behind any later quote either.
                closing = next.ok_or(LineError::Status)?;
            }
        }
        seen = opening + 1 + closing + 1;
    }
    match time {
        Ok(_) => Err(error),
        // A line without a request may have a time.
        Err(LineError::NoTime) if find_time(&line[seen..]).is_ok() => Err(LineError::Request),
        Err(error) => Err(error),
    }
}

/// Finds the last time in brackets.
fn find_time(text: &[u8]) -> Result<DateTime<Utc>, LineError> {
    let mut error = LineError::NoTime;
    for bracket in memrchr_iter(b'[', text) {
        match read_time(&text[bracket + 1..]) {
            Some((time, rest)) if rest.starts_with(b"]") => return time.with_offset().ok_or(LineError::Time),
            _ => error = LineError::Time,
        }
    }
    Err(error)
}

fn begins_with_method(request: &[u8]) -> bool {
    let length = request.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    length > 0 && request.get(length) == Some(&b' ')
}

fn split_status(text: &[u8]) -> Option<(u16, &[u8])> {
    let (word, rest) = split_word(text.strip_prefix(b" ")?);
    Some((parse_status(word)?, rest))
}

/// Finds the user agent in the text after the status, and whether it is certain, whatever may still follow.
///
/// It is the second one of the first two quoted fields that stand side by side, since it follows the referrer. In
/// formats without such a pair it is the field that begins with a product, or one that is no URL, as the referrer would
/// be.
fn find_user_agent(mut rest: &[u8]) -> (Option<&[u8]>, bool) {
    let mut alone = None;
    while let Some(first) = next_quoted(rest) {
        if let Some(second) = field_beside(first) {
            let user_agent = if begins_with_product(first.inside) { first } else { second };
            return (Some(user_agent.inside), second.is_closed);
        }
        let is_product = begins_with_product(first.inside);
        // Of a field that is cut off it is unknown whether it is a URL.
        let is_other = first.is_closed && is_given(first.inside) && !is_url(first.inside);
        if is_product && !alone.is_some_and(begins_with_product) || is_other && alone.is_none() {
            alone = Some(first.inside);
        }
        rest = first.rest;
    }
    (alone, false)
}

/// Returns the quoted field that follows another one, with nothing but a space between them.
fn field_beside(first: Quoted<'_>) -> Option<Quoted<'_>> {
    first.rest.strip_prefix(b" \"").map(quoted)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use chrono::FixedOffset;
    use proptest::prelude::*;

    use super::*;

    const COMMON: &str = r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 123"#;
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";

    fn parse(line: &str) -> Result<LogLine<'_>, LineError> {
        super::parse(line.as_bytes())
    }

    /// What each line of these tests says.
    fn expected(user_agent: Option<&str>) -> LogLine<'_> {
        let time = "2015-05-17T10:05:03Z".parse().unwrap();
        let user_agent = user_agent.map(Cow::from);
        LogLine { method: Cow::from(&b"GET"[..]), target: Cow::from("/a?b"), status: 200, time, user_agent }
    }

    #[test]
    fn common_format_has_no_user_agent() {
        for rest in ["", " 0.005", " 0.005 id=17", r#" "-""#, r#" "http://e.org/""#] {
            assert_eq!(parse(&format!("{COMMON}{rest}")), Ok(expected(None)), "{rest}");
        }
    }

    #[test]
    fn combined_format_has_a_user_agent_and_may_have_further_fields() {
        for (rest, user_agent) in [
            (r#""http://e.org/" "Mozilla/5.0 (X11)""#, Some("Mozilla/5.0 (X11)")),
            (r#""-" "a \"quoted\\\" name" 0.005 "more""#, Some(r#"a \"quoted\\\" name"#)),
            (r#""-" "-""#, None),
            (r#""-" """#, None),
            (r#""-" "Mozilla/5.0" "192.0.2.7, 198.51.100.1" rt=0.1 ua="h" us="200""#, Some("Mozilla/5.0")),
            // Traefik.
            (r#""-" "Mozilla/5.0" 17 "web@docker" "http://172.17.0.2:80" 1ms"#, Some("Mozilla/5.0")),
            // In formats that people made, user agents stand elsewhere.
            (r#""Mozilla/5.0 (X11)""#, Some("Mozilla/5.0 (X11)")),
            (r#""a bot""#, Some("a bot")),
            (r#""Mozilla/5.0" "192.0.2.7""#, Some("Mozilla/5.0")),
            (r#"0.005 "http://e.org/" "a bot""#, Some("a bot")),
            (r#""http://e.org/" rt=0.1 "a bot""#, Some("a bot")),
            (r#""http://e.org/" "HTTP/2.0""#, Some("HTTP/2.0")),
            // Quotes that are not escaped.
            (r#""http://e.org/?q="foo"" "Mozilla/5.0""#, Some("Mozilla/5.0")),
            (r#""http://e.org/?q="foo bar" baz" "Mozilla/5.0""#, Some("Mozilla/5.0")),
        ] {
            assert_eq!(parse(&format!("{COMMON} {rest}")), Ok(expected(user_agent)), "{rest}");
        }
    }

    #[test]
    fn anything_may_stand_before() {
        let line = &format!(r#"{COMMON} "-" "{FIREFOX}""#);
        for before in [
            "example.com ",
            "example.com:443 ",
            r#""192.0.2.7, 198.51.100.1" "#,
            "192.0.2.7, 198.51.100.1 - ",
            "<190>Nov 26 10:00:00 host nginx: ",
            "Nov 26 10:00:00 host nginx[123]: ",
            "<190>1 2015-05-17T11:05:03Z host nginx 123 - - ",
            r#"<190>1 2015-05-17T11:05:03Z host nginx 123 - [id@32473 iut="3" source="Application"] "#,
            r#"<190>1 2015-05-17T11:05:03Z host nginx 123 - [17/May/1999:10:05:03 +0000] "a" "#,
            "web-1  | ",
            "2015-05-17T11:05:03.123456789Z stdout F ",
            "\0\0\0\0",
        ] {
            assert_eq!(parse(&format!("{before}{line}")), Ok(expected(Some(FIREFOX))), "{before}");
        }
    }

    #[test]
    fn fields_may_stand_between_time_and_request_and_between_request_and_size() {
        for line in [
            r#"192.0.2.1 [17/May/2015:10:05:03 +0000] example.com "GET /a?b HTTP/1.1" 200 5 "-" "Mozilla/5.0""#,
            r#"192.0.2.1 [17/May/2015:10:05:03 +0000] "example.com" "GET /a?b HTTP/1.1" 200 5 "-" "Mozilla/5.0""#,
            r#"192.0.2.1 [17/May/2015:10:05:03 +0000] "example.com" - "GET /a?b HTTP/1.1" 200 5 "-" "Mozilla/5.0""#,
            r#"192.0.2.1 [2015-05-17T12:05:03+02:00] "GET /a?b HTTP/1.1" 200 0.005 5 "-" "Mozilla/5.0""#,
            // Amazon S3, Envoy and Istio, as their documents show them.
            r#"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be DOC-EXAMPLE-BUCKET1 [17/May/2015:10:05:03 +0000] 192.0.2.3 - 3E57427F3EXAMPLE WEBSITE.GET.OBJECT a "GET /a?b HTTP/1.1" 200 - 113 - 7 - "-" "Mozilla/5.0" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader bucket.s3.us-west-1.amazonaws.com TLSV1.2 - -"#,
            r#"[2015-05-17T10:05:03.310Z] "GET /a?b HTTP/2" 200 - 154 0 226 100 "10.0.35.28" "Mozilla/5.0" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80""#,
            r#"[2015-05-17T10:05:03.409Z] "GET /a?b HTTP/1.1" 200 - via_upstream - "-" 0 135 4 4 "-" "Mozilla/5.0" "84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "127.0.0.1:80" inbound|8000|| - -"#,
        ] {
            assert_eq!(parse(line), Ok(expected(Some("Mozilla/5.0"))), "{line}");
        }
    }

    #[test]
    fn line_that_is_cut_off_behind_the_status_is_a_view() {
        let line = format!(r#"{COMMON} "http://e.org/" "{FIREFOX}" "192.0.2.7""#);
        let status_end = line.find(" 123").unwrap();
        let user_agent_start = line.find(FIREFOX).unwrap();
        let user_agent_end = user_agent_start + FIREFOX.len();
        for end in status_end..line.len() {
            let cut = &line[..end];
            let user_agent = line.get(user_agent_start..end.min(user_agent_end)).filter(|text| !text.is_empty());
            assert_eq!(parse(cut), Ok(expected(user_agent)), "{cut}");
            assert_eq!(is_complete(cut.as_bytes()), end > user_agent_end, "{cut}");
        }
        assert_eq!(parse(&line[..status_end - 1]), Err(LineError::Status));
    }

    #[test]
    fn request_is_split_into_method_and_target() {
        for (request, method, target) in [
            ("GET /a HTTP/1.1", "GET", "/a"),
            ("GET /a", "GET", "/a"),
            ("GET http://e.org/a HTTP/1.1", "GET", "http://e.org/a"),
            ("GET /a b HTTP/1.0", "GET", "/a b"),
            (r#"GET /a\"b HTTP/2.0"#, "GET", r#"/a"b"#),
            (r#"GET /a"b HTTP/2.0"#, "GET", r#"/a"b"#),
            (r#"GET /a" b HTTP/2.0"#, "GET", r#"/a" b"#),
            (r"GET /caf\xC3\xA9 HTTP/2.0", "GET", "/caf\u{e9}"),
            (r"GET /caf\xc3\xa9\\ HTTP/2.0", "GET", "/caf\u{e9}\\"),
            ("GET /caf%C3%A9 HTTP/2.0", "GET", "/caf%C3%A9"),
            ("GET HTTP/1.1", "GET", ""),
            ("-", "-", ""),
            ("", "", ""),
            (r"\x16\x03\x01", r"\x16\x03\x01", ""),
        ] {
            let text = format!(r#"h - - [17/May/2015:10:05:03 +0000] "{request}" 200 -"#);
            let line = parse(&text).unwrap();
            assert_eq!((&*line.method, &*line.target), (method.as_bytes(), target), "{request}");
        }
    }

    #[test]
    fn user_names_may_hold_spaces_brackets_and_escaped_quotes() {
        for user in ["-", "Jane Doe", "[jane]", "a [17/May/1999:10:05:03 +0000] b", r#"\"GET / HTTP/1.1\" 200 1"#] {
            let text = format!(r#"h - {user} [17/May/2015:12:05:03 +0200] "GET /a?b HTTP/1.1" 200 -"#);
            assert_eq!(parse(&text), Ok(expected(None)), "{user}");
        }
    }

    #[test]
    fn only_the_target_has_to_be_utf8() {
        let line =
            b"\xe9 - \xe9 [17/May/2015:10:05:03 +0000] \"GET /caf\xc3\xa9 HTTP/1.1\" 200 1 \"\xe9\" \"\xe9 agent\"";
        let line = super::parse(line).unwrap();
        assert_eq!((&*line.target, line.user_agent.as_deref()), ("/caf\u{e9}", Some("\u{fffd} agent")));
        for target in [&b"/caf\xe9"[..], br"/caf\xe9"] {
            let line = [b"h - - [17/May/2015:10:05:03 +0000] \"GET ", target, b" HTTP/1.1\" 200 1"].concat();
            assert!(matches!(super::parse(&line), Err(LineError::Target(_))));
        }
    }

    #[test]
    fn error_names_the_first_part_that_cannot_be_read() {
        for (broken, error) in [
            (String::new(), LineError::NoTime),
            (COMMON.replace('"', ""), LineError::Request),
            (COMMON.replace("1.1\"", "1.1\\\""), LineError::Request),
            (COMMON.replace('[', ""), LineError::NoTime),
            (COMMON.replace("] ", " "), LineError::Time),
            (COMMON.replace("May", "Mai"), LineError::Time),
            (COMMON.replace("17/May", "31/Feb"), LineError::Time),
            (COMMON.replace(" +0000", ""), LineError::Time),
            (COMMON.replace("2015", "1999"), LineError::TooEarly),
            (COMMON.replace("200", "2000"), LineError::Status),
            (COMMON.replace("200", "+20"), LineError::Status),
            (COMMON.replace(" 200 123", ""), LineError::Status),
        ] {
            assert_eq!(parse(&broken), Err(error), "{broken}");
        }
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
                if let Ok(line) = super::parse(line) {
                    prop_assert!(line.status < 1_000);
                }
            }
        }

        #[test]
        fn written_line_is_parsed_back(
            before in r#"([a-z0-9.:-]{0,9} )?("[0-9., ]{0,20}" )?[a-z0-9.:]{1,9} "#,
            user in r#"([A-Za-z\[\] :/]|\\\\|\\")*"#,
            method in "[A-Z]{1,8}",
            target in r#"[!#-\[\]-~é]([ !#-\[\]-~é]*[!#-\[\]-~é])?"#,
            status in 100..600_u16,
            seconds in 946_684_800..1_767_225_600_i64,
            offset_minutes in -840..=840_i32,
            user_agent in prop::option::of(r#"([ !#-\[\]-~é]|\\\\|\\")*"#),
            after in r#"( [a-z0-9=.]{1,9}| "[0-9., ]{0,20}")*"#,
        ) {
            prop_assume!(!target.contains(" HTTP/") && !target.starts_with("HTTP/"));
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            let zone = FixedOffset::east_opt(offset_minutes * 60).unwrap();
            let written = time.with_timezone(&zone).format("%d/%b/%Y:%H:%M:%S %z");
            let tail = user_agent.as_ref().map(|agent| format!(r#" "-" "{agent}"{after}"#)).unwrap_or_default();
            let text = format!(r#"{before}- {user} [{written}] "{method} {target} HTTP/1.1" {status} 5{tail}"#);
            let line = parse(&text).unwrap();
            let user_agent = user_agent.as_deref().filter(|agent| !matches!(*agent, "" | "-")).map(Cow::from);
            let (method, target) = (Cow::from(method.as_bytes()), Cow::from(&*target));
            prop_assert_eq!(line, LogLine { method, target, status, time, user_agent });
        }
    }
}
