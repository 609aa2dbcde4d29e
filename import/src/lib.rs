//! Counts the page views of access logs, each line once.

mod chunks;
mod log_file;
mod rules;
mod summary;

pub use chunks::{Chunk, Chunks};
pub use log_file::{LogFile, from_raw, open};
pub use rules::Rules;
pub use summary::ImportStats;
