//! Follows `report_refreshes`, by notifications and by polling, for the feed.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use entity::{
    REFRESH_CHANNEL,
    database::{DatabaseUrl, Place},
};
use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::feed::{FreshnessFeed, poll};

/// How often the listening connection is used, so that a dead one is noticed.
const LISTENER_HEARTBEAT: Duration = Duration::from_secs(15);
/// How long that may take.
const LISTENER_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a lost listener is built anew.
const LISTENER_PAUSE: Duration = Duration::from_secs(1);

/// Tails `report_refreshes` for a [`FreshnessFeed`].
#[derive(Debug)]
pub struct FreshnessTail {
    pub(super) feed: FreshnessFeed,
    pub(super) url: DatabaseUrl,
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
        let (publishing, listening) = (self.publish(&bell), self.listen(&bell));
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
            let pause = poll(self.feed.kind).min(self.until_overdue());
            tokio::select! { () = bell.notified() => {} () = sleep(pause) => {} }
        }
    }

    fn until_overdue(&self) -> Duration {
        let board = self.feed.board.borrow();
        let until = board.news.as_ref().and_then(|news| news.freshness.until_overdue(Instant::now()));
        // What has been overdue for long is no reason to hurry.
        until.filter(|until| !until.is_zero()).unwrap_or(Duration::MAX)
    }

    /// Rings `bell` at every notification, and whenever one may have been missed. Never ends.
    async fn listen(&self, bell: &Notify) {
        let Ok(Place::Postgres(options)) = self.url.place() else { return std::future::pending().await };
        loop {
            if let Err(error) = self.listen_once(&options, bell).await {
                warn!(error = &error as &dyn Error, "listening for refreshes was interrupted");
            }
            self.feed.set_deaf(true);
            sleep(LISTENER_PAUSE).await;
        }
    }

    /// Until the connection is lost.
    async fn listen_once(&self, options: &PgConnectOptions, bell: &Notify) -> Result<(), sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&pool.connect_with(options.clone()).await?).await?;
        // That it is lost is to be known at once, not when there is another.
        listener.eager_reconnect(false);
        listener.listen(REFRESH_CHANNEL).await?;
        self.feed.set_deaf(false);
        loop {
            // Something may have been said before there was a connection to hear it.
            bell.notify_one();
            let heard = timeout(LISTENER_HEARTBEAT, listener.try_recv()).await;
            match heard {
                Ok(Ok(Some(_notification))) => {}
                Ok(lost) => return lost.map(drop),
                Err(_quiet) => {
                    let beat = timeout(LISTENER_HEARTBEAT_TIMEOUT, listener.execute("SELECT 1")).await;
                    beat.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
                }
            }
        }
    }
}
