//! The Wolf: brings `page_views_report` up to date with what has been recorded.
//!
//! A schedule only rings; one loop works ([`run`]); one refresh at a time across all processes
//! ([`Refresher`]). What is stale, what a refresh did and how fresh the report is all stand in the
//! database, so that a Wolf that dies takes nothing with it.

mod announcement;
mod backlog;
mod citus;
mod clock_steps;
mod error;
mod follow_ups;
mod history;
mod maintenance;
mod marks;
mod merge;
mod metrics;
mod old_hours;
mod rebuild;
mod refresh;
mod report_kind;
mod schedule;
mod settings;
mod swap;
mod turn;
mod verify;
mod worker;

pub use error::WolfError;
pub use maintenance::Maintenance;
pub use metrics::{HISTOGRAMS, StaleHours};
pub use refresh::{Outcome, Refreshed, Refresher};
pub use report_kind::ReportKind;
pub use schedule::{Schedule, ScheduleError};
pub use settings::{ReportKindSetting, WolfSettings};
pub use turn::Turn;
pub use verify::{Difference, Verification, verify};
pub use worker::run;

use entity::Database;
use error::During;

/// Distributes the tables by page over the nodes of a Citus cluster, with the report as a table. Nothing happens on a
/// database without the extension, or when it has been done.
///
/// # Errors
/// [`WolfError::Database`].
pub async fn distribute(database: &Database) -> Result<(), WolfError> {
    if citus::is_installed(&database.wolf).await.during("look for the extension Citus")? {
        Refresher::new(database).ensure_kind(ReportKind::Table).await?;
        citus::distribute(&database.wolf).await.during("distribute the tables")?;
    }
    Ok(())
}
