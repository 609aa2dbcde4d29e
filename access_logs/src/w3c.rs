//! The W3C extended format: IIS, CloudFront. A directive names the columns, and can name others further on.
//!
//! ```text
//! #Fields: date time cs-method cs-uri-stem cs(User-Agent) sc-status
//! 2015-05-17 10:05:03 GET /path Mozilla/5.0+(X11) 200
//! ```
//!
//! Times are UTC. Columns are separated by spaces or by tabs: by what comes first in a line.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, Utc};
use memchr::{memchr, memchr2};

use crate::escape::unescape_percents;
use crate::line::{LineError, LogLine};
use crate::text::{is_given, parse_status};
use crate::time::{read_date, read_time, read_unix_text};

/// A column that matters.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Column {
    Date,
    Time,
    Timestamp,
    Method,
    Target,
    Status,
    UserAgent,
}

const COLUMNS: usize = 7;

const NAMES: [(&str, Column); 9] = [
    ("date", Column::Date),
    ("time", Column::Time),
    ("timestamp", Column::Timestamp),
    ("cs-method", Column::Method),
    ("cs-uri-stem", Column::Target),
    ("cs-uri", Column::Target),
    ("sc-status", Column::Status),
    ("cs(user-agent)", Column::UserAgent),
    ("c-user-agent", Column::UserAgent),
];

/// What the directives of a log have said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directives {
    /// What each column holds.
    columns: Vec<Option<Column>>,
    /// The day of times without a date.
    date: Option<NaiveDate>,
    /// Whether it is a log of CloudFront, which encodes percent signs once more.
    is_cloudfront: bool,
}

impl Directives {
    /// Takes notice of a line if it is a directive, and returns whether it is one, or a comment.
    pub(crate) fn read(&mut self, line: &[u8]) -> bool {
        if !line.starts_with(b"#") {
            return false;
        }
        let text = String::from_utf8_lossy(line).to_ascii_lowercase();
        if let Some(names) = text.strip_prefix("#fields:") {
            let column = |name| NAMES.iter().find(|(known, _)| *known == name).map(|(_, column)| *column);
            self.columns = names.split_whitespace().map(column).collect();
            self.is_cloudfront = names.contains("x-edge-");
        } else if let Some(date) = text.strip_prefix("#date:") {
            self.date = date.split_whitespace().next().and_then(|date| read_date(date.as_bytes()));
        }
        true
    }

    /// Parses a line that is no directive. A line that is cut off behind the status is readable.
    pub(crate) fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LineError> {
        if self.columns.is_empty() {
            return Err(LineError::NoFields);
        }
        let mut found = [None; COLUMNS];
        for (index, value) in Values::of(line).enumerate() {
            match self.columns.get(index) {
                Some(Some(column)) => found[*column as usize] = Some(value),
                None if !value.is_empty() => return Err(LineError::Columns),
                _ => {}
            }
        }
        let get = |column: Column| found[column as usize];
        let has_method = self.columns.contains(&Some(Column::Method));
        let method = if has_method { get(Column::Method).unwrap_or_default() } else { b"GET" };
        let target = get(Column::Target).ok_or(LineError::NoTarget)?;
        let target = if is_given(target) { target } else { b"" };
        let target = if self.is_cloudfront { unescape_double_percents(target) } else { Cow::from(target) };
        let status = match get(Column::Status).ok_or(LineError::Status)? {
            b"-" => 0,
            status => parse_status(status).ok_or(LineError::Status)?,
        };
        let time = self.time(get(Column::Timestamp), get(Column::Date), get(Column::Time))?;
        let line = LogLine::new(method, target, status, time, None)?;
        Ok(LogLine {
            user_agent: get(Column::UserAgent).filter(|text| is_given(text)).map(unescape_user_agent),
            ..line
        })
    }

    /// Returns whether the columns that matter have their ends.
    pub(crate) fn is_complete(&self, line: &[u8]) -> bool {
        let last = self.columns.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        // A directive is whole only with its end. Of the columns behind the last one there are no more than were named.
        !line.starts_with(b"#") && last > 0 && (last + 1..=self.columns.len()).contains(&Values::of(line).count())
    }

    fn time(
        &self,
        timestamp: Option<&[u8]>,
        date: Option<&[u8]>,
        time: Option<&[u8]>,
    ) -> Result<DateTime<Utc>, LineError> {
        if let Some(timestamp) = timestamp {
            return read_unix_text(timestamp).ok_or(LineError::Time);
        }
        let day = match date {
            Some(date) => read_date(date).ok_or(LineError::Time)?,
            None => self.date.ok_or(LineError::NoTime)?,
        };
        // The form of a time of day is checked with the day before it.
        let mut text = day.to_string().into_bytes();
        text.push(b' ');
        text.extend_from_slice(time.ok_or(LineError::NoTime)?);
        read_time(&text).filter(|(_, rest)| rest.is_empty()).map(|(time, _)| time.utc()).ok_or(LineError::Time)
    }
}

/// The values of a line.
struct Values<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Values<'a> {
    fn of(line: &'a [u8]) -> Self {
        let separator = memchr2(b' ', b'\t', line).map_or(b' ', |at| line[at]);
        Self { rest: Some(line), separator }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        // Texts with spaces may stand in quotes, and quotes within them are doubled.
        let quoted = rest.strip_prefix(b"\"").filter(|_| self.separator == b' ').and_then(|inside| {
            let end = memchr::memmem::find(inside, b"\" ").or_else(|| inside.len().checked_sub(1))?;
            Some((&inside[..end], inside.get(end + 2..)))
        });
        let (value, rest) = quoted.unwrap_or_else(|| match memchr(self.separator, rest) {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        });
        self.rest = rest;
        Some(value)
    }
}

/// Undoes the encoding of percent signs in front of two hexadecimal digits: CloudFront writes `%2520` for `%20`.
fn unescape_double_percents(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(text, b"%25").is_none() {
        return Cow::from(text);
    }
    let mut unescaped = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        unescaped.push(*byte);
        let is_double =
            rest.starts_with(b"%25") && rest.get(3..5).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        rest = if is_double { &rest[3..] } else { after };
    }
    Cow::from(unescaped)
}

/// Returns a user agent with its spaces, which IIS writes as `+`, and CloudFront as `%20` or `%2520`.
fn unescape_user_agent(text: &[u8]) -> Cow<'_, str> {
    if memchr2(b'+', b'%', text).is_none() {
        return String::from_utf8_lossy(text);
    }
    let once = unescape_percents(text);
    let twice = unescape_percents(&once);
    let text = String::from_utf8_lossy(&twice);
    Cow::from(if text.contains(' ') { text.into_owned() } else { text.replace('+', " ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";

    fn directives(lines: &[&str]) -> Directives {
        let mut directives = Directives::default();
        for line in lines {
            assert!(directives.read(line.as_bytes()), "{line}");
        }
        directives
    }

    fn expected(target: &str) -> LogLine<'_> {
        LogLine {
            method: Cow::from(&b"GET"[..]),
            target: Cow::from(target),
            status: 200,
            time: "2023-05-17T10:05:03Z".parse().unwrap(),
            user_agent: Some(Cow::from(FIREFOX)),
        }
    }

    #[test]
    fn iis_is_read() {
        let log = directives(&[
            "#Software: Microsoft Internet Information Services 10.0",
            "#Version: 1.0",
            "#Date: 2023-05-16 00:00:00",
            "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken",
        ]);
        let line = |target: &str, status: &str| {
            let user_agent = FIREFOX.replace(' ', "+");
            format!(
                "2023-05-17 10:05:03 10.0.0.1 GET {target} b=c 443 - 192.0.2.1 {user_agent} https://example.com/ {status} 0 0 15"
            )
        };
        for target in ["/a", "/caf\u{e9}", "/a+b.aspx"] {
            assert_eq!(log.parse(line(target, "200").as_bytes()), Ok(expected(target)));
        }
        assert_eq!(log.parse(line("/a", "404").as_bytes()).unwrap().status, 404);
        assert_eq!(log.parse(line("/a", "-").as_bytes()).unwrap().status, 0);
        assert_eq!(log.parse(line("-", "200").as_bytes()).unwrap().target, "");
        for (line, error) in [
            (line("/a b", "200"), LineError::Columns),
            (line("/a", "2000"), LineError::Status),
            (line("/a", "200").replace("2023-05-17", "2023-17-05"), LineError::Time),
            (line("/a", "200").replace("10:05:03", "10:05"), LineError::Time),
            (line("/a", "200").replace("2023-", "1999-"), LineError::TooEarly),
            ("2023-05-17 10:05:03 10.0.0.1 GET /a b=c 443 -".to_owned(), LineError::Status),
            ("2023-05-17 10:05:03 10.0.0.1 GET".to_owned(), LineError::NoTarget),
        ] {
            assert_eq!(log.parse(line.as_bytes()), Err(error), "{line}");
        }
        assert!(matches!(
            log.parse(b"2023-05-17 10:05:03 h GET /caf\xe9 - 443 - c u r 200"),
            Err(LineError::Target(_))
        ));
        assert_eq!(Directives::default().parse(line("/a", "200").as_bytes()), Err(LineError::NoFields));
    }

    #[test]
    fn cloudfront_is_read() {
        let log = directives(&[
            "#Version: 1.0",
            "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type",
        ]);
        for (space, path, target) in
            [("%20", "/a", "/a"), ("%2520", "/a%2520b%25", "/a%20b%25"), (" ", "/a%20b", "/a%20b")]
        {
            let user_agent = FIREFOX.replace(' ', space);
            let line = format!(
                "2023-05-17\t10:05:03\tLAX1\t2390282\t192.0.2.202\tGET\td111111abcdef8.cloudfront.net\t{path}\t200\t-\t{user_agent}\tb=c\t-\tHit"
            );
            assert_eq!(log.parse(line.as_bytes()), Ok(expected(target)));
        }
    }

    #[test]
    fn columns_and_day_can_change_within_a_log() {
        let mut log =
            directives(&["#Date: 2023-05-17 10:00:00", "#Fields: time cs-method cs-uri sc-status cs(User-Agent)"]);
        let quoted = format!("10:05:03 GET /a 200 \"{FIREFOX}\"");
        assert_eq!(log.parse(quoted.as_bytes()), Ok(expected("/a")));
        assert!(log.read(b"#Fields: sc-status cs(User-Agent) cs-uri-stem time"));
        assert_eq!(log.parse(format!("200\t{FIREFOX}\t/a\t10:05:03.5").as_bytes()), Ok(expected("/a")));
        assert!(log.read(b"#Date: 2023-05-18"));
        assert_eq!(log.parse(b"200 a /a 10:05:03").unwrap().time.to_rfc3339(), "2023-05-18T10:05:03+00:00");
        assert!(log.read(b"#Fields: timestamp cs-uri-stem sc-status"));
        assert_eq!(log.parse(b"1684317903.123 /a 200").unwrap().time.timestamp(), 1_684_317_903);
        assert!(log.read(b"#Remark: no directive") && !log.read(b"a"));
        let undated = directives(&["#Fields: time cs-uri-stem sc-status"]);
        assert_eq!(undated.parse(b"10:05:03 /a 200"), Err(LineError::NoTime));
    }

    #[test]
    fn empty_columns_at_the_end_do_not_matter() {
        let log = directives(&["#Fields: date time cs-uri-stem sc-status cs(User-Agent) x"]);
        for line in
            ["2023-05-17\t10:05:03\t/a\t200\t\t", "2023-05-17 10:05:03 /a 200 - - ", "2023-05-17 10:05:03 /a 200"]
        {
            let read = log.parse(line.as_bytes()).unwrap();
            assert_eq!((&*read.target, read.status, read.user_agent), ("/a", 200, None), "{line}");
        }
    }

    #[test]
    fn line_is_complete_when_a_later_column_has_begun() {
        let log = directives(&["#Fields: date time cs-uri-stem sc-status cs(User-Agent) time-taken"]);
        assert!(!log.is_complete(b"2023-05-17 10:05:03 /a 200 Mozilla/5.0"));
        assert!(log.is_complete(b"2023-05-17 10:05:03 /a 200 Mozilla/5.0 "));
        assert!(!Directives::default().is_complete(b"a b c"));
    }
}
