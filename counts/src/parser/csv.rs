//! CSV whose columns are found by their names in the header.

use csv_core::{ReadRecordResult, Reader};

use super::{Format, LineError};
use crate::form::BYTE_ORDER_MARK;

/// The most cells of a line.
const CELLS_MAX: usize = 100;

/// The header of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// The names of the columns, in small letters.
    columns: Vec<String>,
}

impl Header {
    /// Reads a header; none if the line is not that of a known format.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(line);
        let line = line.trim_ascii_end();
        let mut cells = Cells::default();
        let names = cells.split(line).ok()?.map(str::to_ascii_lowercase);
        let mut columns: Vec<_> = names.collect();
        let has = |columns: &[String], names: &[&str]| names.iter().all(|name| columns.iter().any(|one| one == name));
        // GoatCounter writes the version of its format before the first column's name.
        let first = columns.first()?.trim_start_matches(|character: char| character.is_ascii_digit()).to_owned();
        let format = if first == "path" && has(&columns, &["date"]) {
            *columns.first_mut()? = first;
            Format::Goatcounter
        } else if has(&columns, &["date", "page", "pageviews"]) {
            Format::Plausible
        } else if has(&columns, &["page", "start", "views"]) {
            Format::Csv
        } else {
            return None;
        };
        Some(Self { format, columns })
    }
}

/// Splits lines into cells. It keeps its buffers from one line to the next.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// The cells of a line, by the names of their columns.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    header: &'a Header,
    cells: Vec<&'a str>,
}

impl Cells {
    /// Reads a line.
    pub(super) fn read<'a>(&'a mut self, line: &[u8], header: &'a Header) -> Result<Row<'a>, LineError> {
        let cells: Vec<_> = self.split(line)?.collect();
        let (expected, found) = (header.columns.len(), cells.len());
        if found != expected { Err(LineError::Cells { expected, found }) } else { Ok(Row { header, cells }) }
    }

    fn split(&mut self, line: &[u8]) -> Result<impl Iterator<Item = &str>, LineError> {
        self.text.resize(line.len() + 1, 0);
        self.ends.resize(CELLS_MAX, 0);
        let mut reader = Reader::new();
        let (result, read, written, cells) = reader.read_record(line, &mut self.text, &mut self.ends);
        let (result, written, cells) = match result {
            // The line's end, which may be within a quoted cell.
            ReadRecordResult::InputEmpty if read == line.len() => {
                let text = self.text.get_mut(written..).unwrap_or_default();
                let ends = self.ends.get_mut(cells..).unwrap_or_default();
                let (result, _, more_text, more_cells) = reader.read_record(b"\n", text, ends);
                (result, written + more_text, cells + more_cells)
            }
            other => (other, written, cells),
        };
        match result {
            ReadRecordResult::Record => {}
            ReadRecordResult::OutputEndsFull => {
                return Err(LineError::Cells { expected: CELLS_MAX, found: CELLS_MAX + 1 });
            }
            _ => return Err(LineError::OpenQuote),
        }
        let text = str::from_utf8(self.text.get(..written).unwrap_or_default()).map_err(|_wrong| LineError::Utf8)?;
        let ends = self.ends.get(..cells).unwrap_or_default();
        let starts = [0].into_iter().chain(ends.iter().copied());
        Ok(starts.zip(ends).map(|(start, end)| text.get(start..*end).unwrap_or_default()))
    }
}

impl Row<'_> {
    /// Returns the cell of a column, if the file has the column.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        let index = self.header.columns.iter().position(|name| name == column)?;
        self.cells.get(index).copied()
    }

    /// Returns the cell of a column that every line has.
    pub(super) fn required(&self, column: &'static str) -> Result<&str, LineError> {
        self.get(column).filter(|cell| !cell.is_empty()).ok_or_else(|| LineError::field(column, "is empty"))
    }
}
