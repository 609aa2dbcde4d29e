//! A look at something that is shared by all who want one at the same time.

use std::{sync::Arc, time::Instant};

use tokio::sync::Mutex;

/// The last look. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(super) struct SharedLook<T>(Arc<Mutex<Option<(Instant, T)>>>);

impl<T> Default for SharedLook<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> SharedLook<T> {
    /// Returns what `look` sees, or what another look saw that began after this was called. All who call while one is under way
    /// share the next one.
    pub(super) async fn take(&self, look: impl AsyncFnOnce() -> T) -> T {
        let called = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((begun, seen)) = &*last
            && *begun >= called
        {
            return seen.clone();
        }
        let begun = Instant::now();
        let seen = look().await;
        *last = Some((begun, seen.clone()));
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn those_who_look_at_the_same_time_share_one_that_began_later() {
        let (shared, looks) = (SharedLook::default(), AtomicUsize::new(0));
        let look = async || {
            let number = looks.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
            number
        };
        let seen = join_all((0..1_000).map(|_| shared.take(look))).await;
        // The first one looks at once, and the others begin to wait meanwhile.
        assert_eq!((seen[0], &seen[1..]), (0, vec![1; 999].as_slice()));
        assert_eq!(shared.take(look).await, 2, "an earlier look");
    }
}
