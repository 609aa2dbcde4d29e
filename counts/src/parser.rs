//! Reads counts, one line at a time.

pub(crate) mod csv;

use chrono::{DateTime, Utc};
use entity::Hour;
use serde::Deserialize;

use self::csv::{Cells, Header};
use crate::{Count, CountedTime, VIEWS_MAX};

/// The format of a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// CSV with the columns `page`, `start` and `views`, in any order; `title` and `grain` may be missing.
    Csv,
    /// JSON Lines with these fields.
    Jsonl,
    /// `GoatCounter`'s CSV export: a line a view.
    Goatcounter,
    /// Plausible's CSV of pages: a line a page and day.
    Plausible,
    /// Wikimedia's pageview dump of an hour: a line a page.
    Wikimedia(Hour),
}

/// What a readable line has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A count of at least one view.
    Count(Count),
    /// Nothing to count.
    LeftOut(LeftOut),
}

/// The reason why a readable line is no count.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// An event, and not a page view.
    Event,
    /// A view by a bot.
    Bot,
    /// A count of no views.
    NoViews,
}

/// The reason why a line can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A quoted cell goes on behind the line.
    #[error("a quoted cell has no end in this line")]
    OpenQuote,
    /// The line has more or fewer cells than the header.
    #[error("it has {found} cells, and the header {expected}")]
    Cells {
        /// The number of cells in the header.
        expected: usize,
        /// The number of cells in the line.
        found: usize,
    },
    /// There is no header, or it lacks a column.
    #[error("there is no header with the format's columns before it")]
    NoHeader,
    /// The line is not UTF-8.
    #[error("it is not UTF-8")]
    Utf8,
    /// The line is no JSON object with the fields.
    #[error("it is no JSON object of a count: {0}")]
    Json(String),
    /// A field is missing or wrong.
    #[error("{field} {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl LineError {
    fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }
}

/// A line of JSON Lines.
#[derive(Deserialize)]
struct JsonLine {
    page: String,
    title: Option<String>,
    start: String,
    grain: Option<String>,
    views: i64,
}

/// Reads the lines of a file, in their order.
#[derive(Debug)]
pub struct Parser {
    format: Format,
    header: Option<Header>,
    cells: Cells,
}

impl Parser {
    /// Returns the parser of a file.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, header: None, cells: Cells::default() }
    }

    /// Returns a text that tells apart files whose lines are equal and whose counts are not.
    #[must_use]
    pub fn identity(format: Format) -> String {
        match format {
            Format::Csv => "counts csv".to_owned(),
            Format::Jsonl => "counts jsonl".to_owned(),
            Format::Goatcounter => "counts goatcounter".to_owned(),
            Format::Plausible => "counts plausible".to_owned(),
            Format::Wikimedia(hour) => format!("counts wikimedia {}", hour.start().timestamp()),
        }
    }

    /// Returns whether a line is the header of a known format.
    #[must_use]
    pub fn is_header(line: &[u8]) -> bool {
        Header::read(line).is_some()
    }

    /// Takes notice of a line that is not to be read: it may be the header.
    pub fn skip(&mut self, line: &[u8]) {
        if self.header.is_none() {
            self.header = Header::read(line).filter(|header| header.format == self.format);
        }
    }

    /// Reads a line, with or without its end. Returns none for an empty line and the header.
    ///
    /// # Errors
    /// [`LineError`] when the line can't be read.
    pub fn parse(&mut self, line: &[u8]) -> Result<Option<Parsed>, LineError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(None);
        }
        let count = match self.format {
            Format::Jsonl => json(line)?,
            Format::Wikimedia(hour) => wikimedia(line, hour)?,
            Format::Csv | Format::Goatcounter | Format::Plausible => {
                if self.header.is_none() {
                    self.skip(line);
                    return if self.header.is_some() { Ok(None) } else { Err(LineError::NoHeader) };
                }
                let Some(header) = &self.header else { return Err(LineError::NoHeader) };
                let row = self.cells.read(line, header)?;
                match self.format {
                    Format::Goatcounter => match goatcounter(&row)? {
                        Ok(count) => count,
                        Err(left_out) => return Ok(Some(Parsed::LeftOut(left_out))),
                    },
                    Format::Plausible => plausible(&row)?,
                    _ => ours(&row)?,
                }
            }
        };
        Ok(Some(if count.views == 0 { Parsed::LeftOut(LeftOut::NoViews) } else { Parsed::Count(count) }))
    }
}

fn number(field: &'static str, text: &str) -> Result<i64, LineError> {
    let number = text.parse().ok().filter(|views| (0..=VIEWS_MAX).contains(views));
    number.ok_or_else(|| LineError::field(field, format!("must be a number from 0 to {VIEWS_MAX}, not \"{text}\"")))
}

fn time(start: &str, grain: Option<&str>) -> Result<CountedTime, LineError> {
    CountedTime::parse(start, grain).ok_or_else(|| match grain {
        Some(grain) if !matches!(grain, "" | "hour" | "day") => {
            LineError::field("grain", format!("must be hour or day, not \"{grain}\""))
        }
        _ => LineError::field("start", format!("must be like 2026-01-31T13:00:00Z or 2026-01-31, not \"{start}\"")),
    })
}

fn json(line: &[u8]) -> Result<Count, LineError> {
    let JsonLine { page, title, start, grain, views } =
        serde_json::from_slice(line).map_err(|error| LineError::Json(error.to_string()))?;
    if !(0..=VIEWS_MAX).contains(&views) {
        return Err(LineError::field("views", format!("must be a number from 0 to {VIEWS_MAX}, not {views}")));
    }
    Ok(Count { page, title, time: time(&start, grain.as_deref())?, views })
}

fn ours(row: &csv::Row<'_>) -> Result<Count, LineError> {
    let title = row.get("title").map(crate::cells::unguarded).filter(|title| !title.is_empty());
    Ok(Count {
        page: crate::cells::unguarded(row.required("page")?).to_owned(),
        title: title.map(str::to_owned),
        time: time(row.required("start")?, row.get("grain"))?,
        views: number("views", row.required("views")?)?,
    })
}

/// A view each. Older exports have other columns between these.
fn goatcounter(row: &csv::Row<'_>) -> Result<Result<Count, LeftOut>, LineError> {
    let is_set = |column| row.get(column).is_some_and(|text| !matches!(text, "" | "0" | "false"));
    if is_set("event") {
        return Ok(Err(LeftOut::Event));
    }
    if is_set("bot") {
        return Ok(Err(LeftOut::Bot));
    }
    let date = row.required("date")?;
    let at: DateTime<Utc> = date
        .parse()
        .map_err(|_wrong| LineError::field("Date", format!("must be like 2026-01-31T13:05:00Z, not \"{date}\"")))?;
    Ok(Ok(Count {
        page: row.required("path")?.to_owned(),
        title: row.get("title").filter(|title| !title.is_empty()).map(str::to_owned),
        time: CountedTime::Hour(Hour::containing(at)),
        views: 1,
    }))
}

fn plausible(row: &csv::Row<'_>) -> Result<Count, LineError> {
    let date = row.required("date")?;
    let day =
        date.parse().map_err(|_wrong| LineError::field("date", format!("must be like 2026-01-31, not \"{date}\"")))?;
    Ok(Count {
        page: row.required("page")?.to_owned(),
        title: None,
        time: CountedTime::Day(day),
        views: number("pageviews", row.required("pageviews")?)?,
    })
}

/// A line has the domain's code, the page, its views, and a size that is not used any more.
fn wikimedia(line: &[u8], hour: Hour) -> Result<Count, LineError> {
    let text = str::from_utf8(line).map_err(|_wrong| LineError::Utf8)?;
    let fields: Vec<_> = text.split(' ').collect();
    let [domain, page, views, _size] = fields.as_slice() else {
        return Err(LineError::Cells { expected: 4, found: fields.len() });
    };
    Ok(Count {
        page: format!("{domain}/{page}"),
        title: None,
        time: CountedTime::Hour(hour),
        views: number("count_views", views)?,
    })
}

#[cfg(test)]
mod tests;
