//! The service Increments: validates increments, commits them in groups and acknowledges each request once it is durable.
//!
//! A [`Recorder`] is the handle that takes requests; the [`Committer`] that is made with it commits them. It writes the
//! counts and marks what became stale in the same transaction, and never reads the report.
//!
//! ```no_run
//! use increments::{Increment, PageName, Recorder, RecorderSettings, Request, Views};
//! # async fn example(
//! #     database: storage::Database, settings: RecorderSettings, stop: tokio_util::sync::CancellationToken,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let (recorder, committer) = Recorder::new(&database, &settings);
//! let committing = committer.run(stop); // for as long as the service lives
//!
//! let increment = Increment {
//!     page: PageName::new("/hello".to_owned())?,
//!     views: Views::new(1)?,
//!     hour: entity::Hour::containing(database.clock.now()),
//!     at: None,
//!     title: None,
//! };
//! let recording = async { recorder.record(Request::new(vec![increment], None)).await };
//! # let (recorded, ()) = tokio::join!(recording, committing);
//! # recorded?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod client;
pub mod imports;
mod increment;
mod known_pages;
mod metrics;
mod nodes;
mod recorder;
mod store;

pub use client::{Client, ClientName, ParseClientNameError};
pub use increment::{
    BackDating, IdempotencyKey, Increment, KEY_CHARACTERS_MAX, PAGE_BYTES_MAX, PageName, RecordingLimits, Request,
    TITLE_BYTES_MAX, Title, VIEWS_MAX, ValidationError, Views, check_at, is_allowed_in_names, is_bidirectional_control,
};
pub use metrics::HISTOGRAMS;
pub use recorder::{Committer, RecordError, Recorded, Recorder, RecorderSettings};
pub use store::StoreError;

/// The most increments of one request.
pub const INCREMENTS_PER_REQUEST_MAX: usize = 10_000;
