//! What has been found out, by question and version of the report; whoever asks the same meanwhile waits for one
//! computation.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use moka::{future, policy::EvictionPolicy};
use sea_orm::DbErr;
use tokio_util::task::TaskTracker;

use super::{
    question::{Question, Value},
    reader::ReportError,
};

/// What an entry takes beside its question and its value, in bytes, about.
const ENTRY_BYTES: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    version: i64,
    question: Question,
}

/// A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    values: future::Cache<Key, Value>,
    /// Computations. They are nobody's own: who waits for one may stop waiting, or stop being polled by a client that
    /// does not read, and the others still get it.
    computing: TaskTracker,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    computed: AtomicU64,
}

/// What the cache has done since the start, and what it holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CacheFigures {
    /// Questions whose answer was there.
    pub hits: u64,
    /// Questions that waited for a computation, their own or another's.
    pub misses: u64,
    /// Computations.
    pub computed: u64,
    /// What the entries take, in bytes, about; it follows with a short delay.
    pub bytes: u64,
}

impl Cache {
    /// One that holds at most about `bytes_max`.
    pub(super) fn new(bytes_max: u64) -> Self {
        let weigh =
            |key: &Key, value: &Value| u32::try_from(value.bytes_with(&key.question) + ENTRY_BYTES).unwrap_or(u32::MAX);
        let values = future::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(weigh)
            // By age alone: what was asked often of an older version is not asked again.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { values, computing: TaskTracker::new(), counters: Arc::default() }
    }

    /// The answer to `question` by the report's `version`; `compute` is called if it is not there and nobody computes
    /// it. What fails is told to all who wait, and forgotten.
    pub(super) async fn get_or_compute<F>(
        &self,
        version: i64,
        question: Question,
        compute: impl FnOnce(Question) -> F,
    ) -> Result<Value, ReportError>
    where
        F: Future<Output = Result<Value, ReportError>> + Send + 'static,
    {
        let key = Key { version, question };
        if let Some(value) = self.values.get(&key).await {
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        let compute = compute(key.question.clone());
        let (values, counters) = (self.values.clone(), Arc::clone(&self.counters));
        let counted = async move {
            counters.computed.fetch_add(1, Ordering::Relaxed);
            compute.await
        };
        let computed = self.computing.spawn(async move { values.try_get_with(key, counted).await }).await;
        match computed {
            Ok(computed) => computed.map_err(|failure| (*failure).clone()),
            // It panicked.
            Err(ended) => Err(ReportError::Database(DbErr::Custom(ended.to_string()))),
        }
    }

    /// Does what the cache puts off until it is used again, so that its figures are those of now.
    pub(super) async fn tidy(&self) {
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

    /// Waits for the computations that run. Nobody must ask any more.
    pub(super) async fn finish(&self) {
        self.computing.close();
        self.computing.wait().await;
    }
}
