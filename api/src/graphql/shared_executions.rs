//! Shares the execution of equal requests that are executed at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, WeakShared},
};

use super::request_key::RequestKey;

/// The executions under way. Cheap to clone.
pub(super) struct SharedExecutions<T: Clone>(Arc<Mutex<HashMap<RequestKey, WeakShared<BoxFuture<'static, T>>>>>);

impl<T: Clone> Clone for SharedExecutions<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Default for SharedExecutions<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + Sync + 'static> SharedExecutions<T> {
    /// Returns the output of the request's execution that is under way, or of `execution` if there is none. An execution is
    /// dropped when all who share it have stopped waiting.
    pub(super) async fn share<E: Future<Output = T> + Send + 'static>(
        &self,
        key: RequestKey,
        execution: impl FnOnce() -> E,
    ) -> T {
        let shared = {
            let mut all = self.lock();
            let under_way = all.get(&key).and_then(WeakShared::upgrade);
            under_way.unwrap_or_else(|| {
                let entry = Entry { all: self.clone(), key: key.clone() };
                let execution = execution();
                let execution = async move {
                    let output = execution.await;
                    drop(entry);
                    output
                };
                let shared = execution.boxed().shared();
                all.extend(shared.downgrade().map(|weak| (key, weak)));
                shared
            })
        };
        shared.await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestKey, WeakShared<BoxFuture<'static, T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes an execution from the others when it ends or is dropped.
struct Entry<T: Clone + Send + Sync + 'static> {
    all: SharedExecutions<T>,
    key: RequestKey,
}

impl<T: Clone + Send + Sync + 'static> Drop for Entry<T> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicU32, Ordering},
    };

    use async_graphql::Request;
    use futures_util::poll;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn equal_requests_are_executed_once_at_a_time() {
        let (all, begun, end) = (SharedExecutions::default(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let share = |query: &str| {
            let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
            all.share(RequestKey::of(&Request::new(query)), || async move {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                end.notified().await;
                number
            })
        };
        let mut first = Box::pin(share("{ a }"));
        let (mut second, mut other) = (pin!(share("{ a }")), pin!(share("{ b }")));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending() && poll!(&mut other).is_pending());
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        drop(first);
        end.notify_waiters();
        assert_eq!((second.await, other.await), (0, 1), "it goes on without the one who began it");
        let mut later = Box::pin(share("{ a }"));
        assert!(poll!(&mut later).is_pending());
        assert_eq!(begun.load(Ordering::Relaxed), 3, "a new one after the old one has ended");
        drop(later);
        assert!(all.lock().is_empty(), "nobody waits for it any more");
    }
}
