//! Access logs of AWS's load balancers: the application load balancer's and the classic one's.
//!
//! ```text
//! http 2018-07-02T22:23:00.186641Z app/name/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000
//!   200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - …
//! 2015-05-13T23:39:43.945958Z name 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057
//!   200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -
//! ```

use crate::escape::unescape_backslashes;
use crate::line::{LineError, LogLine};
use crate::text::{Quoted, next_quoted, parse_status, split_request, split_word};
use crate::time::read_time;

/// The number of words between the status and the request: the target's status, bytes received, bytes sent.
const WORDS_AFTER_STATUS: usize = 3;

/// Parses a line.
pub(crate) fn parse(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    let (first, rest) = split_word(line);
    let (second, _) = split_word(rest);
    let time = [first, second].into_iter().find_map(|word| read_time(word).filter(|(_, rest)| rest.is_empty()));
    let time = time.and_then(|(time, _)| time.with_offset()).ok_or(LineError::NoTime)?;
    let request = next_quoted(line).filter(|request| request.is_closed).ok_or(LineError::Request)?;
    let before = &line[..line.len() - request.rest.len() - request.inside.len() - 2];
    let mut words = before.rsplit(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let status = match words.nth(WORDS_AFTER_STATUS).ok_or(LineError::Status)? {
        b"-" => 0,
        status => parse_status(status).ok_or(LineError::Status)?,
    };
    let (method, target) = split_request(request.inside);
    LogLine::new(method, unescape_backslashes(target), status, time, user_agent(request).map(|text| text.inside))
}

/// Returns whether nothing that is appended to the line can change what it says.
pub(crate) fn is_complete(line: &[u8]) -> bool {
    next_quoted(line).and_then(user_agent).is_some_and(|text| text.is_closed) && parse(line).is_ok()
}

fn user_agent(request: Quoted<'_>) -> Option<Quoted<'_>> {
    next_quoted(request.rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLICATION: &str = r#"https 2023-05-17T10:05:03.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 404 0 57 "GET https://www.example.com:443/a?b HTTP/1.1" "Mozilla/5.0 (X11)" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2023-05-17T11:05:03.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-""#;
    const CLASSIC: &str = r#"2023-05-17T10:05:03.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET https://www.example.com:443/a?b HTTP/1.1" "Mozilla/5.0 (X11)" - -"#;

    #[test]
    fn both_balancers_are_read() {
        for line in [APPLICATION, CLASSIC] {
            let read = parse(line.as_bytes()).unwrap();
            assert_eq!((&*read.method, &*read.target), (&b"GET"[..], "https://www.example.com:443/a?b"));
            assert_eq!((read.status, read.time.timestamp()), (200, 1_684_317_903));
            assert_eq!(read.user_agent.as_deref(), Some("Mozilla/5.0 (X11)"));
            let end = line.find("(X11)\"").unwrap() + 6;
            for length in 0..line.len() {
                assert_eq!(is_complete(&line.as_bytes()[..length]), length >= end, "{}", &line[..length]);
            }
        }
    }

    #[test]
    fn request_without_a_response_or_without_a_path_is_no_view() {
        let none = APPLICATION.replace(" 200 404 ", " - - ");
        assert_eq!(parse(none.as_bytes()).unwrap().status, 0);
        let malformed =
            APPLICATION.replace("GET https://www.example.com:443/a?b HTTP/1.1", "- http://www.example.com:80- - ");
        assert_eq!(&*parse(malformed.as_bytes()).unwrap().method, b"-");
        let tcp = r#"2023-05-17T10:05:03.541862Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -"#;
        assert_eq!((parse(tcp.as_bytes()).unwrap().status, parse(tcp.as_bytes()).unwrap().user_agent), (0, None));
    }

    #[test]
    fn escapes_are_undone_and_errors_name_the_part() {
        let escaped = APPLICATION.replace("/a?b", r"/\x22\xC3\xA9");
        assert_eq!(parse(escaped.as_bytes()).unwrap().target, "https://www.example.com:443/\"\u{e9}");
        for (broken, error) in [
            (APPLICATION.replace("2023-05-17T10", "2023-05-17T25"), LineError::NoTime),
            (APPLICATION.replace('"', ""), LineError::Request),
            (APPLICATION.replace(" 200 404 ", " 2000 404 "), LineError::Status),
        ] {
            assert_eq!(parse(broken.as_bytes()), Err(error), "{broken}");
        }
    }
}
