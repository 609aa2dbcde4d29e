//! The handle that queries get: it can read the report, and nothing else.

use clap::Args;
use entity::{Database, snapshot::Snapshots};
use futures_util::{Stream, stream};
use sea_orm::DbErr;

use super::{
    answer::Answer,
    cache::{Cache, CacheFigures},
    interval::IntervalError,
    snapshot::Snapshot,
};
use crate::{
    freshness::{Changes, Freshness, FreshnessFeed},
    metrics,
};

/// What can be set about reports.
#[derive(Args, Clone, Debug)]
pub struct ReportSettings {
    /// How many bytes the answers that are kept may take, about; 0 keeps none
    #[arg(long, env = "ANALYTICS_CACHE_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub cache_bytes: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReportError {
    /// What was asked for does not exist or is too much.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// The report could not be read.
    #[error("the report can't be read")]
    Database(#[from] DbErr),
    /// The version of the report that the answer was begun with is gone: begin again.
    #[error("the report has changed meanwhile")]
    Moved,
}

/// Reads the report. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct ReportReader {
    snapshots: Snapshots,
    feed: FreshnessFeed,
    cache: Cache,
    keeps: bool,
}

impl ReportReader {
    /// A reader of `database`'s report, whose changes `feed` tells of.
    #[must_use]
    pub fn new(database: &Database, feed: FreshnessFeed, settings: &ReportSettings) -> Self {
        metrics::describe_cache();
        Self {
            snapshots: Snapshots::for_queries(database),
            feed,
            cache: Cache::new(settings.cache_bytes),
            keeps: settings.cache_bytes > 0,
        }
    }

    /// The report as it is now, in a transaction.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn snapshot(&self) -> Result<Snapshot, ReportError> {
        Snapshot::take(&self.snapshots).await
    }

    /// The report as the feed knows it, which costs no statement: what was found out before is answered from memory.
    /// It may be one notification behind the database, and states its own freshness.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn answer(&self) -> Result<Answer, ReportError> {
        if self.keeps { self.shared_answer().await } else { self.own_answer().await }
    }

    /// The report as it is now, in a transaction of the answer's own: nothing that happens meanwhile disturbs it.
    /// Holds a connection as long as there is a clone of it.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn own_answer(&self) -> Result<Answer, ReportError> {
        let mut snapshot = self.snapshot().await?;
        // Whoever asks after somebody has seen this must not be shown something older.
        snapshot.freshness = self.feed.update(snapshot.freshness);
        Ok(Answer::of_snapshot(snapshot))
    }

    async fn shared_answer(&self) -> Result<Answer, ReportError> {
        let known = match self.feed.known() {
            Some(known) => known,
            None => self.feed.read().await?,
        };
        Ok(self.answer_of(known))
    }

    fn answer_of(&self, freshness: Freshness) -> Answer {
        Answer::of_cache(freshness, self.cache.clone(), self.snapshots.clone(), self.feed.clone())
    }

    /// The report now, and again after every refresh; who is slow skips to the newest. However many follow, each
    /// thing is found out once a version.
    pub fn follow(&self) -> impl Stream<Item = Result<Answer, ReportError>> + Send + use<> {
        let following = Following { reader: self.clone(), changes: self.feed.changes(), last: None, begun: false };
        stream::unfold(following, |mut following| async {
            let answer = following.next().await?;
            Some((answer, following))
        })
    }

    /// What the cache has done and holds.
    #[must_use]
    pub fn cache_figures(&self) -> CacheFigures {
        self.cache.figures()
    }

    /// Tells the metrics what the cache has done and holds.
    pub(crate) async fn observe(&self) {
        self.cache.settle().await;
        metrics::observe_cache(self.cache_figures());
    }

    /// Waits for the computations that run, once nobody asks any more.
    pub async fn finish(&self) {
        self.cache.finish().await;
    }
}

struct Following {
    reader: ReportReader,
    changes: Changes,
    /// The answer that was given last.
    last: Option<Answer>,
    begun: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Answer, ReportError>> {
        if !self.begun {
            self.begun = true;
            let first = self.reader.shared_answer().await;
            self.last = first.as_ref().ok().cloned();
            return Some(first);
        }
        loop {
            let freshness = self.changes.next().await?.freshness;
            let is_news = self
                .last
                .as_ref()
                .is_none_or(|last| last.freshness().refresh_id != freshness.refresh_id || last.has_moved());
            if is_news {
                let answer = self.reader.answer_of(freshness);
                self.last = Some(answer.clone());
                return Some(Ok(answer));
            }
        }
    }
}
