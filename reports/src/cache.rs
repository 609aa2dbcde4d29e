//! The cache of query results, by query and version of the report's content. Equal queries wait for one computation.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use moka::{future, policy::EvictionPolicy};
use sea_orm::DbErr;
use tokio_util::task::TaskTracker;

use super::{
    error::ReportError,
    report_query::{QueryResult, ReportQuery},
};

/// The memory of an entry beside its query and its result, in bytes, about.
const ENTRY_BYTES: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    version: i64,
    query: ReportQuery,
}

/// A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    values: future::Cache<Key, QueryResult>,
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

impl Cache {
    /// Creates a cache of at most about `bytes_max` bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        let weigh = |key: &Key, value: &QueryResult| {
            u32::try_from(value.bytes_with(&key.query) + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let values = future::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(weigh)
            // By age alone: queries of an older version do not come again, however frequent they were.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { values, computing: TaskTracker::new(), counters: Arc::default() }
    }

    /// Returns the result of `query` on the report's `version`. Calls `compute` if it is neither cached nor being computed.
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
        let key = Key { version, query };
        if let Some(value) = self.values.get(&key).await {
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        let compute = compute(key.query.clone());
        let (values, counters) = (self.values.clone(), Arc::clone(&self.counters));
        let counted = async move {
            counters.computed.fetch_add(1, Ordering::Relaxed);
            compute.await
        };
        let computed = self.computing.spawn(async move { values.try_get_with(key, counted).await }).await;
        match computed {
            Ok(computed) => computed.map_err(|failure| (*failure).clone()),
            // The computation panicked.
            Err(ended) => Err(ReportError::Database(DbErr::Custom(ended.to_string()))),
        }
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
