//! The type `Freshness`.

use std::time::Instant;

use async_graphql::{Enum, ID, SimpleObject};
use chrono::{DateTime, Utc};

use super::scalars::SafeInt;
use reports::ReportView;
use reports::freshness;

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
    /// Every increment with `recordedAt` at or before this is in the report. It never falls: after a clock went back, `asOf`
    /// and `recordedAt` stay ahead of the clock until it has caught up. Null before the first refresh.
    as_of: Option<DateTime<Utc>>,
    /// The time of the database's clock at which the report was current: `asOf`, unless a clock went back. Show this one to
    /// people, and compare `recordedAt` with the other.
    looked_at: Option<DateTime<Utc>>,
    /// When that refresh ended.
    refreshed_at: Option<DateTime<Utc>>,
    /// When the next refresh is due; null when nobody ever refreshed on a schedule.
    next_refresh_at: Option<DateTime<Utc>>,
    /// How long ago `lookedAt` was when this was answered.
    staleness_seconds: Option<f64>,
    /// By the time that the answering process has measured: a worker that died is reported by those who outlive it.
    status: RefreshStatus,
    /// How many rows of the report the refresh changed.
    rows_changed: Option<SafeInt>,
    /// How long the refresh took.
    duration_ms: Option<SafeInt>,
    /// Why the last refresh failed, if it did.
    error: Option<String>,
}

impl Freshness {
    /// Returns the freshness of a view, at the view's moment.
    pub(super) fn of_view(answer: &ReportView) -> Self {
        Self::at(answer.freshness(), answer.moment().monotonic)
    }

    /// Converts the freshness, with its status and staleness at `now`.
    pub(super) fn at(freshness: &freshness::Freshness, now: Instant) -> Self {
        Self {
            refresh_id: freshness.refresh_id.into(),
            as_of: freshness.as_of,
            looked_at: freshness.looked_at,
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
