//! What is known of the report's refreshes: `report_refreshes` read and judged.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use entity::{clock::Clock, report_refresh};
use sea_orm::{ConnectionTrait, DbErr};

use super::age::{Age, Ages, elder};

/// What is known of the report's refreshes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The refresh whose content the report has; 0 before the first.
    pub refresh_id: i64,
    /// Every increment with `recordedAt` at or before this is in the report. It never falls, so after a clock went back it is
    /// ahead of the clock.
    pub as_of: Option<DateTime<Utc>>,
    /// The time of the database's clock at which the report was what `as_of` promises: the same as `as_of`, unless a clock
    /// went back. What is told of the wall clock (staleness, completeness, comparison) goes by this.
    pub looked_at: Option<DateTime<Utc>>,
    /// When that refresh ended.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// How many report rows it changed.
    pub rows_changed: Option<i64>,
    /// How long it took.
    pub duration: Option<TimeDelta>,
    /// When the next refresh is due.
    pub next_refresh_at: Option<DateTime<Utc>>,
    /// The first day of which the report has hours; of older ones it has days and months only.
    pub hours_since: Option<NaiveDate>,
    /// Grows whenever the report changes, within a refresh too: where it is the same, so is all of the report.
    pub content_version: i64,
    /// The newest word there is, of a refresh that may be under way or have failed.
    pub(super) newest: Newest,
    pub(super) ages: Ages,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) id: i64,
    under_way: bool,
    error: Option<String>,
    /// What the schedule said last.
    schedule: Option<Schedule>,
}

/// When a report becomes overdue, by the database's clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Schedule {
    /// When it was said.
    said_at: DateTime<Utc>,
    overdue_at: DateTime<Utc>,
}

/// Whether the report is as fresh as it should be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RefreshStatus {
    /// The last refresh succeeded and the next one is not overdue.
    Fresh,
    /// A refresh is under way.
    Refreshing,
    /// The last refresh failed.
    Failed,
    /// Nobody refreshes: the next refresh is late by more than one interval, or there never was one.
    Overdue,
}

impl Freshness {
    /// Reads it.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn read<C: ConnectionTrait>(db: &C, clock: &Clock) -> Result<Self, DbErr> {
        // Read apart, the promise could be newer than the content that the newest row stands for.
        let read = report_refresh::newest_and_successful(db).await?;
        let (database_now, read_at) = (read.database_now.unwrap_or_else(|| clock.now()), Instant::now());
        let (Some(newest), content) = (read.row, read.successful) else { return Ok(Self::default()) };
        let schedule = newest.overdue_at.map(|overdue_at| Schedule {
            // Older programs say only when their refresh began.
            said_at: newest.scheduled_at.unwrap_or(newest.started_at),
            overdue_at,
        });
        let age = |at| Age::new(at, database_now, read_at);
        let mut freshness = Self {
            next_refresh_at: newest.next_refresh_at,
            hours_since: newest.hours_since,
            content_version: newest.content_version,
            newest: Newest { id: newest.id, under_way: newest.finished_at.is_none(), error: newest.error, schedule },
            ages: Ages { look: None, schedule: schedule.map(|schedule| age(schedule.said_at)) },
            ..Self::default()
        };
        if let Some(content) = content {
            freshness.refresh_id = content.id;
            freshness.as_of = content.as_of;
            freshness.looked_at = content.looked_at();
            freshness.refreshed_at = content.finished_at;
            freshness.rows_changed = Some(content.rows_changed);
            freshness.ages.look = freshness.looked_at.map(age);
            let by_the_clock = || content.finished_at.map(|finished_at| finished_at - content.started_at);
            freshness.duration = content.duration_ms.map(TimeDelta::milliseconds).or_else(by_the_clock);
        }
        Ok(freshness)
    }

    /// Its status at `now`: a Wolf that died is reported by those who outlive it.
    #[must_use]
    pub fn status(&self, now: Instant) -> RefreshStatus {
        if self.newest.id == 0 || self.until_overdue(now) == Some(Duration::ZERO) {
            RefreshStatus::Overdue
        } else if self.newest.under_way {
            RefreshStatus::Refreshing
        } else if self.newest.error.is_some() {
            RefreshStatus::Failed
        } else {
            RefreshStatus::Fresh
        }
    }

    /// Whether no refresh is under way: what is known will hold for some time.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.newest.id != 0 && !self.newest.under_way
    }

    /// Why the last refresh failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.newest.error.as_deref()
    }

    /// What clients see of it: the same, it is no news.
    pub(super) fn what_is_told(&self) -> Self {
        let newest = Newest { id: 0, schedule: None, ..self.newest.clone() };
        Self { content_version: 0, newest, ..self.clone() }
    }

    /// How long ago `looked_at` was, at `now`.
    #[must_use]
    pub fn staleness(&self, now: Instant) -> Option<TimeDelta> {
        self.ages.look.map(|age| age.at(now))
    }

    /// How long it is from `now` until nobody has refreshed for too long; nothing when that was so before, and none where no
    /// schedule has ever run.
    pub(super) fn until_overdue(&self, now: Instant) -> Option<Duration> {
        let holds = self.newest.schedule.map(|schedule| schedule.overdue_at - schedule.said_at)?;
        // A millisecond late rather than early.
        let left = holds + TimeDelta::milliseconds(1) - self.ages.schedule?.at(now);
        Some(left.to_std().unwrap_or_default())
    }

    /// Takes over the ages that are known of the same, where they are greater: a clock that went back makes nothing younger.
    pub(super) fn no_younger_than(mut self, known: &Self) -> Self {
        if self.as_of == known.as_of {
            self.ages.look = elder(self.ages.look, known.ages.look);
        }
        if self.newest.schedule == known.newest.schedule {
            self.ages.schedule = elder(self.ages.schedule, known.ages.schedule);
        }
        self
    }
}

#[cfg(test)]
impl Freshness {
    /// One that becomes overdue `overdue_after` after `said`.
    pub(crate) fn of_test(id: i64, under_way: bool, said: Instant, overdue_after: Option<TimeDelta>) -> Self {
        let said_at = DateTime::UNIX_EPOCH;
        let schedule = overdue_after.map(|after| Schedule { said_at, overdue_at: said_at + after });
        let ages = Ages { look: None, schedule: Some(Age::new(said_at, said_at, said)) };
        let newest = Newest { id, under_way, error: None, schedule };
        Self { refresh_id: id, newest, ages, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_the_newest_word_and_the_time_that_passes() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(Freshness::default().status(now), RefreshStatus::Overdue, "there never was a refresh");
        let mut freshness = Freshness::of_test(1, false, now, Some(TimeDelta::seconds(20)));
        assert_eq!(freshness.status(now), RefreshStatus::Fresh);
        assert_eq!(freshness.status(after(20)), RefreshStatus::Fresh);
        assert_eq!(freshness.status(after(21)), RefreshStatus::Overdue);
        freshness.newest.under_way = true;
        assert_eq!(freshness.status(now), RefreshStatus::Refreshing);
        freshness.newest = Newest { under_way: false, error: Some("no".to_owned()), ..freshness.newest };
        assert_eq!(freshness.status(now), RefreshStatus::Failed);
        assert_eq!(Freshness::of_test(1, false, now, None).status(after(1_000_000)), RefreshStatus::Fresh);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_fresher() {
        let (now, at) = (Instant::now(), DateTime::UNIX_EPOCH);
        let read = |database_now: i64, seconds| {
            let age = Age::new(at, at + TimeDelta::seconds(database_now), now + Duration::from_secs(seconds));
            let mut freshness = Freshness::of_test(1, false, now, Some(TimeDelta::seconds(20)));
            freshness.ages = Ages { look: Some(age), schedule: Some(age) };
            freshness
        };
        let (before, after) = (read(10, 0), read(-3_600, 5));
        assert_eq!(after.staleness(now + Duration::from_secs(5)), Some(TimeDelta::zero()), "never negative");
        let known = after.no_younger_than(&before);
        assert_eq!(known.staleness(now + Duration::from_secs(5)), Some(TimeDelta::seconds(15)));
        assert_eq!(known.status(now + Duration::from_secs(11)), RefreshStatus::Overdue);
        assert_eq!(known, before, "how old it is, is no part of what it says");
        // Another refresh is what it is.
        let next = Freshness { as_of: Some(at), ..read(0, 6) };
        assert_eq!(next.no_younger_than(&known).staleness(now + Duration::from_secs(6)), Some(TimeDelta::zero()));
    }
}
