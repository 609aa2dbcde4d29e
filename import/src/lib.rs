//! Counts the page views of access logs, and the counts of other databases and programs, each line once.
//!
//! An [`Importer`] opens logs; a [`LogImport`] reads one of them and records what is new in it. A log is known again by
//! its content, whatever its name and compression, since how far it was read is stored with its counts, in the same
//! transaction.

mod first_time;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod importer;
mod known;
mod line_parser;
mod lines;
mod log_file;
mod progress;
mod random;
mod rules;
mod scan;
mod sources;
mod summary;
mod unreadable;

pub use first_time::{first_count, first_time};
pub use follow::Follower;
pub use importer::{CountsSettings, ImportError, ImportSettings, Importer, LogImport};
pub use log_file::{Compression, LogFile, LogFileError, from_file, from_raw, open};
pub use progress::ImportProgress;
pub use rules::Rules;
pub use sources::{STANDARD_INPUT, SourceError, Sources};
pub use summary::{ImportStats, KnownLines, LogSummary};
