//! Finds the format of a log by its first lines.

use memchr::memchr;

use crate::format::Format;
use crate::line::LineError;
use crate::parser::Parser;

/// The most of a log's beginning that is looked at, in bytes.
pub const SAMPLE_BYTES_MAX: usize = 64 * 1_024;

/// The formats, in the order in which they are tried.
const CANDIDATES: [Format; 5] = [Format::Combined, Format::Json, Format::W3c, Format::LoadBalancer, Format::HaProxy];

/// What a log looks like that is in none of the formats.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The text is UTF-16.
    #[error("UTF-16: convert it with iconv -f UTF-16 -t UTF-8")]
    Utf16,
    /// The lines end with CR only.
    #[error("lines that end with CR only: convert it with tr '\\r' '\\n'")]
    CarriageReturns,
    /// The bytes are no text.
    #[error("{0}")]
    Binary(&'static str),
    /// The sample is one piece without a line end.
    #[error("a first line longer than {SAMPLE_BYTES_MAX} bytes")]
    LongLine,
    /// The lines are JSON, but not of requests, or not of known names.
    #[error("JSON lines without {0}")]
    Json(&'static str),
    /// An array or an object over several lines.
    #[error("JSON over several lines: write one object on each with jq -c")]
    JsonDocument,
    /// W3C extended lines, but nothing that names their fields.
    #[error("W3C extended lines without #Fields")]
    NoFields,
    /// Lines of text.
    #[error("lines in none of the known formats; of the first one, as combined: {0}")]
    Lines(#[source] LineError),
}

/// How compressed files and others begin that people take for logs.
const MAGICS: [(&[u8], &str); 12] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\0\0", "lzma"),
    (b"LPKSHHRH", "a journal of systemd: export it with journalctl -o cat"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "Parquet"),
    (b"%PDF", "a PDF document"),
];

/// Finds the format of a log. `sample` is its beginning, at most [`SAMPLE_BYTES_MAX`] bytes of it, cut anywhere. It is
/// the format that reads most of the sample's lines. Returns `None` if there is no whole line yet.
///
/// # Errors
/// [`Unknown`], which says what the log looks like, if no format reads any line.
pub fn detect(sample: &[u8]) -> Result<Option<Format>, Unknown> {
    let sample = &sample[..sample.len().min(SAMPLE_BYTES_MAX)];
    check_bytes(sample)?;
    let text = &sample[sample.iter().position(|&byte| byte != 0).unwrap_or(sample.len())..];
    let end = memchr::memrchr(b'\n', text).map_or(0, |end| end + 1);
    let (whole, last) = text.split_at(end);
    if whole.is_empty() && memchr(b'\r', last.trim_ascii_end()).is_some() {
        return Err(Unknown::CarriageReturns);
    }
    // The last line may lack its end.
    let lines = || whole.split(|&byte| byte == b'\n').chain([last]).filter(|line| !line.trim_ascii().is_empty());
    let mut best = (0, None);
    for format in CANDIDATES {
        let mut parser = Parser::new(format.clone());
        let whole_lines = whole.split(|&byte| byte == b'\n');
        let mut read = whole_lines.filter(|line| matches!(parser.parse(line), Ok(Some(_)))).count();
        if read == 0 {
            read = usize::from(parser.is_complete(last) && matches!(parser.parse(last), Ok(Some(_))));
        }
        if read > best.0 {
            best = (read, Some(format));
        }
    }
    if best.1.is_some() {
        return Ok(best.1);
    }
    if whole.trim_ascii().is_empty() {
        return undecided(sample, text);
    }
    // A log without requests yet.
    if lines().any(|line| line.to_ascii_lowercase().starts_with(b"#fields:")) {
        return Ok(Some(Format::W3c));
    }
    Err(lines().next().map_or(Unknown::LongLine, describe))
}

/// Decides on a sample without a whole line.
fn undecided(sample: &[u8], text: &[u8]) -> Result<Option<Format>, Unknown> {
    if sample.len() < SAMPLE_BYTES_MAX {
        Ok(None)
    } else if text.is_empty() {
        Err(Unknown::Binary("zeros only"))
    } else {
        Err(Unknown::LongLine)
    }
}

/// Refuses a log that is compressed or binary, or whose characters have two bytes each (UTF-16).
fn check_bytes(sample: &[u8]) -> Result<(), Unknown> {
    if let Some((_, name)) = MAGICS.iter().find(|(magic, _)| sample.starts_with(magic)) {
        return Err(Unknown::Binary(name));
    }
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    // Zeros stand in every second byte, and hardly elsewhere.
    let is_half = |zeros: usize, others: usize| zeros > 8 && zeros * 3 > sample.len() && others * 8 < zeros;
    if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") || is_half(even, odd) || is_half(odd, even) {
        return Err(Unknown::Utf16);
    }
    let control = sample.iter().filter(|&&byte| byte < 32 && !byte.is_ascii_whitespace() && !matches!(byte, 0 | 27));
    if control.count() * 20 > sample.len() {
        return Err(Unknown::Binary("binary"));
    }
    Ok(())
}

/// Says what a log looks like by its first line.
fn describe(line: &[u8]) -> Unknown {
    let line = line.trim_ascii();
    let parse = |format: Format| Parser::new(format).parse(line).err();
    match line {
        [b'#', ..] => Unknown::NoFields,
        [b'[' | b'{'] | [b'[', b'{', ..] => Unknown::JsonDocument,
        [b'{', ..] if memchr(b'"', line).is_some() => match parse(Format::Json) {
            Some(LineError::NoTarget) => Unknown::Json("a path"),
            Some(LineError::NoTime | LineError::Time) => Unknown::Json("a time"),
            Some(LineError::Status) => Unknown::Json("a status"),
            _ => Unknown::JsonDocument,
        },
        _ => Unknown::Lines(parse(Format::Combined).unwrap_or(LineError::Request)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMBINED: &str = r#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "Mozilla/5.0""#;
    const JSON: &str = r#"{"ts":1684317903,"request":{"method":"GET","uri":"/a"},"status":200}"#;
    const W3C: &str = "#Version: 1.0\n#Fields: date time cs-uri-stem sc-status x\n2023-05-17 10:05:03 /a 200 ";
    const ALB: &str =
        r#"http 2023-05-17T10:05:03Z a c t 0 0 0 200 200 0 57 "GET http://e:80/a HTTP/1.1" "Mozilla/5.0""#;
    const HAPROXY: &str =
        r#"c:1 [17/May/2023:10:05:03.655] f b/s 0/0/0/0/0 200 5 - - ---- 1/1/1/1/0 0/0 "GET /a HTTP/1.1""#;

    fn logs() -> [(&'static str, &'static str); 5] {
        [("combined", COMBINED), ("json", JSON), ("w3c", W3C), ("aws-alb", ALB), ("haproxy", HAPROXY)]
    }

    fn name(sample: &[u8]) -> String {
        match detect(sample) {
            Ok(format) => format.map_or("undecided".to_owned(), |format| format.to_string()),
            Err(unknown) => unknown.to_string(),
        }
    }

    #[test]
    fn every_format_is_found_by_its_lines() {
        for (expected, log) in logs() {
            assert_eq!(name(format!("{log}\n").as_bytes()), expected);
            assert_eq!(name(format!("\u{feff}{log}\r\n{log}").as_bytes()), expected);
            assert_eq!(name(format!("no log\n\n\0\0{log}\nno log\nno").as_bytes()), expected);
            // A whole line without its end.
            assert_eq!(name(log.as_bytes()), expected);
        }
        let docker = format!(r#"{{"log":"{}\n","stream":"stdout","time":"x"}}"#, COMBINED.replace('"', "\\\""));
        assert_eq!(name(format!("{docker}\n").as_bytes()), "combined");
        assert_eq!(name(b"#Software: Microsoft\n#Fields: date time\n"), "w3c");
    }

    #[test]
    fn format_of_most_lines_is_taken() {
        let log = format!("{JSON}\n{COMBINED}\n{JSON}\n");
        assert_eq!(name(log.as_bytes()), "json");
    }

    #[test]
    fn beginning_of_a_first_line_decides_nothing() {
        for sample in ["", "\n", " \r\n", "h - - [17/May", "{\"ts\":168", "\0\0\0"] {
            assert_eq!(name(sample.as_bytes()), "undecided", "{sample}");
        }
        let long = "x".repeat(SAMPLE_BYTES_MAX);
        assert_eq!(name(long.as_bytes()), "a first line longer than 65536 bytes");
        assert_eq!(name(long.replace('x', "\0").as_bytes()), "zeros only");
        assert_eq!(name(format!("{}{COMBINED}\n", "\0".repeat(4_096)).as_bytes()), "combined");
    }

    #[test]
    fn what_is_no_log_is_described() {
        let utf16 = |bytes: fn(u16) -> [u8; 2]| COMBINED.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let iconv = "UTF-16: convert it with iconv -f UTF-16 -t UTF-8";
        for (log, expected) in [
            (utf16(u16::to_le_bytes), iconv),
            (utf16(u16::to_be_bytes), iconv),
            (b"\xff\xfea\0".to_vec(), iconv),
            (
                format!("{COMBINED}\r{COMBINED}\r{COMBINED}").into_bytes(),
                "lines that end with CR only: convert it with tr '\\r' '\\n'",
            ),
            (b"\x28\xb5\x2f\xfd\x04".to_vec(), "zstd"),
            (b"PK\x03\x04".to_vec(), "a ZIP archive"),
            ((0..=255).collect(), "binary"),
            (b"{\"msg\":\"started\"}\n".to_vec(), "JSON lines without a path"),
            (b"{\"path\":\"/a\",\"status\":200}\n".to_vec(), "JSON lines without a time"),
            (b"{\"path\":\"/a\",\"time\":1684317903}\n".to_vec(), "JSON lines without a status"),
            (b"[{\"path\":\"/a\"}]\n".to_vec(), "JSON over several lines: write one object on each with jq -c"),
            (b"{\n  \"path\": \"/a\"\n}\n".to_vec(), "JSON over several lines: write one object on each with jq -c"),
            (b"#Version: 1.0\n2023-05-17 10:05:03 /a\n".to_vec(), "W3C extended lines without #Fields"),
            (
                b"2023/05/17 10:05:03 [error] 1#1: *1 open() failed\n".to_vec(),
                "lines in none of the known formats; of the first one, as combined: there is no time",
            ),
        ] {
            assert_eq!(name(&log), expected);
        }
    }

    proptest! {
        #[test]
        fn detection_never_panics_and_its_parser_neither(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(logs().map(|(_, log)| log.as_bytes().to_vec()).to_vec()),
                    prop::collection::vec(any::<u8>(), 0..40),
                    Just(b"\n".to_vec()),
                ],
                0..12,
            ),
        ) {
            let log = pieces.concat();
            let formats = CANDIDATES.into_iter().chain(detect(&log).ok().flatten());
            for format in formats {
                let mut parser = Parser::new(format);
                for line in log.split(|byte| *byte == b'\n') {
                    if let Ok(Some(line)) = parser.parse(line) {
                        prop_assert!(line.status < 1_000);
                    }
                }
            }
        }

        #[test]
        fn what_a_complete_line_says_is_not_changed_by_what_follows(
            at in 0..5_usize,
            length in 0..1_000_usize,
            tail in "[ -~]{0,40}",
        ) {
            let (name, log) = logs()[at];
            let log = format!("{log} more \"fields\"");
            let log = if name == "json" { logs()[at].1 } else { &log };
            let (before, line) = log.rsplit_once('\n').unwrap_or(("", log));
            let mut parser = Parser::new(name.parse().unwrap());
            before.split('\n').for_each(|line| parser.skip(line.as_bytes()));
            let line = &line[..length.min(line.len())];
            if parser.is_complete(line.as_bytes()) {
                let longer = format!("{line}{tail}");
                prop_assert_eq!(parser.parse(longer.as_bytes()), parser.parse(line.as_bytes()));
            }
        }
    }
}
