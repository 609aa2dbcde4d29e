//! The cache of query results, by query and version of the report's content. Equal queries wait for one computation.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};
use moka::{future, policy::EvictionPolicy};
use sea_orm::DbErr;
use tokio_util::task::TaskTracker;

use super::{
    changes::ContentChanges,
    error::ReportError,
    report_query::{QueryResult, ReportQuery},
};

/// The memory of an entry beside its query and its result, in bytes, about.
const ENTRY_BYTES: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The version of the content; `None` for the newest result of a query of named pages.
    version: Option<i64>,
    query: ReportQuery,
}

/// A result that is cached. A cheap handle: clone it.
#[derive(Clone, Debug)]
struct Entry(Arc<Mutex<Held>>);

/// A result, and the newest version that is known to have it.
#[derive(Clone, Debug)]
struct Held {
    version: i64,
    result: QueryResult,
}

/// A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    values: future::Cache<Key, Entry>,
    changes: ContentChanges,
    /// The computations under way. They run as tasks of their own, so that one goes on for all who wait for it when the
    /// first of them is dropped, or is not polled because its client does not read.
    computing: TaskTracker,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    computed: AtomicU64,
}

/// The figures of a cache since the start of the process.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CacheFigures {
    /// Queries whose result was cached.
    pub hits: u64,
    /// Queries that waited for a computation.
    pub misses: u64,
    /// Computations.
    pub computed: u64,
    /// The memory of all entries, in bytes, about; updated with a short delay.
    pub bytes: u64,
}

impl Entry {
    fn new(version: i64, result: QueryResult) -> Self {
        Self(Arc::new(Mutex::new(Held { version, result })))
    }

    /// Puts a newer result of `query` in the place of this one, if it takes as much memory: a write of the cache costs many
    /// times as much. Returns whether there is nothing left to do.
    fn replace(&self, version: i64, result: &QueryResult, query: &ReportQuery) -> bool {
        let mut held = self.lock();
        if held.version >= version {
            return true;
        }
        let is_as_large = held.result.bytes_with(query) == result.bytes_with(query);
        if is_as_large {
            *held = Held { version, result: result.clone() };
        }
        is_as_large
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Creates a cache of at most about `bytes_max` bytes.
    pub(super) fn new(bytes_max: u64, changes: ContentChanges) -> Self {
        let weigh = |key: &Key, value: &Entry| {
            u32::try_from(value.lock().result.bytes_with(&key.query) + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let values = future::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(weigh)
            // By age alone: queries of an older version do not come again, however frequent they were.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { values, changes, computing: TaskTracker::new(), counters: Arc::default() }
    }

    /// Returns the result of `query` on the report's `version`: also that of another version, if the query is of named pages and
    /// these are the same in both. Calls `compute` if it is neither cached nor being computed.
    /// An error is returned to all who wait, and not cached.
    pub(super) async fn get_or_compute<F>(
        &self,
        version: i64,
        query: ReportQuery,
        compute: impl FnOnce(ReportQuery) -> F,
    ) -> Result<QueryResult, ReportError>
    where
        F: Future<Output = Result<QueryResult, ReportError>> + Send + 'static,
    {
        let key = Key { version: Some(version), query };
        let found = match self.values.get(&key).await {
            Some(entry) => Some(entry.lock().result.clone()),
            None => self.newest(version, &key.query).await.1,
        };
        if let Some(result) = self.count(found) {
            return Ok(result);
        }
        // On the heap, since thousands may wait: each function that it is handed to has room for it.
        let compute = compute(key.query.clone()).boxed();
        let (values, counters) = (self.values.clone(), Arc::clone(&self.counters));
        let counted = async move {
            counters.computed.fetch_add(1, Ordering::Relaxed);
            Ok(Entry::new(version, compute.await?))
        };
        let computing = async move {
            let computed = values.try_get_with(key.clone(), counted).await;
            if let (Ok(entry), Some(_)) = (&computed, key.query.names()) {
                values.insert(Key { version: None, ..key }, entry.clone()).await;
            }
            computed
        };
        match self.computing.spawn(computing).await {
            Ok(computed) => computed
                .map(|entry| entry.lock().result.clone())
                .map_err(|failure: Arc<ReportError>| (*failure).clone()),
            // The computation panicked.
            Err(ended) => Err(ReportError::Database(DbErr::Custom(ended.to_string()))),
        }
    }

    /// Does the same for a query of a single page, of which only the newest result is kept. Equal queries may each call `read`.
    pub(super) async fn get_or_read_page<'a>(
        &self,
        version: i64,
        query: ReportQuery,
        read: impl FnOnce(ReportQuery) -> BoxFuture<'a, Result<QueryResult, ReportError>>,
    ) -> Result<QueryResult, ReportError> {
        let (newest, found) = self.newest(version, &query).await;
        if let Some(result) = self.count(found) {
            return Ok(result);
        }
        let result = read(query.clone()).await?;
        self.counters.computed.fetch_add(1, Ordering::Relaxed);
        if newest.is_none_or(|entry| !entry.replace(version, &result, &query)) {
            Box::pin(self.values.insert(Key { version: None, query }, Entry::new(version, result.clone()))).await;
        }
        Ok(result)
    }

    /// Counts whether a result was there.
    fn count(&self, found: Option<QueryResult>) -> Option<QueryResult> {
        let counter = if found.is_some() { &self.counters.hits } else { &self.counters.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Returns the entry of the newest result of a query of named pages, and the result if it is also that of `version`.
    async fn newest(&self, version: i64, query: &ReportQuery) -> (Option<Entry>, Option<QueryResult>) {
        if query.names().is_none() {
            return (None, None);
        }
        let Some(entry) = self.values.get(&Key { version: None, query: query.clone() }).await else {
            return (None, None);
        };
        let result = self.carry_over(&entry, version, query).await;
        (Some(entry), result)
    }

    /// Returns the result of `entry`, if the pages that `query` names are the same in its version and this one.
    async fn carry_over(&self, entry: &Entry, version: i64, query: &ReportQuery) -> Option<QueryResult> {
        let held = entry.lock().clone();
        if held.version != version {
            if !self.are_same(&query.page_hashes()?, held.version, version).await {
                return None;
            }
            let mut now = entry.lock();
            // Unless another result has come meanwhile: so that it is never too many versions old.
            if now.version == held.version {
                now.version = version.max(held.version);
            }
        }
        Some(held.result)
    }

    /// Returns whether the pages, by the hashes of their names, are sure to be the same in two versions.
    pub(super) async fn are_same(&self, pages: &[u64], one: i64, other: i64) -> bool {
        self.changes.are_same(pages, one, other).await
    }

    /// Updates the memory of all entries, which otherwise follows with a delay.
    pub(super) async fn settle(&self) {
        self.values.run_pending_tasks().await;
    }

    pub(super) fn figures(&self) -> CacheFigures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheFigures {
            hits: count(&self.counters.hits),
            misses: count(&self.counters.misses),
            computed: count(&self.counters.computed),
            bytes: self.values.weighted_size(),
        }
    }

    /// Waits for the computations under way. There must be no more queries.
    pub(super) async fn finish(&self) {
        self.computing.close();
        self.computing.wait().await;
    }
}
