//! Finds the format of a log by its first lines.

use memchr::{memchr, memchr_iter};

use crate::format::Format;
use crate::line::LineError;
use crate::parser::Parser;

/// The most of a log's beginning that is looked at, in bytes.
pub const SAMPLE_BYTES_MAX: usize = 64 * 1_024;

/// The formats, in the order in which they are tried.
const CANDIDATES: [Format; 2] = [Format::Combined, Format::Json];

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
    // The last line may lack its end.
    let lines = || whole.split(|&byte| byte == b'\n').chain([last]).filter(|line| !line.trim_ascii().is_empty());
    let mut best = (0, None);
    for format in CANDIDATES {
        let mut parser = Parser::new(format.clone());
        let whole_lines = whole.split(|&byte| byte == b'\n');
        let mut read = whole_lines.filter(|line| matches!(parser.parse(line), Ok(Some(_)))).count();
        read += usize::from(parser.is_complete(last) && matches!(parser.parse(last), Ok(Some(_))));
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
    Err(lines().next().map_or(Unknown::LongLine, describe))
}

/// Decides on a sample without a whole line.
fn undecided(sample: &[u8], text: &[u8]) -> Result<Option<Format>, Unknown> {
    if memchr_iter(b'\r', text).filter(|&at| text.get(at + 1).is_some_and(|&next| next != b'\n')).count() > 1 {
        Err(Unknown::CarriageReturns)
    } else if sample.len() < SAMPLE_BYTES_MAX {
        Ok(None)
    } else if text.is_empty() {
        Err(Unknown::Binary("zeros only"))
    } else {
        Err(Unknown::LongLine)
    }
}

/// Refuses what is no text, and no text with single bytes.
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
