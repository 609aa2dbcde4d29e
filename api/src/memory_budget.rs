//! A memory budget that all clients share: a bound on the bytes that are held at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// A budget of bytes. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// A reservation of bytes, released when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation(OwnedSemaphorePermit);

impl MemoryBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Reserves `bytes`, or returns `None` when fewer are free.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Reservation> {
        Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok().map(Reservation)
    }

    /// Reserves `bytes`, waiting up to `time` until they are free. Returns `None` after that, and at once when they
    /// exceed the whole budget.
    pub(crate) async fn take(&self, bytes: usize, time: Duration) -> Option<Reservation> {
        if bytes > self.bytes {
            return None;
        }
        let taken = Arc::clone(&self.free).acquire_many_owned(u32::try_from(bytes).ok()?);
        timeout(time, taken).await.ok()?.ok().map(Reservation)
    }

    /// Returns how many bytes are reserved.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.bytes.saturating_sub(self.free.available_permits())
    }
}

impl Reservation {
    /// Adds `more`, a reservation of the same budget.
    pub(crate) fn merge(&mut self, more: Self) {
        self.0.merge(more.0);
    }

    /// Releases all but `bytes`.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let more = self.0.num_permits().saturating_sub(bytes);
        drop(self.0.split(more));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.num_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reservation_is_released_when_shrunk_or_dropped() {
        let (room, time) = (MemoryBudget::new(10), Duration::from_secs(1));
        let mut taken = room.try_take(6).unwrap();
        taken.merge(room.try_take(3).unwrap());
        assert!(
            room.try_take(2).is_none() && room.take(2, time).await.is_none() && room.take(11, time).await.is_none()
        );
        taken.keep(4);
        assert_eq!((taken.bytes(), room.taken()), (4, 4));
        taken.keep(5);
        assert_eq!((taken.bytes(), room.taken()), (4, 4), "a reservation is only ever reduced");
        let (waited, ()) = tokio::join!(room.take(7, time), async { drop(taken) });
        assert_eq!(waited.map(|taken| taken.bytes()), Some(7));
    }
}
