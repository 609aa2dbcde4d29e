//! What is known of the report's refreshes: `report_refreshes` read and judged.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use entity::report_refresh;
use sea_orm::{ConnectionTrait, DbErr};

/// What is known of the report's refreshes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The refresh whose content the report has; 0 before the first.
    pub refresh_id: i64,
    /// Every increment with `recordedAt` at or before this is in the report.
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
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) id: i64,
    under_way: bool,
    error: Option<String>,
    pub(super) overdue_at: Option<DateTime<Utc>>,
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
    pub async fn read<C: ConnectionTrait>(db: &C) -> Result<Self, DbErr> {
        // Read apart, the promise could be newer than the content that the newest row stands for.
        let (Some(newest), content) = report_refresh::newest_and_successful(db).await? else {
            return Ok(Self::default());
        };
        let mut freshness = Self {
            next_refresh_at: newest.next_refresh_at,
            hours_since: newest.hours_since,
            content_version: newest.content_version,
            newest: Newest {
                id: newest.id,
                under_way: newest.finished_at.is_none(),
                error: newest.error,
                overdue_at: newest.overdue_at,
            },
            ..Self::default()
        };
        if let Some(content) = content {
            freshness.refresh_id = content.id;
            freshness.as_of = content.as_of;
            freshness.looked_at = content.looked_at();
            freshness.refreshed_at = content.finished_at;
            freshness.rows_changed = Some(content.rows_changed);
            freshness.duration = content.finished_at.map(|finished_at| finished_at - content.started_at);
        }
        Ok(freshness)
    }

    /// Its status at `now`, by this process's clock: a Wolf that died is reported by those who outlive it.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> RefreshStatus {
        if self.newest.id == 0 || self.newest.overdue_at.is_some_and(|overdue_at| overdue_at < now) {
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
        let newest = Newest { id: 0, overdue_at: None, ..self.newest.clone() };
        Self { content_version: 0, newest, ..self.clone() }
    }

    /// How long ago `as_of` was, at `now`.
    #[must_use]
    pub fn staleness(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.as_of.map(|as_of| (now - as_of).max(TimeDelta::zero()))
    }
}

#[cfg(test)]
impl Freshness {
    pub(crate) fn of_test(id: i64, under_way: bool, overdue_at: Option<DateTime<Utc>>) -> Self {
        Self { refresh_id: id, newest: Newest { id, under_way, error: None, overdue_at }, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_status_follows_the_newest_word_and_the_clock() {
        let now = at("2026-11-22T20:00:00Z");
        assert_eq!(Freshness::default().status(now), RefreshStatus::Overdue, "there never was a refresh");
        let newest = Newest { id: 1, under_way: false, error: None, overdue_at: Some(at("2026-11-22T20:00:20Z")) };
        let mut freshness = Freshness { newest, ..Freshness::default() };
        assert_eq!(freshness.status(now), RefreshStatus::Fresh);
        assert_eq!(freshness.status(at("2026-11-22T20:00:20Z")), RefreshStatus::Fresh);
        assert_eq!(freshness.status(at("2026-11-22T20:00:21Z")), RefreshStatus::Overdue);
        freshness.newest.under_way = true;
        assert_eq!(freshness.status(now), RefreshStatus::Refreshing);
        freshness.newest = Newest { under_way: false, error: Some("no".to_owned()), ..freshness.newest };
        assert_eq!(freshness.status(now), RefreshStatus::Failed);
    }

    #[test]
    fn staleness_is_never_negative() {
        let freshness = Freshness { as_of: Some(at("2026-11-22T20:00:01Z")), ..Freshness::default() };
        assert_eq!(freshness.staleness(at("2026-11-22T20:00:00Z")), Some(TimeDelta::zero()));
        assert_eq!(freshness.staleness(at("2026-11-22T20:00:11Z")), Some(TimeDelta::seconds(10)));
    }
}
