//! The Wolf: brings `page_views_report` up to date with what has been recorded.
//!
//! A schedule only rings; one loop works ([`run`]); one refresh at a time across all processes
//! ([`Refresher`]). What is stale, what a refresh did and how fresh the report is all stand in the
//! database, so that a Wolf that dies takes nothing with it.

mod error;
mod history;
mod marks;
mod merge;
mod refresh;
mod report_kind;
mod schedule;
mod settings;
mod worker;

pub use error::WolfError;
pub use refresh::{Outcome, Refreshed, Refresher, Turn};
pub use report_kind::ReportKind;
pub use schedule::{Schedule, ScheduleError};
pub use settings::{ReportKindSetting, WolfSettings};
pub use worker::run;
