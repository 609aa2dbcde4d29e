//! Finds the format of a file by its first line and its name.

use std::path::Path;

use chrono::NaiveDateTime;
use entity::Hour;

use crate::parser::{Format, csv::Header};

/// The error that a file is in no known format.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Neither the first line nor the name is that of a format.
    #[error(
        "counts in no known format: CSV with a header that names page, start and views, JSON Lines with these fields, \
         GoatCounter's or Plausible's CSV, or a file named pageviews-YYYYMMDD-HH0000 (--counts-format names one)"
    )]
    Format,
    /// A pageview dump without its hour.
    #[error("a pageview dump without its hour, which is in its name: pageviews-YYYYMMDD-HH0000")]
    Hour,
}

/// Returns the format of a file that has this name and begins so.
///
/// # Errors
/// [`Unknown`] when it has none.
pub fn detect(name: &Path, beginning: &[u8]) -> Result<Format, Unknown> {
    let line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.first() == Some(&b'{') {
        return Ok(Format::Jsonl);
    }
    if let Some(header) = Header::read(line) {
        return Ok(header.format);
    }
    hour_of(name).map(Format::Wikimedia).ok_or(Unknown::Format)
}

/// Returns the hour that the name of a pageview dump has: `pageviews-20260101-130000`, with anything behind it.
pub(crate) fn hour_of(name: &Path) -> Option<Hour> {
    const TIME: &str = "YYYYMMDD-HHMMSS";
    let time = name.file_name()?.to_str()?.strip_prefix("pageviews-")?.get(..TIME.len())?;
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%d-%H%M%S").ok()?;
    Some(Hour::containing(time.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_found_by_the_first_line_or_the_name() {
        let hour = Hour::containing("2026-01-02T13:00:00Z".parse().unwrap());
        for (name, beginning, format) in [
            ("x", "\u{feff}\"page\",\"title\",\"start\",\"grain\",\"views\"\r\n", Format::Csv),
            ("x", "views,start,page\n", Format::Csv),
            ("x", "{\"page\":\"/a\"}\n", Format::Jsonl),
            ("x", "2Path,Title,Event,UserAgent,Bot,Date\n", Format::Goatcounter),
            ("x", "\"date\",\"hostname\",\"page\",\"visits\",\"visitors\",\"pageviews\"\n", Format::Plausible),
            ("a/pageviews-20260102-130000.gz", "en Main_Page 7 0\n", Format::Wikimedia(hour)),
        ] {
            assert_eq!(detect(Path::new(name), beginning.as_bytes()), Ok(format), "{beginning}");
        }
        for name in ["x", "pageviews-2026", "pageviews-20261302-130000"] {
            assert_eq!(detect(Path::new(name), b"en Main_Page 7 0\n"), Err(Unknown::Format));
        }
    }
}
