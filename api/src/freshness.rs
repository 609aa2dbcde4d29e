//! How fresh the report is, and the feed that tells everybody when that changes.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use entity::{
    Database, DatabaseKind, REFRESH_CHANNEL, clock,
    database::{DatabaseUrl, Place},
    report_refresh,
};
use futures_util::{Stream, StreamExt, stream};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::metrics;

/// How often SQLite, which notifies nobody, is asked.
const SQLITE_POLL: Duration = Duration::from_millis(250);
/// How often PostgreSQL is asked even if nothing was heard: what a lost notification costs at most.
const POSTGRES_POLL: Duration = Duration::from_secs(5);
/// What is known goes for as many polls; then, when none has succeeded, whoever asks asks the database.
const POLLS_MISSED_MAX: u32 = 4;
/// How often the listening connection is used, so that a dead one is noticed.
const LISTENER_HEARTBEAT: Duration = Duration::from_secs(15);
/// How long that may take.
const LISTENER_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a lost listener is built anew.
const LISTENER_PAUSE: Duration = Duration::from_secs(1);

/// What is known of the report's refreshes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The refresh whose content the report has; 0 before the first.
    pub refresh_id: i64,
    /// Every increment with `recordedAt` at or before this is in the report.
    pub as_of: Option<DateTime<Utc>>,
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
    newest: Newest,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Newest {
    id: i64,
    under_way: bool,
    error: Option<String>,
    overdue_at: Option<DateTime<Utc>>,
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
    fn what_is_told(&self) -> Self {
        let newest = Newest { id: 0, overdue_at: None, ..self.newest.clone() };
        Self { content_version: 0, newest, ..self.clone() }
    }

    /// How long ago `as_of` was, at `now`.
    #[must_use]
    pub fn staleness(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.as_of.map(|as_of| (now - as_of).max(TimeDelta::zero()))
    }
}

/// What is published: a change of either is news.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct News {
    pub(crate) freshness: Freshness,
    status: RefreshStatus,
}

/// What everybody looks at.
#[derive(Debug, Default)]
struct Board {
    news: Option<News>,
    /// When the database last confirmed them.
    read_at: Option<Instant>,
    /// Nobody listens on PostgreSQL: a refresh would go unheard until the next poll.
    deaf: bool,
    /// There will be no more.
    ended: bool,
}

/// Hands the newest freshness to everybody who subscribes. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct FreshnessFeed {
    db: DatabaseConnection,
    kind: DatabaseKind,
    board: watch::Sender<Board>,
}

/// Tails `report_refreshes` for a [`FreshnessFeed`].
#[derive(Debug)]
pub struct FreshnessTail {
    feed: FreshnessFeed,
    url: DatabaseUrl,
}

impl FreshnessFeed {
    /// A feed of `database`, and what has to run for it to have news.
    #[must_use]
    pub fn new(database: &Database) -> (Self, FreshnessTail) {
        metrics::describe_freshness();
        let board = Board { deaf: database.kind == DatabaseKind::Postgres, ..Board::default() };
        let feed = Self { db: database.readers.clone(), kind: database.kind, board: watch::Sender::new(board) };
        (feed.clone(), FreshnessTail { feed, url: database.url.clone() })
    }

    /// The freshness now, from the database; everybody learns of it.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn read(&self) -> Result<Freshness, DbErr> {
        // Before it is read: what is confirmed is no newer.
        let read_at = Instant::now();
        let freshness = Freshness::read(&self.db).await?;
        self.publish(freshness.clone(), Some(read_at));
        Ok(freshness)
    }

    /// The newest freshness that has been heard of, unless nobody listens or that was too long ago to go by: then the
    /// database has to be asked. A refresh is heard of as soon as PostgreSQL notifies; on SQLite, and where a
    /// notification was lost, by the next poll.
    #[must_use]
    pub fn known(&self) -> Option<Freshness> {
        let board = self.board.borrow();
        let recent = board.read_at.is_some_and(|read_at| read_at.elapsed() < poll(self.kind) * POLLS_MISSED_MAX);
        board.news.as_ref().filter(|_| recent && !board.deaf).map(|news| news.freshness.clone())
    }

    /// Tells the metrics how old the report is.
    pub(crate) fn observe(&self) {
        metrics::observe_freshness(self.board.borrow().news.as_ref().map(|news| &news.freshness));
    }

    /// The current value, then one on every change. Who is slow skips to the newest.
    pub fn subscribe(&self) -> impl Stream<Item = Freshness> + use<> {
        let news = stream::unfold(self.changes(), |mut changes| async {
            let news = changes.next().await?;
            Some((news, changes))
        });
        // While a refresh goes on, it says so again and again.
        let mut last = None;
        news.filter_map(move |news| {
            let told = (news.freshness.what_is_told(), news.status);
            let changed = last.as_ref() != Some(&told);
            last = Some(told);
            std::future::ready(changed.then_some(news.freshness))
        })
    }

    /// What is told from now on, beginning with the current value.
    pub(crate) fn changes(&self) -> Changes {
        let mut board = self.board.subscribe();
        // The current value is news to a new subscriber, unless there is none yet.
        board.mark_changed();
        Changes(board)
    }

    /// Takes note of what somebody has read, and tells everybody if it is newer than what was known.
    pub(crate) fn learn(&self, freshness: Freshness) {
        self.publish(freshness, Some(Instant::now()));
    }

    /// Takes note of whether refreshes are heard of from now on. What was read before goes no more.
    fn set_deaf(&self, deaf: bool) {
        self.board.send_if_modified(|board| {
            board.deaf = deaf;
            board.read_at = None;
            false
        });
    }

    fn publish(&self, freshness: Freshness, read_at: Option<Instant>) {
        let status = freshness.status(clock::process_now());
        self.board.send_if_modified(|board| {
            board.read_at = read_at.max(board.read_at);
            let newer = board.news.as_ref().is_none_or(|News { freshness: old, status: old_status }| {
                let same = old.newest.id == freshness.newest.id;
                old.newest.id < freshness.newest.id
                    || (same && (*old_status != status || old.refresh_id < freshness.refresh_id))
            });
            if newer {
                board.news = Some(News { freshness, status });
            }
            newer
        });
    }
}

/// The news as they come; who is slow skips to the newest.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<Board>);

impl Changes {
    /// The next news; nothing when there will be no more.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            self.0.changed().await.ok()?;
            let board = self.0.borrow_and_update();
            if board.ended {
                return None;
            }
            if let Some(news) = &board.news {
                return Some(news.clone());
            }
        }
    }
}

impl Drop for FreshnessTail {
    /// Who has subscribed learns that nothing more comes.
    fn drop(&mut self) {
        self.feed.board.send_modify(|board| board.ended = true);
    }
}

fn poll(kind: DatabaseKind) -> Duration {
    match kind {
        DatabaseKind::Sqlite => SQLITE_POLL,
        DatabaseKind::Postgres => POSTGRES_POLL,
    }
}

impl FreshnessTail {
    /// Publishes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let bell = Notify::new();
        let (publishing, listening) = (self.publish(&bell), self.listen(&bell));
        tokio::select! { () = stop.cancelled() => {} () = publishing => {} () = listening => {} }
    }

    async fn publish(&self, bell: &Notify) {
        loop {
            if let Err(error) = self.feed.read().await {
                debug!(error = &error as &dyn Error, "freshness can't be read");
                // Time passes all the same: what is known may become overdue.
                let known = self.feed.board.borrow().news.clone();
                known.into_iter().for_each(|news| self.feed.publish(news.freshness, None));
            }
            let pause = poll(self.feed.kind).min(self.until_overdue());
            tokio::select! { () = bell.notified() => {} () = sleep(pause) => {} }
        }
    }

    fn until_overdue(&self) -> Duration {
        let board = self.feed.board.borrow();
        let overdue_at = board.news.as_ref().and_then(|news| news.freshness.newest.overdue_at);
        // A millisecond late rather than early: at the moment itself it is not overdue yet.
        let until = overdue_at.map(|overdue_at| overdue_at - clock::process_now() + TimeDelta::milliseconds(1));
        // What has been overdue for long is no reason to hurry.
        until.and_then(|until| until.to_std().ok()).unwrap_or(Duration::MAX)
    }

    /// Rings `bell` at every notification, and whenever one may have been missed. Never ends.
    async fn listen(&self, bell: &Notify) {
        let Ok(Place::Postgres(options)) = self.url.place() else { return std::future::pending().await };
        loop {
            if let Err(error) = self.listen_once(&options, bell).await {
                warn!(error = &error as &dyn Error, "listening for refreshes was interrupted");
            }
            self.feed.set_deaf(true);
            sleep(LISTENER_PAUSE).await;
        }
    }

    /// Until the connection is lost.
    async fn listen_once(&self, options: &PgConnectOptions, bell: &Notify) -> Result<(), sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&pool.connect_with(options.clone()).await?).await?;
        // That it is lost is to be known at once, not when there is another.
        listener.eager_reconnect(false);
        listener.listen(REFRESH_CHANNEL).await?;
        self.feed.set_deaf(false);
        loop {
            // Something may have been said before there was a connection to hear it.
            bell.notify_one();
            let heard = timeout(LISTENER_HEARTBEAT, listener.try_recv()).await;
            match heard {
                Ok(Ok(Some(_notification))) => {}
                Ok(lost) => return lost.map(drop),
                Err(_quiet) => {
                    let beat = timeout(LISTENER_HEARTBEAT_TIMEOUT, listener.execute("SELECT 1")).await;
                    beat.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
                }
            }
        }
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
