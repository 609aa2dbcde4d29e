//! The tables and the report as SeaORM entities, and the hour: what the services that share a database agree on.
//!
//! The services know this crate and not each other. They communicate through the database only.

pub mod counted;
pub mod hour;
pub mod idempotency_key;
pub mod import;
pub mod import_chunk;
pub mod import_count;
pub mod job;
pub mod kept_day;
pub mod letters;
pub mod page;
pub mod page_alias;
pub mod page_group;
pub mod page_membership;
pub mod page_view;
pub mod page_views_report;
pub mod refresh_clock;
pub mod refresh_request;
pub mod report_change;
pub mod report_refresh;
pub mod stale_hour;
pub mod stale_title;

pub use counted::Counted;
pub use hour::Hour;
pub use page_view::AHEAD_MAX;
pub use page_views_report::Grain;

/// The NOTIFY channel on which the Wolf announces a changed row of `report_refreshes`; the payload is the row's id.
pub const REFRESH_CHANNEL: &str = "report_refreshes";
