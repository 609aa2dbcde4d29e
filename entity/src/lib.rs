//! The storage that `api` and `wolf` share: the tables and the report as SeaORM entities, the connections to the
//! database, the clocks, and the hour.
//!
//! `api` and `wolf` both depend on this crate and not on each other. They communicate through the database only.

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
pub use database::{ConnectionSettings, Database, DatabaseError, DatabaseKind, DatabaseSettings};
pub use hour::Hour;
pub use page_views_report::Grain;

/// The NOTIFY channel on which the Wolf announces a changed row of `report_refreshes`; the payload is the row's id.
pub const REFRESH_CHANNEL: &str = "report_refreshes";
