//! Recording: validates increments, commits them in groups and acknowledges each request once it is durable.

mod batch;
mod client;
mod increment;
mod known_pages;
mod recorder;
mod store;

pub use client::{Client, ClientName, ParseClientNameError};
pub use increment::{
    AHEAD_MAX, BackDating, IdempotencyKey, Increment, PageName, RecordingLimits, Request, Title, ValidationError,
    Views, check_at, is_allowed_in_names, is_bidirectional_control,
};
pub use recorder::{Committer, RecordError, Recorded, Recorder, RecorderSettings};
pub use store::StoreError;

/// The most increments of one request.
pub const INCREMENTS_PER_REQUEST_MAX: usize = 10_000;
