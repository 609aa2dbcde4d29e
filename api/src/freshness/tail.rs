//! Follows `report_refreshes`, by notifications and by polling, for the feed.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use entity::database::DatabaseUrl;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::feed::FreshnessFeed;

/// Tails `report_refreshes` for a [`FreshnessFeed`].
#[derive(Debug)]
pub struct FreshnessTail {
    pub(super) feed: FreshnessFeed,
    /// Where to listen; nobody does on SQLite.
    pub(super) notify_url: DatabaseUrl,
}

impl Drop for FreshnessTail {
    /// Who has subscribed learns that nothing more comes.
    fn drop(&mut self) {
        self.feed.board.send_modify(|board| board.ended = true);
    }
}

impl FreshnessTail {
    /// Publishes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let bell = Notify::new();
        let (publishing, listening) = (self.publish(&bell), Box::pin(self.listen(&bell)));
        tokio::select! { () = stop.cancelled() => {} () = publishing => {} () = listening => {} }
    }

    async fn publish(&self, bell: &Notify) {
        loop {
            if let Err(error) = self.feed.read().await {
                debug!(error = &error as &dyn Error, "freshness can't be read");
                // Time passes all the same: what is known may become overdue.
                let known = self.feed.board.borrow().news.clone();
                known.into_iter().for_each(|news| drop(self.feed.publish(news.freshness, None)));
            }
            let pause = self.feed.board.borrow().poll().min(self.until_overdue());
            tokio::select! { () = bell.notified() => {} () = sleep(pause) => {} }
        }
    }

    fn until_overdue(&self) -> Duration {
        let board = self.feed.board.borrow();
        let until = board.news.as_ref().and_then(|news| news.freshness.until_overdue(Instant::now()));
        // What has been overdue for long is no reason to hurry.
        until.filter(|until| !until.is_zero()).unwrap_or(Duration::MAX)
    }
}
