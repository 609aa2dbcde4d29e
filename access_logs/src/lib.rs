//! Lines of web servers' access logs: the formats, and what a line says of a request.
//!
//! This crate knows no files, no databases and no counts. Which requests are page views is decided by its users.

mod combined;
mod detect;
mod escape;
mod format;
mod haproxy;
mod json;
mod line;
mod load_balancer;
mod parser;
#[cfg(test)]
mod samples;
mod template;
mod text;
mod time;
mod w3c;

pub use detect::{SAMPLE_BYTES_MAX, Unknown, detect};
pub use format::{Format, FormatError};
pub use line::{LineError, LogLine};
pub use parser::Parser;
pub use template::{Template, TemplateError};
