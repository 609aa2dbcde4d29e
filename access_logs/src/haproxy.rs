//! HAProxy's HTTP format (`option httplog`), with whatever syslog writes before it.
//!
//! ```text
//! 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0
//!   {1wt.eu|Mozilla/5.0} {} "GET /index.html HTTP/1.1"
//! ```
//!
//! The time has no offset and is taken as UTC. A user agent is there only if the header is captured: it is the captured
//! text that begins with a product.

use chrono::{DateTime, Utc};
use memchr::{memchr, memchr_iter};

use crate::escape::unescape_hashes;
use crate::line::{LineError, LogLine};
use crate::text::{begins_with_product, parse_status, split_request, split_word};
use crate::time::read_time;

/// The number of words between the time and the status: frontend, backend and server, timers.
const WORDS_BEFORE_STATUS: usize = 3;

/// Parses a line. The request stands last and may be cut off, but not within its path.
pub(crate) fn parse(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    parse_found(line).map(|(line, _)| line)
}

/// Returns whether nothing that is appended to the line can change what it says.
pub(crate) fn is_complete(line: &[u8]) -> bool {
    parse_found(line).is_ok_and(|(_, is_closed)| is_closed)
}

/// Parses a line, and returns with it whether its request has its closing quote.
fn parse_found(line: &[u8]) -> Result<(LogLine<'_>, bool), LineError> {
    let (time, mut rest) = find_time(line)?;
    for _ in 0..WORDS_BEFORE_STATUS {
        let word;
        (word, rest) = split_word(rest);
        // The request of another format, which stands before its status.
        if memchr(b'"', word).is_some() {
            return Err(LineError::Status);
        }
    }
    let (status, rest) = split_word(rest);
    // -1 if the connection ended without a response.
    let status = if status == b"-1" { 0 } else { parse_status(status).ok_or(LineError::Status)? };
    let quote = memchr(b'"', rest).ok_or(LineError::Request)?;
    let (before, inside) = (&rest[..quote], &rest[quote + 1..]);
    let closing = memchr(b'"', inside);
    let request = match closing {
        Some(end) => &inside[..end],
        None if is_path_complete(inside) => inside,
        None => return Err(LineError::Request),
    };
    let (method, target) = split_request(request);
    let line = LogLine::new(method, unescape_hashes(target), status, time, user_agent(before))?;
    Ok((line, closing.is_some()))
}

/// Finds the first time in brackets, which syslog's own prefix does not have; returns it with the text after it.
fn find_time(line: &[u8]) -> Result<(DateTime<Utc>, &[u8]), LineError> {
    let mut times = memchr_iter(b'[', line).filter_map(|bracket| read_time(&line[bracket + 1..]));
    times.find_map(|(time, rest)| Some((time.utc(), rest.strip_prefix(b"]")?))).ok_or(LineError::NoTime)
}

/// Returns whether a request that is cut off has its whole path: the query has begun, or the protocol.
fn is_path_complete(request: &[u8]) -> bool {
    let (_, target) = split_word(request);
    let target = target.trim_ascii_start();
    target.iter().any(|byte| matches!(byte, b'?' | b' '))
}

/// Finds the user agent among the captured headers, `{first|second} {of the response}`.
fn user_agent(text: &[u8]) -> Option<&[u8]> {
    let captured = text.split(|byte| matches!(byte, b'{' | b'|' | b'}'));
    // What stands before the first brace are counts, as `0/0`.
    captured.skip(1).find(|text| begins_with_product(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"Feb  6 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 [17/May/2023:10:05:03.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu|Mozilla/5.0 (X11)} {text/html} "GET /a?b HTTP/1.1""#;

    #[test]
    fn line_in_the_combined_format_is_none_of_haproxy() {
        let line = br#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "Mozilla/5.0""#;
        assert_eq!(parse(line), Err(LineError::Status));
    }

    #[test]
    fn line_is_read_with_the_prefixes_of_syslog() {
        let (_, line) = LINE.split_once(": ").unwrap();
        for before in [
            "",
            "Feb  6 12:14:14 localhost haproxy[14389]: ",
            "<134>Feb  6 12:14:14 haproxy[14389]: ",
            r#"<134>1 2024-06-20T11:47:56.817934+02:00 - haproxy 266980 - [id@1 iut="3"] "#,
        ] {
            let line = format!("{before}{line}");
            let read = parse(line.as_bytes()).unwrap();
            assert_eq!((&*read.method, &*read.target, read.status), (&b"GET"[..], "/a?b", 200), "{before}");
            assert_eq!(read.time.timestamp(), 1_684_317_903);
            assert_eq!(read.user_agent.as_deref(), Some("Mozilla/5.0 (X11)"));
        }
    }

    #[test]
    fn user_agent_is_the_captured_text_that_begins_with_a_product() {
        for (captured, user_agent) in [
            ("", None),
            ("{} {} ", None),
            ("{example.com|192.0.2.7, 198.51.100.1|https://e.org/1} ", None),
            ("{|kube-probe/1.27|} {} ", Some("kube-probe/1.27")),
        ] {
            let line = LINE.replace("{1wt.eu|Mozilla/5.0 (X11)} {text/html} ", captured);
            assert_eq!(parse(line.as_bytes()).unwrap().user_agent.as_deref(), user_agent, "{captured}");
        }
    }

    #[test]
    fn escapes_of_haproxy_are_undone() {
        let line = LINE.replace("/a?b", "/caf#C3#A9#22");
        assert_eq!(parse(line.as_bytes()).unwrap().target, "/caf\u{e9}\"");
        let line = LINE.replace("/a?b", "/caf#E9");
        assert!(matches!(parse(line.as_bytes()), Err(LineError::Target(_))));
    }

    #[test]
    fn request_may_be_cut_off_behind_its_path() {
        let query = LINE.find('?').unwrap();
        for end in 0..=LINE.len() {
            let read = parse(&LINE.as_bytes()[..end]);
            assert_eq!(read.is_ok(), end > query, "{}", &LINE[..end]);
            assert!(read.is_err() || read.unwrap().target.starts_with("/a?"));
            assert_eq!(is_complete(&LINE.as_bytes()[..end]), end == LINE.len());
        }
    }

    #[test]
    fn what_is_no_request_is_an_error_or_has_no_path() {
        for (broken, error) in [
            (LINE.replace("[17/May", "[17/Mai"), LineError::NoTime),
            (LINE.replace(" 200 ", " 2000 "), LineError::Status),
            // The TCP format.
            (
                "10.0.1.2:33313 [17/May/2023:10:05:03.655] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0".into(),
                LineError::Request,
            ),
        ] {
            assert_eq!(parse(broken.as_bytes()), Err(error), "{broken}");
        }
        let bad = LINE.replace("GET /a?b HTTP/1.1", "<BADREQ>").replace(" 200 ", " 400 ");
        assert_eq!(parse(bad.as_bytes()).unwrap().target, "");
        let bad = LINE.replace(" 200 ", " -1 ");
        assert_eq!(parse(bad.as_bytes()).unwrap().status, 0);
    }
}
