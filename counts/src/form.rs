//! The forms in which counts are exported.

use std::{io, path::Path, str::FromStr};

use csv::{QuoteStyle, Terminator, WriterBuilder};
use serde::Serialize;

use crate::{Count, cells::guarded};

/// The names of the columns and fields.
pub(crate) const COLUMNS: [&str; 5] = ["page", "title", "start", "grain", "views"];
/// The mark by which spreadsheets know that a file is UTF-8.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A form of exported counts. One line is one count; the columns or fields are `page`, `title`, `start`, `grain` (`hour` or
/// `day`) and `views`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// Comma-separated values (RFC 4180) in UTF-8, with a header.
    #[default]
    Csv,
    /// JSON Lines: an object in each line.
    Jsonl,
}

/// The error that a text names no form.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be csv or jsonl")]
pub struct ParseFormError;

impl FromStr for Form {
    type Err = ParseFormError;

    fn from_str(text: &str) -> Result<Self, ParseFormError> {
        match text {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(ParseFormError),
        }
    }
}

/// A line of JSON Lines.
#[derive(Serialize)]
struct Line<'a> {
    page: &'a str,
    title: Option<&'a str>,
    start: String,
    grain: &'static str,
    views: i64,
}

impl Form {
    /// Returns the form that a file's name asks for, if it does.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }

    /// Returns what a file begins with: the header, if the form has one.
    ///
    /// # Errors
    /// Never: it is written into memory.
    pub fn beginning(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => csv(BYTE_ORDER_MARK.into(), [COLUMNS.map(|name| name.to_owned())]),
            Self::Jsonl => Ok(Vec::new()),
        }
    }

    /// Returns the lines of `counts`.
    ///
    /// # Errors
    /// Never: they are written into memory.
    pub fn lines(self, counts: &[Count]) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => {
                let cells = counts.iter().map(|Count { page, title, time, views }| {
                    let text = |text: &str| guarded(text).into_owned();
                    let title = text(title.as_deref().unwrap_or_default());
                    [text(page), title, time.start(), time.grain().to_owned(), views.to_string()]
                });
                csv(Vec::new(), cells)
            }
            Self::Jsonl => {
                let mut lines = Vec::new();
                for Count { page, title, time, views } in counts {
                    let (start, grain) = (time.start(), time.grain());
                    let line = Line { page, title: title.as_deref(), start, grain, views: *views };
                    serde_json::to_writer(&mut lines, &line)?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
        }
    }
}

/// Writes rows behind `beginning`. Cells with text are quoted, so that a spreadsheet that splits lines at another character
/// than the comma finds no cell within a name.
fn csv(beginning: Vec<u8>, rows: impl IntoIterator<Item = [String; COLUMNS.len()]>) -> io::Result<Vec<u8>> {
    let style = QuoteStyle::NonNumeric;
    let mut writer = WriterBuilder::new().quote_style(style).terminator(Terminator::CRLF).from_writer(beginning);
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

#[cfg(test)]
mod tests {
    use entity::Hour;

    use super::*;
    use crate::CountedTime;

    fn counts() -> Vec<Count> {
        let hour = Hour::containing("2026-11-27T02:00:00Z".parse().unwrap());
        let title = Some("=Say \"hi\", é".to_owned());
        vec![
            Count { page: "/a,b".to_owned(), title, time: CountedTime::Hour(hour), views: 3 },
            Count { page: "12".to_owned(), title: None, time: CountedTime::Day(hour.date()), views: 1 },
        ]
    }

    #[test]
    fn csv_has_a_mark_a_header_and_quoted_text() {
        let text = [Form::Csv.beginning().unwrap(), Form::Csv.lines(&counts()).unwrap()].concat();
        let expected = "\u{feff}\"page\",\"title\",\"start\",\"grain\",\"views\"\r\n\
                        \"/a,b\",\"'=Say \"\"hi\"\", é\",\"2026-11-27T02:00:00Z\",\"hour\",3\r\n\
                        12,\"\",\"2026-11-27\",\"day\",1\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn json_lines_have_an_object_a_count() {
        let text = Form::Jsonl.lines(&counts()).unwrap();
        let expected = "{\"page\":\"/a,b\",\"title\":\"=Say \\\"hi\\\", é\",\"start\":\"2026-11-27T02:00:00Z\",\
                        \"grain\":\"hour\",\"views\":3}\n\
                        {\"page\":\"12\",\"title\":null,\"start\":\"2026-11-27\",\"grain\":\"day\",\"views\":1}\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn form_is_that_of_the_name() {
        for (name, form) in [("a.csv", Some(Form::Csv)), ("a.jsonl", Some(Form::Jsonl)), ("a", None), ("a.gz", None)] {
            assert_eq!(Form::of_file(Path::new(name)), form);
        }
    }
}
