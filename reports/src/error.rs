//! The errors of reading the report.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use crate::{freshness::RequiredFreshness, interval::IntervalError};

/// An error of reading the report.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReportError {
    /// The interval or the series is not possible, or too long.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// The report has no group of this name.
    #[error("there is no group {0:?}")]
    UnknownGroup(String),
    /// The report does not have the sums of a group.
    #[error("the group {group} is not complete: {reason}")]
    IncompleteGroup {
        /// The group's name.
        group: String,
        /// Why.
        reason: String,
    },
    /// The report could not be read.
    #[error("the report can't be read")]
    Database(#[from] DbErr),
    /// The report has changed since the view was created: create another one.
    #[error("the report has changed meanwhile")]
    VersionChanged,
    /// The report is not as fresh as the reader requires.
    #[error("the report is not fresh enough")]
    NotFreshEnough {
        /// What the reader requires.
        required: RequiredFreshness,
        /// What the report has reached; `None` before the first refresh.
        as_of: Option<DateTime<Utc>>,
    },
}
