//! Counts in files: the two forms that are exported, CSV and JSON Lines, and those of other programs.
//!
//! A [`Form`] writes [`Count`]s; a [`Parser`] reads them back, one line at a time. What was written is read exactly as it
//! was.

mod cells;
mod count;
mod detect;
mod form;
mod format_name;
mod parser;

pub use count::{Count, CountedTime, VIEWS_MAX};
pub use detect::{Unknown, detect};
pub use form::{Form, ParseFormError};
pub use format_name::FormatName;
pub use parser::{Format, LeftOut, LineError, Parsed, Parser};
