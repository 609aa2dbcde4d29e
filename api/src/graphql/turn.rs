//! The turn of an operation among those of the same client that are executed at the same time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// An operation's permit to be executed, which it gives back while it waits for something else than its execution.
#[derive(Debug)]
pub(crate) struct Turn {
    permits: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    /// Cancels the operation while it has no permit.
    pub(super) stop: CancellationToken,
}

impl Turn {
    /// Creates the turn of an operation that has no permit yet.
    pub(crate) fn new(permits: Arc<Semaphore>, stop: CancellationToken) -> Self {
        Self { permits, permit: Mutex::default(), stop }
    }

    /// Waits for a permit. Returns `false` if the operation was cancelled before.
    pub(crate) async fn take(&self) -> bool {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_taken) => {
                let permit = self.stop.run_until_cancelled(Arc::clone(&self.permits).acquire_owned());
                permit.await.and_then(Result::ok)
            }
        };
        let is_taken = permit.is_some();
        *self.lock() = permit;
        is_taken
    }

    /// Gives the permit back.
    pub(super) fn give_back(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
