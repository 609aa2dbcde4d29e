//! The feed that tells every subscriber when the freshness changes.

use std::time::{Duration, Instant};

use entity::{Connections, Database, clock::Clock};
use futures_util::{Stream, StreamExt, stream};
use sea_orm::DbErr;
use tokio::sync::watch;

use super::{Freshness, FreshnessTail, RefreshStatus};
use crate::metrics;

/// How often the database is asked where no notification is heard: on SQLite, on a standby, behind some poolers.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// How often it is asked where notifications are heard: what a lost one costs at most.
const POLL_WHILE_HEARING: Duration = Duration::from_secs(5);
/// What is known goes for as many polls; then, when none has succeeded, whoever asks asks the database.
const POLLS_MISSED_MAX: u32 = 4;

/// What is published: a change of either is news.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct News {
    pub(crate) freshness: Freshness,
    pub(super) status: RefreshStatus,
}

/// What everybody looks at.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) news: Option<News>,
    /// When the database last confirmed them.
    read_at: Option<Instant>,
    /// Notifications of refreshes are heard.
    hears: bool,
    /// The newest row that one of them has announced. A standby has it a little later.
    announced: i64,
    /// There will be no more.
    pub(super) ended: bool,
}

impl Board {
    /// How long what is known may go without being asked for again.
    pub(super) fn poll(&self) -> Duration {
        let newest = self.news.as_ref().map_or(0, |news| news.freshness.newest.id);
        if self.hears && newest >= self.announced { POLL_WHILE_HEARING } else { POLL }
    }
}

/// Hands the newest freshness to everybody who subscribes. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct FreshnessFeed {
    pub(super) db: Connections,
    clock: Clock,
    pub(super) board: watch::Sender<Board>,
}

impl FreshnessFeed {
    /// A feed of `database`, and what has to run for it to have news.
    #[must_use]
    pub fn new(database: &Database) -> (Self, FreshnessTail) {
        metrics::describe_freshness();
        let feed =
            Self { db: database.readers.clone(), clock: database.clock.clone(), board: watch::Sender::default() };
        (feed.clone(), FreshnessTail { feed, notify_url: database.notify_url.clone() })
    }

    /// The freshness now, from the database; everybody learns of it.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn read(&self) -> Result<Freshness, DbErr> {
        // Before it is read: what is confirmed is no newer.
        let read_at = Instant::now();
        let freshness = Freshness::read(&self.db, &self.clock).await?;
        Ok(self.publish(freshness, Some(read_at)))
    }

    /// The newest freshness that has been heard of, unless that was too long ago to go by: then the database has to be
    /// asked. A refresh is heard of as soon as PostgreSQL notifies; where it does not, and where a notification was lost, by
    /// the next poll.
    #[must_use]
    pub fn known(&self) -> Option<Freshness> {
        let board = self.board.borrow();
        let recent = board.read_at.is_some_and(|read_at| read_at.elapsed() < board.poll() * POLLS_MISSED_MAX);
        board.news.as_ref().filter(|_| recent).map(|news| news.freshness.clone())
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

    /// Takes note of what somebody has read, and tells everybody if it is newer than what was known. Returns it with the ages
    /// that are known.
    pub(crate) fn learn(&self, freshness: Freshness) -> Freshness {
        self.publish(freshness, Some(Instant::now()))
    }

    /// Takes note of whether notifications are heard from now on. What was read before goes no more.
    pub(super) fn set_hears(&self, hears: bool) {
        self.board.send_if_modified(|board| {
            (board.hears, board.announced, board.read_at) = (hears, 0, None);
            false
        });
    }

    /// Takes note of a row that was announced: what was read before is older.
    pub(super) fn announce(&self, id: i64) {
        self.board.send_if_modified(|board| {
            board.announced = board.announced.max(id);
            false
        });
    }

    pub(super) fn publish(&self, mut freshness: Freshness, read_at: Option<Instant>) -> Freshness {
        self.board.send_if_modified(|board| {
            board.read_at = read_at.max(board.read_at);
            if let Some(known) = &mut board.news {
                freshness = freshness.clone().no_younger_than(&known.freshness);
                known.freshness = known.freshness.clone().no_younger_than(&freshness);
            }
            let status = freshness.status(Instant::now());
            let newer = board.news.as_ref().is_none_or(|News { freshness: old, status: old_status }| {
                let same = old.newest.id == freshness.newest.id;
                old.newest.id < freshness.newest.id
                    || (same && (*old_status != status || old.refresh_id < freshness.refresh_id))
            });
            if newer {
                board.news = Some(News { freshness: freshness.clone(), status });
            }
            newer
        });
        freshness
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
