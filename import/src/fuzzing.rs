//! What fuzz targets call: a log is judged without a database.

use std::io::{self, BufRead};

use access_logs::{Parser, SAMPLE_BYTES_MAX, detect};
use chrono::{DateTime, Utc};
use entity::Hour;

use crate::{
    lines::{Identity, LogText, Read},
    rules::{Rules, Verdict},
    summary::ImportStats,
};

/// The result of a log's lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// The results of the lines.
    pub stats: ImportStats,
    /// The pages and hours of the lines that count.
    pub views: Vec<(String, Hour)>,
    /// The decompressed length of the whole lines.
    pub bytes: u64,
}

/// Judges the whole lines of a log. Returns none if its format is not known.
///
/// # Errors
/// When the log can't be read to its end.
pub fn judge(log: Box<dyn BufRead + Send>, rules: &Rules, now: DateTime<Utc>) -> io::Result<Option<Judged>> {
    let mut text = LogText::new(log, &Identity::default());
    while text.read_line(None)? == Read::Line {}
    let mut sample = text.lines.iter().flat_map(|line| line.text).copied().collect::<Vec<_>>();
    sample.truncate(SAMPLE_BYTES_MAX);
    let Ok(Some(format)) = detect(&sample) else { return Ok(None) };
    let mut parser = Parser::new(format);
    let mut judged = Judged { bytes: text.lines.bytes(), ..Judged::default() };
    for line in text.lines.iter() {
        match rules.judge_line(&mut parser, line, now) {
            None => {}
            Some(Ok((_, Verdict::Counted { page, hour }))) => {
                judged.views.push((page.into_owned(), hour));
                judged.stats.count_page_view();
            }
            Some(Ok((_, Verdict::LeftOut(reason)))) => judged.stats.count_left_out(reason, line.text),
            Some(Err(error)) => judged.stats.count_unreadable(1, error.into(), line.text),
        }
    }
    Ok(Some(judged))
}
