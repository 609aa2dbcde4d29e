//! Queries of single pages that wait at the same time are read together: many names in one statement.
//!
//! The first query of a kind reads; those that come meanwhile wait for the next statement, as increments wait for the next
//! commit. So a lone query is read at once, and ten thousand queries take few statements.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use sea_orm::DbErr;
use tokio::{sync::oneshot, task::yield_now};
use tokio_util::task::TaskTracker;

use super::{
    error::ReportError,
    report_query::{QueryResult, ReportQuery},
};

/// A version of the content, and a query of many pages without their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    version: i64,
    query: ReportQuery,
}

/// The result for many pages, and the place of one of them.
type Part = Result<(QueryResult, usize), ReportError>;

/// The channels of the queries that wait, by the name of their page.
type Waiting = BTreeMap<String, Vec<oneshot::Sender<Part>>>;

/// The queries that wait. A cheap handle: clone it.
#[derive(Clone, Debug, Default)]
pub(super) struct Batches {
    waiting: Arc<Mutex<HashMap<Key, Waiting>>>,
    /// The tasks that read. One goes on when the query that began it is dropped, because other queries wait for it.
    reading: TaskTracker,
}

/// Reads the queries of a key. If it is dropped before all are read, the queries that wait fail.
struct Reader {
    batches: Batches,
    key: Key,
    has_ended: bool,
}

impl Batches {
    /// Returns the result that `query`, a query of many pages without names, has for the page `name`, and the page's place in
    /// it. `read` reads the result for many pages.
    pub(super) async fn result(
        &self,
        version: i64,
        query: ReportQuery,
        name: String,
        read: impl Fn(ReportQuery) -> BoxFuture<'static, Result<QueryResult, ReportError>> + Send + 'static,
    ) -> Part {
        let (sender, part) = oneshot::channel();
        let key = Key { version, query };
        let is_first = {
            let mut all = self.lock();
            let is_first = !all.contains_key(&key);
            all.entry(key.clone()).or_default().entry(name).or_default().push(sender);
            is_first
        };
        if is_first {
            self.reading.spawn(Reader { batches: self.clone(), key, has_ended: false }.read_all(read));
        }
        // The reader has panicked.
        part.await.unwrap_or_else(|ended| Err(ReportError::Database(DbErr::Custom(ended.to_string()))))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the statements under way. There must be no more queries.
    pub(super) async fn finish(&self) {
        self.reading.close();
        self.reading.wait().await;
    }
}

impl Reader {
    /// Reads until nobody waits.
    async fn read_all(mut self, read: impl Fn(ReportQuery) -> BoxFuture<'static, Result<QueryResult, ReportError>>) {
        while let Some(waiting) = self.gather().await {
            let (names, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
            let result = read(self.key.query.clone().of_pages(names.into())).await;
            for (place, waiting) in waiting.into_iter().enumerate() {
                for sender in waiting {
                    // Nobody may wait any more.
                    drop(sender.send(result.clone().map(|result| (result, place))));
                }
            }
        }
    }

    /// Lets further queries arrive, and takes as many as one statement reads. Returns `None` when none waits.
    async fn gather(&mut self) -> Option<Waiting> {
        let waiting = || self.batches.lock().get(&self.key).map_or(0, BTreeMap::len);
        // The other tasks that are ready run first. It ends when none of them has added a query.
        let mut known = 0;
        while known < waiting().min(self.key.query.pages_max()) {
            known = waiting();
            yield_now().await;
        }
        self.take()
    }

    /// Takes as many as one statement reads. Ends the key when nobody waits.
    fn take(&mut self) -> Option<Waiting> {
        let mut all = self.batches.lock();
        let Some(waiting) = all.get_mut(&self.key).filter(|waiting| !waiting.is_empty()) else {
            all.remove(&self.key);
            self.has_ended = true;
            return None;
        };
        let behind = waiting.keys().nth(self.key.query.pages_max()).cloned();
        let rest = behind.map(|behind| waiting.split_off(&behind)).unwrap_or_default();
        Some(std::mem::replace(waiting, rest))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Once it has ended, the key may be another reader's.
        if !self.has_ended {
            self.batches.lock().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test]
    async fn queries_that_wait_are_read_together_and_each_gets_its_own() {
        let (batches, reads) = (Batches::default(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&reads);
        let read = move |query: ReportQuery| {
            let reads = Arc::clone(&counted);
            async move {
                reads.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
                let ReportQuery::Viewed(names) = query else { panic!("{query:?}") };
                assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "each name once");
                let numbers = names.iter().map(|name| name.parse::<i64>().unwrap());
                Ok(QueryResult::Numbers(numbers.collect()))
            }
            .boxed()
        };
        let viewed = || ReportQuery::Viewed([].into());
        // Of each page twice, as of its views and whether it has any.
        let asked: Vec<usize> = (0..1_000).chain(0..1_000).collect();
        let parts =
            join_all(asked.iter().map(|number| batches.result(7, viewed(), number.to_string(), read.clone()))).await;
        for (number, part) in asked.iter().zip(parts) {
            let (QueryResult::Numbers(numbers), place) = part.unwrap() else { panic!("another result") };
            assert_eq!(usize::try_from(numbers[place]), Ok(*number));
        }
        assert_eq!(reads.load(Ordering::Relaxed), 1_000_usize.div_ceil(viewed().pages_max()));
        assert!(batches.lock().is_empty());
    }

    #[tokio::test]
    async fn reader_that_panics_leaves_nobody_waiting() {
        let batches = Batches::default();
        let panics = |_query| async { panic!("it can't read") }.boxed();
        let asked = ["/a", "/b"].map(|name| batches.result(7, ReportQuery::Viewed([].into()), name.to_owned(), panics));
        for part in join_all(asked).await {
            assert!(matches!(part, Err(ReportError::Database(_))));
        }
        assert!(batches.lock().is_empty());
    }
}
