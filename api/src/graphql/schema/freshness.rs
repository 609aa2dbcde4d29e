//! The type `Freshness`.

use std::time::Instant;

use async_graphql::{Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::scalars::SafeInt;
use reports::{ReportView, freshness};

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

/// How far a refresh is that is under way.
#[derive(Copy, Clone, Debug, SimpleObject)]
pub(crate) struct RefreshProgress {
    /// How many stale hours it found.
    hours: i32,
    /// How many of these hours are still to be merged. Of a report that is a materialized view all are until the end.
    hours_left: i32,
    /// How many rows of the report it has changed so far.
    rows_changed: SafeInt,
}

/// The type `Freshness`.
#[derive(Debug)]
pub(crate) enum Freshness {
    /// That of a view, at the view's moment. The view notes what a response shows of it.
    OfView(ReportView),
    /// A freshness at another moment.
    At(Box<freshness::Freshness>, Instant),
}

impl Freshness {
    fn freshness(&self) -> &freshness::Freshness {
        match self {
            Self::OfView(view) => view.freshness(),
            Self::At(freshness, _) => freshness,
        }
    }
}

/// How current the report is.
#[Object]
impl Freshness {
    /// The refresh whose content the report has; it grows with every refresh. "0" before the first.
    async fn refresh_id(&self) -> ID {
        self.freshness().refresh_id.into()
    }

    /// Every increment with `recordedAt` at or before this is in the report. It never falls: after a clock went back, `asOf`
    /// and `recordedAt` stay ahead of the clock until it has caught up. Null before the first refresh.
    async fn as_of(&self) -> Option<DateTime<Utc>> {
        self.freshness().as_of
    }

    /// The time of the database's clock at which the report was current: `asOf`, unless a clock went back. Show this one to
    /// people, and compare `recordedAt` with the other.
    async fn looked_at(&self) -> Option<DateTime<Utc>> {
        self.freshness().looked_at
    }

    /// When that refresh ended.
    async fn refreshed_at(&self) -> Option<DateTime<Utc>> {
        self.freshness().refreshed_at
    }

    /// When the next refresh is due; null before a schedule has ever run.
    async fn next_refresh_at(&self) -> Option<DateTime<Utc>> {
        self.freshness().next_refresh_at
    }

    /// How long ago `lookedAt` was when this was answered.
    async fn staleness_seconds(&self) -> Option<f64> {
        let staleness = match self {
            Self::OfView(view) => view.staleness(),
            Self::At(freshness, now) => freshness.staleness(*now),
        };
        staleness.map(|staleness| staleness.as_seconds_f64())
    }

    /// By the time that the answering process has measured: a worker that died is reported by those who outlive it.
    async fn status(&self) -> RefreshStatus {
        match self {
            Self::OfView(view) => view.status().into(),
            Self::At(freshness, now) => freshness.status(*now).into(),
        }
    }

    /// How many rows of the report the refresh changed.
    async fn rows_changed(&self) -> Option<SafeInt> {
        self.freshness().rows_changed.map(SafeInt)
    }

    /// How long the refresh took.
    async fn duration_ms(&self) -> Option<SafeInt> {
        self.freshness().duration.map(|duration| SafeInt(duration.num_milliseconds()))
    }

    /// How far the refresh under way is, about once a second; null while none is.
    async fn progress(&self) -> Option<RefreshProgress> {
        self.freshness().progress().map(|progress| RefreshProgress {
            hours: progress.hours,
            hours_left: progress.hours_left,
            rows_changed: SafeInt(progress.rows_changed),
        })
    }

    /// Why the last refresh failed, if it did.
    async fn error(&self) -> Option<String> {
        self.freshness().error().map(ToOwned::to_owned)
    }
}
