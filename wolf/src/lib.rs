//! The Wolf: the background worker that brings `page_views_report` up to date with the recorded increments.
//!
//! A cron schedule wakes one loop ([`run`]), and a lock in the database lets one process refresh at a time
//! ([`Refresher`]). The stale hours, the log of refreshes and the report's freshness are all rows of the database, so
//! a Wolf that is killed loses nothing.
//!
//! * `worker`, `schedule`, `requests`: when a refresh begins
//! * `refresh`: one refresh, from the announcement of its `asOf` to the row that records its end
//! * `merge`: how a refresh adds the changes of stale hours to a report that is a table
//! * `rebuild`: the report built anew and swapped in, and conversions between its kinds
//! * `top_pages`, `site_rows`: the flags and numbers by which lists and counts of pages need not read every row
//! * `groups`, `declared_groups`: the sums of pages that are chosen by declared patterns
//! * `maintenance`: what is deleted when it is old
//! * `verify`: compares the report with its definition
//!
//! ```no_run
//! # async fn example(database: storage::Database) -> Result<(), wolf::WolfError> {
//! use wolf::{LockMode, Outcome, Refresher};
//!
//! if let Outcome::Refreshed(done) = Refresher::new(&database).refresh(LockMode::Wait, None).await? {
//!     println!("{} rows changed", done.rows_changed);
//! }
//! # Ok(())
//! # }
//! ```

mod aliases;
mod bound_list;
mod changed_pages;
mod citus;
mod clock_steps;
mod counts;
mod declared_groups;
mod error;
mod groups;
mod jobs;
mod maintenance;
mod merge;
mod metrics;
mod pages;
mod progress;
mod rebuild;
mod recount;
mod refresh;
mod refresher;
mod report_kind;
mod requests;
mod schedule;
mod sent;
mod settings;
mod site_rows;
mod top_pages;
mod verify;
mod worker;

pub use declared_groups::{DeclaredGroup, DeclaredGroups, GroupPreview, declare_groups, list_groups, preview_groups};
pub use error::WolfError;
pub use groups::definitions::{
    DefinitionError, GroupDefinitions, GroupMatcher, GroupsOfPage, PATTERN_BYTES_MAX, PATTERNS_MAX,
};
pub use maintenance::Maintenance;
pub use metrics::{HISTOGRAMS, StaleHours};
pub use progress::Progress;
pub use refresh::{LockMode, Refreshed};
pub use refresher::{Outcome, Refresher};
pub use report_kind::ReportKind;
pub use requests::RefreshRequests;
pub use schedule::{Schedule, ScheduleError};
pub use settings::{ReportKindSetting, WolfSettings};
pub use verify::{Difference, Verification, WrongSummary, verify};
pub use worker::run;

use entity::page_views_report::RELATION;
use error::Context;
use storage::Database;

/// Distributes the tables of a Citus cluster by page over its nodes, and makes the report a table. Does nothing on a
/// database without the extension or with tables that are distributed already. Recorders must not run meanwhile: they may
/// still leave marks of the kind that is not beside the counts.
///
/// # Errors
/// [`WolfError::Database`].
pub async fn distribute(database: &Database) -> Result<(), WolfError> {
    if citus::is_installed(&database.background).await.context("look for the extension Citus")? {
        citus::distribute_counts(&database.background).await.context("distribute the tables")?;
        // The conversion of a view distributes the report; a report that is a table already is left to be distributed.
        Refresher::new(database).ensure_kind(ReportKind::Table).await?;
        citus::distribute(&database.background, RELATION).await.context("distribute the report")?;
    }
    Ok(())
}
