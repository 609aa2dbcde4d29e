//! The handle of resolvers that read the report. It can do nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::{DateTime, Utc};
use clap::Args;
use futures_util::{Stream, stream};
use storage::{Database, snapshot::Snapshots};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    batches::Batches,
    cache::{Cache, CacheFigures},
    changes::ContentChanges,
    error::ReportError,
    export::Export,
    page_filter::PageFilter,
    snapshot::Snapshot,
    view::ReportView,
};
use crate::{
    freshness::{Freshness, FreshnessFeed, Versions},
    metrics, ways,
};

/// The most events of subscriptions to reports, and queries that have waited for a version, that are executed at the same time.
/// The others wait before they have begun: ten thousand that are half done take memory that is no longer in the processor's
/// caches when each of them goes on.
pub const EVENTS_MAX: usize = 1_000;

/// The settings of reports.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reports")]
pub struct ReportSettings {
    /// About how many bytes the cache of query results may take, which are valid until the next refresh; 0 turns it off
    #[arg(long, env = "ANALYTICS_CACHE_BYTES", value_name = "BYTES", default_value_t = 64 * 1024 * 1024)]
    pub cache_bytes: u64,
}

/// The handles through which reports are read and watched.
#[derive(Clone, Debug)]
pub struct Reports {
    /// The reader of reports, for queries.
    pub reader: ReportReader,
    /// The feed of the report's freshness, for subscriptions.
    pub feed: FreshnessFeed,
}

/// Creates views of the report. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct ReportReader {
    snapshots: Snapshots,
    export_snapshots: Snapshots,
    feed: FreshnessFeed,
    cache: Cache,
    batches: Batches,
    cache_enabled: bool,
    /// The permits to be executed, for events and for queries that have waited.
    turns: Arc<Semaphore>,
}

impl ReportReader {
    /// Creates a reader of the report of `database`, whose changes `feed` publishes.
    #[must_use]
    pub fn new(database: &Database, feed: FreshnessFeed, settings: &ReportSettings) -> Self {
        metrics::describe_cache();
        ways::describe();
        let snapshots = |db| Snapshots::new(db, &database.clock, entity::page_views_report::RELATION);
        Self {
            snapshots: snapshots(&database.readers),
            export_snapshots: snapshots(&database.exports),
            feed,
            cache: Cache::new(settings.cache_bytes, ContentChanges::new(&database.readers)),
            batches: Batches::default(),
            cache_enabled: settings.cache_bytes > 0,
            turns: Arc::new(Semaphore::new(EVENTS_MAX)),
        }
    }

    /// Returns a view of the latest version that the feed has published, which takes no statement. It may be one
    /// notification behind the database, and has its own freshness.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn view(&self) -> Result<ReportView, ReportError> {
        if self.cache_enabled { self.cached_view().await } else { self.uncached_view().await }
    }

    /// Returns a view of the present version, in a transaction of its own that no refresh disturbs. It holds a connection
    /// as long as a clone of it exists.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn uncached_view(&self) -> Result<ReportView, ReportError> {
        let mut snapshot = Box::pin(Snapshot::begin(&self.snapshots)).await?;
        // Published, so that no later query of this process is answered from an older version.
        snapshot.freshness = self.feed.update(snapshot.freshness);
        Ok(ReportView::of_snapshot(snapshot))
    }

    /// Returns the most connections that views and exports can hold at the same time.
    #[must_use]
    pub fn connections_max(&self) -> u32 {
        self.snapshots.connections_max()
    }

    /// Begins an export of the counts of `pages`, from the hour of `start` on and before the hour of `end`, where they are
    /// given. It holds a connection until it is dropped.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn export(
        &self,
        pages: PageFilter,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<Export, ReportError> {
        Export::begin(&self.export_snapshots, pages, start, end).await
    }

    async fn cached_view(&self) -> Result<ReportView, ReportError> {
        Ok(self.view_of(self.known().await?, None))
    }

    async fn known(&self) -> Result<Freshness, ReportError> {
        match self.feed.known() {
            Some(known) => Ok(known),
            None => Ok(Box::pin(self.feed.read()).await?),
        }
    }

    /// Waits for the turn of an event, or of a query that has waited for a version: it may be executed until the permit is
    /// dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    fn view_of(&self, freshness: Freshness, turn: Option<OwnedSemaphorePermit>) -> ReportView {
        ReportView::of_cache(
            freshness,
            self.cache.clone(),
            self.batches.clone(),
            self.snapshots.clone(),
            self.feed.clone(),
            turn,
        )
    }

    /// Returns the present view, and another one after every refresh. A slow subscriber skips to the latest. However many
    /// follow, each query is computed once for each version.
    pub fn follow(&self) -> impl Stream<Item = Result<ReportView, ReportError>> + Send + use<> {
        let following = Following { reader: self.clone(), versions: self.feed.versions(), last: None, begun: false };
        stream::unfold(following, |mut following| async {
            let view = following.next().await?;
            Some((view, following))
        })
    }

    /// Returns the figures of the cache.
    #[must_use]
    pub fn cache_figures(&self) -> CacheFigures {
        self.cache.figures()
    }

    /// Sets the metrics of the cache.
    pub async fn observe(&self) {
        self.cache.settle().await;
        metrics::observe_cache(self.cache_figures());
    }

    /// Waits for the computations under way. There must be no more queries.
    pub async fn finish(&self) {
        self.batches.finish().await;
        self.cache.finish().await;
    }
}

struct Following {
    reader: ReportReader,
    versions: Versions,
    last: Option<Event>,
    begun: bool,
}

/// What the last event of a follower was read from.
struct Event {
    refresh_id: i64,
    /// Whether it failed because the report changed.
    moved: Arc<AtomicBool>,
}

impl Following {
    async fn next(&mut self) -> Option<Result<ReportView, ReportError>> {
        if !self.begun {
            self.begun = true;
            let turn = self.reader.turn().await;
            let known = match self.reader.known().await {
                Ok(known) => known,
                Err(failure) => return Some(Err(failure)),
            };
            return Some(Ok(self.view(known, turn)));
        }
        loop {
            let version = self.versions.next().await?;
            if self.is_new(&version) {
                break;
            }
        }
        let turn = self.reader.turn().await;
        // Not the version that it has waited with.
        let newest = self.versions.newest()?;
        Some(Ok(self.view(newest, turn)))
    }

    fn is_new(&self, freshness: &Freshness) -> bool {
        let last = self.last.as_ref();
        last.is_none_or(|last| last.refresh_id != freshness.refresh_id || last.moved.load(Ordering::Relaxed))
    }

    fn view(&mut self, freshness: Freshness, turn: Option<OwnedSemaphorePermit>) -> ReportView {
        let refresh_id = freshness.refresh_id;
        let view = self.reader.view_of(freshness, turn);
        self.last = Some(Event { refresh_id, moved: view.moved() });
        view
    }
}
