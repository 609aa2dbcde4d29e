//! Counts the page views of access logs, each line once.

mod chunks;
mod first_time;
mod log_file;
mod rules;
mod sources;
mod summary;

pub use chunks::{Chunk, Chunks};
pub use first_time::first_time;
pub use log_file::{Compression, LogFile, LogFileError, from_file, from_raw, open};
pub use rules::Rules;
pub use sources::{SourceError, Sources};
pub use summary::ImportStats;
