//! The freshness of the report: read from `report_refreshes`, and its status at a given time.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use entity::report_refresh;
use sea_orm::{ConnectionTrait, DbErr};
use storage::clock::Clock;

use super::age::{Age, Ages, elder};

/// The freshness of the report, as read at one moment. Two readings of the same rows are equal, and have equal hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Freshness {
    /// The id of the refresh whose content the report has; 0 before the first.
    pub refresh_id: i64,
    /// Every increment with `recordedAt` at or before this is in the report. It never falls, so it is ahead of a clock that
    /// went back.
    pub as_of: Option<DateTime<Utc>>,
    /// The time of the database's clock at which the report was current: the same as `as_of`, unless a clock went back.
    /// Staleness, completeness and comparisons go by this.
    pub looked_at: Option<DateTime<Utc>>,
    /// When that refresh ended.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// The number of report rows that it changed.
    pub rows_changed: Option<i64>,
    /// How long it took.
    pub duration: Option<TimeDelta>,
    /// When the next refresh is due.
    pub next_refresh_at: Option<DateTime<Utc>>,
    /// The first day of which the report has hourly rows; older days have daily and monthly rows only.
    pub hours_since: Option<NaiveDate>,
    /// The version of the report's content. It grows whenever a row changes, within a refresh too.
    pub content_version: i64,
    /// The newest row, of a refresh that may be under way or have failed.
    pub(super) newest: NewestRow,
    pub(super) ages: Ages,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct NewestRow {
    pub(super) id: i64,
    under_way: bool,
    error: Option<String>,
    progress: Option<RefreshProgress>,
    /// The last dates of the schedule.
    schedule: Option<Schedule>,
}

/// How far a refresh under way is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefreshProgress {
    /// The number of stale hours that it found.
    pub hours: i32,
    /// The number of these hours that are still to be merged.
    pub hours_left: i32,
    /// The number of report rows that it has changed so far.
    pub rows_changed: i64,
}

/// When a report becomes overdue, by the database's clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
struct Schedule {
    /// When this was recorded.
    said_at: DateTime<Utc>,
    overdue_at: DateTime<Utc>,
}

/// Whether the report is as fresh as it should be.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefreshStatus {
    /// The last refresh succeeded and the next one is not overdue.
    Fresh,
    /// A refresh is under way.
    Refreshing,
    /// The last refresh failed.
    Failed,
    /// The next refresh is late by more than one interval, or there never was a refresh.
    Overdue,
}

impl Freshness {
    /// Reads the freshness, and the ages by the database's clock.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn read<C: ConnectionTrait>(db: &C, clock: &Clock) -> Result<Self, DbErr> {
        // By one statement: read by two, `as_of` could be newer than the content version.
        let rows = report_refresh::newest_and_successful(db).await?;
        let database_now = rows.database_now.unwrap_or_else(|| clock.now());
        Ok(Self::of_rows(rows, database_now, Instant::now()))
    }

    /// Returns the freshness that `rows` state. They were read at `read_at`, when the database's clock was `database_now`.
    #[must_use]
    pub fn of_rows(rows: report_refresh::Newest, database_now: DateTime<Utc>, read_at: Instant) -> Self {
        let (Some(newest), content) = (rows.row, rows.successful) else { return Self::default() };
        let schedule = newest.overdue_at.map(|overdue_at| Schedule {
            // Older programs say only when their refresh began.
            said_at: newest.scheduled_at.unwrap_or(newest.started_at),
            overdue_at,
        });
        let (hours, rows_changed) = (newest.hours, newest.rows_changed);
        let progress = newest.hours_left.map(|hours_left| RefreshProgress { hours, hours_left, rows_changed });
        let age = |at| Age::new(at, database_now, read_at);
        let mut freshness = Self {
            next_refresh_at: newest.next_refresh_at,
            hours_since: newest.hours_since,
            content_version: newest.content_version,
            newest: NewestRow {
                id: newest.id,
                under_way: newest.finished_at.is_none(),
                error: newest.error,
                progress,
                schedule,
            },
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
        freshness
    }

    /// Returns the status at `now`. A Wolf that was killed is reported as overdue by the processes that remain.
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

    /// Returns whether there was a refresh and none is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.newest.id != 0 && !self.newest.under_way
    }

    /// Returns the error of the last refresh, if it failed.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.newest.error.as_deref()
    }

    /// Returns how far the refresh under way is, if there is one.
    #[must_use]
    pub fn progress(&self) -> Option<RefreshProgress> {
        self.newest.progress
    }

    /// Returns what changes with each version of the report that there is to read.
    pub(super) fn version(&self) -> (i64, i64) {
        (self.refresh_id, self.content_version)
    }

    /// Returns a copy with only the fields that clients see: two equal copies are no change to a subscriber.
    pub(super) fn client_visible(&self) -> Self {
        let newest = NewestRow { id: 0, schedule: None, ..self.newest.clone() };
        Self { content_version: 0, newest, ..self.clone() }
    }

    /// Returns the age of `looked_at` at `now`.
    #[must_use]
    pub fn staleness(&self, now: Instant) -> Option<TimeDelta> {
        self.ages.look.map(|age| age.at(now))
    }

    /// Returns the same if it is sure not to be greater: `None` if the database's clock has gone back behind `looked_at`, and
    /// this process has not known it before.
    pub(super) fn known_staleness(&self, now: Instant) -> Option<TimeDelta> {
        self.ages.look.and_then(|age| age.known_at(now))
    }

    /// Returns the time from `now` until the report is overdue: zero if it is already, `None` if no schedule has ever run.
    pub(super) fn until_overdue(&self, now: Instant) -> Option<Duration> {
        let holds = self.newest.schedule.map(|schedule| schedule.overdue_at - schedule.said_at)?;
        // Rather a millisecond late than early.
        let left = holds + TimeDelta::milliseconds(1) - self.ages.schedule?.at(now);
        Some(left.to_std().unwrap_or_default())
    }

    /// Returns the time from `now` until the next refresh is due, by the elapsed time; negative once that has passed, `None` if
    /// no schedule has ever run.
    pub(super) fn until_next_refresh(&self, now: Instant) -> Option<TimeDelta> {
        let said_at = self.newest.schedule.map(|schedule| schedule.said_at)?;
        Some(self.next_refresh_at? - said_at - self.ages.schedule?.at(now))
    }

    /// Takes the greater ages of this and `known`, where they are of the same instants: a clock that went back makes nothing
    /// younger.
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
    /// Creates a freshness that becomes overdue `overdue_after` after `read_at`.
    pub(crate) fn of_test(id: i64, under_way: bool, read_at: Instant, overdue_after: Option<TimeDelta>) -> Self {
        let said_at = DateTime::UNIX_EPOCH;
        let schedule = overdue_after.map(|after| Schedule { said_at, overdue_at: said_at + after });
        let ages = Ages { look: None, schedule: Some(Age::new(said_at, said_at, read_at)) };
        let newest = NewestRow { id, under_way, error: None, progress: None, schedule };
        Self { refresh_id: id, newest, ages, ..Self::default() }
    }
}

#[cfg(test)]
impl Freshness {
    /// Creates a freshness that is `stale` at `read_at`, after which the next refresh is due in `next`.
    pub(crate) fn of_test_at(read_at: Instant, stale: TimeDelta, next: TimeDelta) -> Self {
        let said_at = DateTime::UNIX_EPOCH;
        let mut freshness = Self::of_test(1, false, read_at, Some(next * 2));
        freshness.next_refresh_at = Some(said_at + next);
        freshness.ages.look = Some(Age::new(said_at, said_at + stale, read_at));
        freshness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_follows_the_newest_row_and_the_elapsed_time() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(Freshness::default().status(now), RefreshStatus::Overdue, "there never was a refresh");
        let mut freshness = Freshness::of_test(1, false, now, Some(TimeDelta::seconds(20)));
        assert_eq!(freshness.status(now), RefreshStatus::Fresh);
        assert_eq!(freshness.status(after(20)), RefreshStatus::Fresh);
        assert_eq!(freshness.status(after(21)), RefreshStatus::Overdue);
        freshness.newest.under_way = true;
        assert_eq!(freshness.status(now), RefreshStatus::Refreshing);
        freshness.newest = NewestRow { under_way: false, error: Some("no".to_owned()), ..freshness.newest };
        assert_eq!(freshness.status(now), RefreshStatus::Failed);
        assert_eq!(Freshness::of_test(1, false, now, None).status(after(1_000_000)), RefreshStatus::Fresh);
    }

    #[test]
    fn clock_that_goes_back_makes_nothing_fresher() {
        let (now, at) = (Instant::now(), DateTime::UNIX_EPOCH);
        let read = |database_now: i64, seconds| {
            let age = Age::new(at, at + TimeDelta::seconds(database_now), now + Duration::from_secs(seconds));
            let mut freshness = Freshness::of_test(1, false, now, Some(TimeDelta::seconds(20)));
            freshness.ages = Ages { look: Some(age), schedule: Some(age) };
            freshness
        };
        let (before, after) = (read(10, 0), read(-3_600, 5));
        assert_eq!(after.staleness(now + Duration::from_secs(5)), Some(TimeDelta::zero()), "never negative");
        assert_eq!(after.known_staleness(now + Duration::from_secs(5)), None);
        let known = after.no_younger_than(&before);
        assert_eq!(known.staleness(now + Duration::from_secs(5)), Some(TimeDelta::seconds(15)));
        assert_eq!(known.known_staleness(now + Duration::from_secs(5)), Some(TimeDelta::seconds(15)));
        assert_eq!(known.status(now + Duration::from_secs(11)), RefreshStatus::Overdue);
        assert_eq!(known, before, "ages are left out of comparisons");
        // The ages of another refresh are its own.
        let next = Freshness { as_of: Some(at), ..read(0, 6) };
        assert_eq!(next.no_younger_than(&known).staleness(now + Duration::from_secs(6)), Some(TimeDelta::zero()));
    }
}
