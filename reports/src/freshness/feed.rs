//! The freshness feed: watch channels from the listener to every query and subscriber of this process.

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

use entity::report_refresh;
use futures_util::{Stream, StreamExt, stream};
use sea_orm::DbErr;
use storage::{Connections, Database, DatabaseKind, clock::Clock};
use tokio::sync::watch;

use super::{
    Freshness, FreshnessListener, Refresh, RefreshStatus, RequiredFreshness, metrics, shared_look::SharedLook,
};

/// The period of polling without notifications: on SQLite, on a standby, behind some poolers.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// The period of polling an SQLite file that somebody subscribes to: it has no notifications.
const POLL_FOLLOWED_FILE: Duration = Duration::from_millis(50);
/// The period of polling with notifications: the longest delay by a lost one.
const POLL_WHILE_LISTENING: Duration = Duration::from_secs(5);
/// Missed polls after which the latest freshness counts as stale and queries read the database.
const POLLS_MISSED_MAX: u32 = 4;

/// A freshness and its status when it was published.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FreshnessUpdate {
    pub(crate) freshness: Freshness,
    pub(super) status: RefreshStatus,
}

impl FreshnessUpdate {
    /// Returns whether `freshness`, with this status, is to be published after this one.
    fn is_before(&self, freshness: &Freshness, status: RefreshStatus) -> bool {
        let (old, new) = (&self.freshness, freshness);
        match old.newest.id.cmp(&new.newest.id) {
            Ordering::Less => true,
            // A row that has ended is not under way again: the database was read before that.
            Ordering::Equal if old.is_settled() && !new.is_settled() => false,
            Ordering::Equal => self.status != status || old.refresh_id < new.refresh_id,
            Ordering::Greater => false,
        }
    }
}

/// The value of the watch channel.
#[derive(Debug, Default)]
pub(super) struct FeedState {
    pub(super) latest: Option<FreshnessUpdate>,
    /// When the latest freshness was last confirmed by the database.
    read_at: Option<Instant>,
    /// Whether the database is an SQLite file.
    is_file: bool,
    /// Whether notifications of refreshes arrive.
    is_listening: bool,
    /// The id of the newest row that a notification has announced. A standby has the row a little later.
    announced: i64,
    /// Whether the listener has ended, so that there are no further updates.
    pub(super) ended: bool,
}

impl FeedState {
    /// Returns the time after which the listener reads again: the period of polling, or the time until the report is
    /// overdue if that comes first.
    pub(super) fn pause(&self, now: Instant, subscribers: usize) -> Duration {
        let poll = if self.is_file && subscribers > 0 { POLL_FOLLOWED_FILE } else { self.poll() };
        let until_overdue = self.latest.as_ref().and_then(|update| update.freshness.until_overdue(now));
        // A report that is overdue already does not shorten the period.
        let until_overdue = until_overdue.filter(|until| !until.is_zero());
        until_overdue.map_or(poll, |until| until.min(poll))
    }

    /// Returns the period of polling.
    fn poll(&self) -> Duration {
        let newest = self.latest.as_ref().map_or(0, |update| update.freshness.newest.id);
        if self.is_listening && newest >= self.announced { POLL_WHILE_LISTENING } else { POLL }
    }
}

/// Publishes the latest freshness to all subscribers. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct FreshnessFeed {
    pub(super) db: Connections,
    clock: Clock,
    pub(super) state: watch::Sender<FeedState>,
    /// Wakes those who read the report when there is a new version of it, and when the listener ends. The progress of a refresh
    /// does not wake them: it is in `state` only.
    versions: watch::Sender<()>,
    shared_look: SharedLook<Option<Freshness>>,
}

impl FreshnessFeed {
    /// Creates a feed of `database`, and the listener that has to run for it.
    #[must_use]
    pub fn new(database: &Database) -> (Self, FreshnessListener) {
        metrics::describe_freshness();
        let state = FeedState { is_file: database.kind == DatabaseKind::Sqlite, ..FeedState::default() };
        let (db, clock) = (database.readers.clone(), database.clock.clone());
        let (state, versions) = (watch::Sender::new(state), watch::Sender::default());
        let feed = Self { db, clock, state, versions, shared_look: SharedLook::default() };
        (feed.clone(), FreshnessListener { feed, notify_url: database.notify_url.clone() })
    }

    /// Reads the freshness from the database and publishes it.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn read(&self) -> Result<Freshness, DbErr> {
        // Before the query: the database confirms the state of this instant at the earliest.
        let read_at = Instant::now();
        let freshness = Freshness::read(&self.db, &self.clock).await?;
        Ok(self.publish(freshness, Some(read_at)))
    }

    /// Does the same once for all who call it at the same time. Returns `None` when the database can't be asked.
    pub async fn read_together(&self) -> Option<Freshness> {
        self.shared_look.take(async || self.read().await.ok()).await
    }

    /// Returns at most `limit` refreshes before the one with the id `before`, newest first.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn history(&self, before: Option<i64>, limit: u64) -> Result<Vec<Refresh>, DbErr> {
        report_refresh::history(&self.db, before, limit).await
    }

    /// Returns the latest published freshness, or `None` if the database confirmed it too long ago. A refresh is published
    /// as soon as PostgreSQL notifies, and by the next poll without notifications or after a lost one.
    #[must_use]
    pub fn known(&self) -> Option<Freshness> {
        let state = self.state.borrow();
        let recent = state.read_at.is_some_and(|read_at| read_at.elapsed() < state.poll() * POLLS_MISSED_MAX);
        state.latest.as_ref().filter(|_| recent).map(|update| update.freshness.clone())
    }

    /// Returns how many subscribers and waiting queries there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.state.receiver_count() + self.versions.receiver_count()
    }

    /// Sets the metrics of the report's age.
    pub fn observe(&self) {
        metrics::observe_freshness(self.state.borrow().latest.as_ref().map(|update| &update.freshness));
    }

    /// Subscribes to changes that clients see: the current value first. A slow subscriber skips to the latest.
    pub fn subscribe(&self) -> impl Stream<Item = Freshness> + use<> {
        let update = stream::unfold(self.changes(), |mut changes| async {
            let update = changes.next().await?;
            Some((update, changes))
        });
        // A refresh under way publishes rows that differ in nothing that clients see.
        let mut last = None;
        update.filter_map(move |update| {
            let visible = (update.freshness.client_visible(), update.status);
            let changed = last.as_ref() != Some(&visible);
            last = Some(visible);
            std::future::ready(changed.then_some(update.freshness))
        })
    }

    /// Waits until the published `as_of` has reached what is `required`. Returns `false` if the listener has ended before.
    /// While somebody waits, it counts as a subscriber.
    pub async fn reaches(&self, required: RequiredFreshness) -> bool {
        let mut versions = self.versions();
        while let Some(freshness) = versions.next().await {
            if required.is_reached_by(&freshness) {
                return true;
            }
        }
        false
    }

    /// Subscribes to the versions of the report: the current one first.
    pub(crate) fn versions(&self) -> Versions {
        let mut signal = self.versions.subscribe();
        signal.mark_changed();
        Versions { feed: self.clone(), signal }
    }

    /// Subscribes to every update: the current one first.
    fn changes(&self) -> Changes {
        let mut state = self.state.subscribe();
        // The current value is new to this subscriber.
        state.mark_changed();
        Changes(state)
    }

    /// Publishes a freshness that was just read, if it is newer than the latest. Returns it with the greater ages of both.
    pub(crate) fn update(&self, freshness: Freshness) -> Freshness {
        self.publish(freshness, Some(Instant::now()))
    }

    /// Ends all subscriptions.
    pub(super) fn end(&self) {
        self.state.send_modify(|state| state.ended = true);
        self.versions.send_replace(());
    }

    /// Sets whether notifications arrive from now on. The latest freshness counts as stale until it is read again.
    pub(super) fn set_listening(&self, is_listening: bool) {
        self.state.send_if_modified(|state| {
            (state.is_listening, state.announced, state.read_at) = (is_listening, 0, None);
            false
        });
    }

    /// Sets the id of a row that a notification has announced: the latest freshness may be older.
    pub(super) fn set_announced(&self, id: i64) {
        self.state.send_if_modified(|state| {
            state.announced = state.announced.max(id);
            false
        });
    }

    pub(super) fn publish(&self, mut freshness: Freshness, read_at: Option<Instant>) -> Freshness {
        self.state.send_if_modified(|state| {
            state.read_at = read_at.max(state.read_at);
            if let Some(known) = &mut state.latest {
                freshness = freshness.clone().no_younger_than(&known.freshness);
                known.freshness = known.freshness.clone().no_younger_than(&freshness);
            }
            let status = freshness.status(Instant::now());
            let newer = state.latest.as_ref().is_none_or(|latest| latest.is_before(&freshness, status));
            if newer {
                let known = state.latest.as_ref().map(|update| update.freshness.version());
                state.latest = Some(FreshnessUpdate { freshness: freshness.clone(), status });
                if known != Some(freshness.version()) {
                    // While nobody else can read `state`: whoever knows a version has been woken for it.
                    self.versions.send_replace(());
                }
            }
            newer
        });
        freshness
    }
}

/// A subscription to updates. A slow subscriber skips to the latest.
#[derive(Debug)]
struct Changes(watch::Receiver<FeedState>);

impl Changes {
    /// Waits for the next update. Returns `None` after the listener has ended.
    async fn next(&mut self) -> Option<FreshnessUpdate> {
        loop {
            self.0.changed().await.ok()?;
            let state = self.0.borrow_and_update();
            if state.ended {
                return None;
            }
            if let Some(update) = &state.latest {
                return Some(update.clone());
            }
        }
    }
}

/// A subscription to the versions of the report. A slow subscriber skips to the newest.
#[derive(Debug)]
pub(crate) struct Versions {
    feed: FreshnessFeed,
    signal: watch::Receiver<()>,
}

impl Versions {
    /// Waits for the next version. Returns `None` after the listener has ended.
    pub(crate) async fn next(&mut self) -> Option<Freshness> {
        loop {
            self.signal.changed().await.ok()?;
            let state = self.feed.state.borrow();
            if state.ended {
                return None;
            }
            if let Some(update) = &state.latest {
                return Some(update.freshness.clone());
            }
        }
    }

    /// Returns the newest version, which is then not the next one any more. Returns `None` after the listener has ended.
    pub(crate) fn newest(&mut self) -> Option<Freshness> {
        self.signal.mark_unchanged();
        let state = self.feed.state.borrow();
        state.latest.as_ref().filter(|_| !state.ended).map(|update| update.freshness.clone())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn listener_reads_at_each_poll_and_when_the_report_becomes_overdue() {
        let now = Instant::now();
        let mut state = FeedState::default();
        assert_eq!(state.pause(now, 1), POLL, "before the first refresh");
        let freshness = Freshness::of_test(1, false, now, Some(TimeDelta::seconds(2)));
        state.latest = Some(FreshnessUpdate { freshness, status: RefreshStatus::Fresh });
        assert_eq!(state.pause(now, 1), POLL, "the poll comes first");
        state.is_listening = true;
        assert_eq!(state.pause(now, 1), Duration::from_millis(2_001), "a millisecond late rather than early");
        assert_eq!(state.pause(now + Duration::from_secs(3), 1), POLL_WHILE_LISTENING, "it is overdue already");
        state.announced = 2;
        assert_eq!(state.pause(now, 1), POLL, "a row that was announced is not there yet");
    }

    #[test]
    fn listener_looks_often_at_a_file_that_has_subscribers() {
        let state = FeedState { is_file: true, ..FeedState::default() };
        assert_eq!(state.pause(Instant::now(), 1), POLL_FOLLOWED_FILE);
        assert_eq!(state.pause(Instant::now(), 0), POLL);
    }

    #[test]
    fn freshness_that_was_read_before_the_refresh_ended_is_not_published_after_it() {
        let now = Instant::now();
        let of = |refresh_id, newest, under_way| Freshness {
            refresh_id,
            ..Freshness::of_test(newest, under_way, now, None)
        };
        let is_before = |old: &Freshness, new: &Freshness| {
            let update = FreshnessUpdate { freshness: old.clone(), status: old.status(now) };
            update.is_before(new, new.status(now))
        };
        let (before, under_way, after) = (of(1, 1, false), of(1, 2, true), of(2, 2, false));
        assert!(is_before(&before, &under_way) && is_before(&under_way, &after) && is_before(&before, &after));
        assert!(!is_before(&after, &under_way) && !is_before(&after, &before) && !is_before(&after, &after));
    }
}
