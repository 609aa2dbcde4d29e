//! `Freshness`.

use async_graphql::{Enum, ID, SimpleObject};
use chrono::{DateTime, Utc};
use entity::clock;

use super::scalars::SafeInt;
use crate::freshness;

/// Whether the report is as fresh as it should be.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "freshness::RefreshStatus")]
pub(crate) enum RefreshStatus {
    /// The last refresh succeeded and the next one is not overdue.
    Fresh,
    /// A refresh is under way.
    Refreshing,
    /// The last refresh failed.
    Failed,
    /// The next refresh is late by more than one interval, or there never was one.
    Overdue,
}

/// How current the report is.
#[derive(Debug, SimpleObject)]
pub(crate) struct Freshness {
    /// The refresh whose content the report has; it grows with every refresh. "0" before the first.
    refresh_id: ID,
    /// Every increment with `recordedAt` at or before this is in the report. Null before the first refresh.
    as_of: Option<DateTime<Utc>>,
    /// When that refresh ended.
    refreshed_at: Option<DateTime<Utc>>,
    /// When the next refresh is due; null when nobody ever refreshed on a schedule.
    next_refresh_at: Option<DateTime<Utc>>,
    /// How long ago `asOf` was when this was answered.
    staleness_seconds: Option<f64>,
    /// By the answering process's own clock: a worker that died is reported by those who outlive it.
    status: RefreshStatus,
    /// How many rows of the report the refresh changed.
    rows_changed: Option<SafeInt>,
    /// How long the refresh took.
    duration_ms: Option<SafeInt>,
    /// Why the last refresh failed, if it did.
    error: Option<String>,
}

impl From<&freshness::Freshness> for Freshness {
    fn from(freshness: &freshness::Freshness) -> Self {
        let now = clock::process_now();
        Self {
            refresh_id: freshness.refresh_id.into(),
            as_of: freshness.as_of,
            refreshed_at: freshness.refreshed_at,
            next_refresh_at: freshness.next_refresh_at,
            staleness_seconds: freshness.staleness(now).map(|staleness| staleness.as_seconds_f64()),
            status: freshness.status(now).into(),
            rows_changed: freshness.rows_changed.map(SafeInt),
            duration_ms: freshness.duration.map(|duration| SafeInt(duration.num_milliseconds())),
            error: freshness.error().map(ToOwned::to_owned),
        }
    }
}
