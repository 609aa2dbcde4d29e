//! The storage contract: the tables and the report as SeaORM entities, the connection to the
//! database, the clock, and the hour that counts are kept by.
//!
//! `api` and `wolf` both stand on this crate and never name each other: the database is all that
//! is between them.

pub mod backup;
pub mod clock;
pub mod connections;
pub mod database;
pub mod failure;
pub mod hour;
pub mod idempotency_key;
pub mod kept_day;
pub mod page;
pub mod page_view;
pub mod page_views_report;
pub mod refresh_clock;
pub mod report_refresh;
pub mod snapshot;
pub mod stale_hour;
pub mod stale_title;

pub use connections::{Connections, Purpose, Transaction};
pub use database::{Database, DatabaseError, DatabaseKind, DatabaseSettings};
pub use hour::Hour;
pub use page_views_report::Grain;

/// The NOTIFY channel on which the Wolf announces a changed row of `report_refreshes`; the payload is the row's id.
pub const REFRESH_CHANNEL: &str = "report_refreshes";
