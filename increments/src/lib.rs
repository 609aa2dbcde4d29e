//! The service Increments: validates increments, commits them in groups and acknowledges each request once it is durable.
//!
//! A [`Recorder`] is the handle that takes requests; the [`Committer`] that is made with it commits them. It writes the
//! counts and marks what became stale in the same transaction, and never reads the report.

mod batch;
mod client;
mod increment;
mod known_pages;
mod metrics;
mod recorder;
mod store;

pub use client::{Client, ClientName, ParseClientNameError};
pub use increment::{
    BackDating, IdempotencyKey, Increment, PageName, RecordingLimits, Request, Title, ValidationError, Views, check_at,
    is_allowed_in_names, is_bidirectional_control,
};
pub use metrics::HISTOGRAMS;
pub use recorder::{Committer, RecordError, Recorded, Recorder, RecorderSettings};
pub use store::StoreError;

/// The most increments of one request.
pub const INCREMENTS_PER_REQUEST_MAX: usize = 10_000;
