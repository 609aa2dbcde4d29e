//! The time of a log's first line, by which logs are put in order.

use std::io::{self, Read};
use std::path::Path;

use access_logs::{Format, Parser, detect};
use chrono::{DateTime, Utc};
use counts::{FormatName, Parsed};

use crate::log_file;

/// The length of a log's beginning in which a line is looked for.
const BEGINNING_BYTES_MAX: u64 = 64 * 1_024;

/// Returns the time of the first line that can be read, or `None` if there is none in the beginning of the file. Without
/// `format`, it is found by the first lines.
///
/// # Errors
/// When the beginning has no such line because it can't be read to its end.
pub fn first_time(path: &Path, format: Option<&Format>) -> io::Result<Option<DateTime<Utc>>> {
    let mut beginning = Vec::new();
    let end = log_file::open(path)?.reader.take(BEGINNING_BYTES_MAX).read_to_end(&mut beginning);
    let format = format.cloned().or_else(|| detect(&beginning).ok().flatten());
    let first = format.and_then(|format| {
        let mut parser = Parser::new(format);
        let mut lines = beginning.split_inclusive(|byte| *byte == b'\n');
        lines.find_map(|line| parser.parse(line).ok().flatten().map(|line| line.time))
    });
    if first.is_none() {
        end?;
    }
    Ok(first)
}

/// Returns the time of the first count that can be read, or `None` if the beginning of the file has none. Without
/// `format`, it is found by the first line and the name.
///
/// # Errors
/// As [`first_time`].
pub fn first_count(path: &Path, format: Option<FormatName>) -> io::Result<Option<DateTime<Utc>>> {
    let mut beginning = Vec::new();
    let end = log_file::open(path)?.reader.take(BEGINNING_BYTES_MAX).read_to_end(&mut beginning);
    let format = match format {
        Some(name) => name.of_file(path),
        None => counts::detect(path, &beginning),
    };
    let first = format.ok().and_then(|format| {
        let mut parser = counts::Parser::new(format);
        let mut lines = beginning.split_inclusive(|byte| *byte == b'\n');
        lines.find_map(|line| match parser.parse(line) {
            Ok(Some(Parsed::Count(count))) => Some(count.time.first_hour().start()),
            _ => None,
        })
    });
    if first.is_none() {
        end?;
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LINE: &str = "h - - [17/May/2015:10:05:03 +0200] \"GET /a HTTP/1.1\" 200 1\n";

    fn first_time_of(log: &[u8]) -> io::Result<Option<i64>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, log).unwrap();
        let time = first_time(&path, None)?;
        Ok(time.map(|time| time.timestamp()))
    }

    #[test]
    fn first_time_is_that_of_the_first_line_that_can_be_read() {
        for log in ["", "\n#\n", &"x".repeat(60_000)] {
            let log = format!("{log}\n{LINE}{}", LINE.replace("17/May", "18/May"));
            assert_eq!(first_time_of(log.as_bytes()).unwrap(), Some(1_431_849_903));
        }
        for log in ["", "no log\n", &format!("{}{LINE}", "\n".repeat(65_536))] {
            assert_eq!(first_time_of(log.as_bytes()).unwrap(), None);
        }
    }

    #[test]
    fn file_that_cannot_be_read_is_an_error_unless_it_begins_with_a_line() {
        assert!(first_time_of(b"PK\x03\x04").is_err());
        let mut log = Vec::new();
        for text in [LINE, "no log"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
            let member = encoder.finish().unwrap();
            assert!(first_time_of(&member[..member.len() - 1]).is_ok() == (text == LINE), "{text}");
            log.push(member);
        }
        assert_eq!(first_time_of(&log.concat()).unwrap(), Some(1_431_849_903));
    }
}
