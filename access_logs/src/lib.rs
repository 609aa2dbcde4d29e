//! Lines of web servers' access logs: the formats, and what a line says of a request.
//!
//! This crate knows no files, no databases and no counts. Which requests are page views is decided by its users.

mod log_line;

pub use log_line::{LineError, LogLine};
