//! The freshness listener: reads `report_refreshes` after each notification and at each poll, and publishes to the feed.

use std::{error::Error, time::Instant};

use storage::database::DatabaseUrl;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::feed::FreshnessFeed;

/// Follows `report_refreshes` for a [`FreshnessFeed`].
#[derive(Debug)]
pub struct FreshnessListener {
    pub(super) feed: FreshnessFeed,
    /// The database to listen on; SQLite has no notifications.
    pub(super) notify_url: DatabaseUrl,
}

impl Drop for FreshnessListener {
    /// Ends all subscriptions.
    fn drop(&mut self) {
        self.feed.end();
    }
}

impl FreshnessListener {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let wake = Notify::new();
        let (publishing, listening) = (self.publish(&wake), Box::pin(self.listen(&wake)));
        tokio::select! { () = stop.cancelled() => {} () = publishing => {} () = listening => {} }
    }

    async fn publish(&self, wake: &Notify) {
        loop {
            if let Err(error) = self.feed.read().await {
                debug!(error = &error as &dyn Error, "freshness can't be read");
                // Time passes all the same: the latest freshness may become overdue.
                let latest = self.feed.state.borrow().latest.clone();
                latest.into_iter().for_each(|update| drop(self.feed.publish(update.freshness, None)));
            }
            // One borrow: a second one within it would wait for a writer that waits for the first.
            let pause = self.feed.state.borrow().pause(Instant::now(), self.feed.subscribers());
            tokio::select! { () = wake.notified() => {} () = sleep(pause) => {} }
        }
    }
}
