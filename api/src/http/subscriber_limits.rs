//! Limits on open sockets and event streams, in all and per client.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    error::HttpError,
    per_client::{PerClient, PerClientPermit},
};
use crate::{access::Network, error_code::Code, metrics};

/// The limits on open sockets and event streams. A cheap handle: clone it.
#[derive(Clone)]
pub(super) struct SubscriberLimits {
    free: Arc<Semaphore>,
    count: u32,
    each: PerClient,
    /// Counts the open subscribers of each kind: each permit holds a reference to its kind.
    kinds: Arc<Kinds>,
}

#[derive(Default)]
struct Kinds {
    socket: Arc<()>,
    event_stream: Arc<()>,
}

/// The kind of a subscriber.
#[derive(Copy, Clone, Debug)]
pub(super) enum Subscriber {
    Socket,
    EventStream,
}

/// A permit for one open socket or event stream, released when it is dropped.
pub(super) struct SubscriberPermit {
    _permit: OwnedSemaphorePermit,
    _share: Option<PerClientPermit>,
    _kind: Arc<()>,
}

impl SubscriberLimits {
    /// Allows `count` sockets and event streams at once, of which one client may have `each`.
    pub(super) fn new(count: u32, each: u32) -> Self {
        let free = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX)));
        Self { free, count, each: PerClient::new(each), kinds: Arc::default() }
    }

    /// Returns a permit for one more subscriber. Without a `client` only the limit on all subscribers applies.
    ///
    /// # Errors
    /// 503 when the limit on all is reached, 429 when the client's own is.
    pub(super) fn take(&self, kind: Subscriber, client: Option<Network>) -> Result<SubscriberPermit, HttpError> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_taken| {
            let message = format!("{} sockets and streams are open, and there is no room for more", self.count);
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
        })?;
        let share = client.map(|client| self.share(client)).transpose()?;
        let kind = match kind {
            Subscriber::Socket => &self.kinds.socket,
            Subscriber::EventStream => &self.kinds.event_stream,
        };
        Ok(SubscriberPermit { _permit: permit, _share: share, _kind: Arc::clone(kind) })
    }

    /// Sets the gauges of open sockets and event streams.
    pub(super) fn observe(&self) {
        // One reference is that of `Kinds` itself.
        let [sockets, event_streams] =
            [&self.kinds.socket, &self.kinds.event_stream].map(|kind| Arc::strong_count(kind) - 1);
        metrics::observe_subscribers(sockets, event_streams);
    }

    fn share(&self, client: Network) -> Result<PerClientPermit, HttpError> {
        self.each.take(client).ok_or_else(|| {
            let each = self.each.each();
            let message = format!("{each} sockets and streams are open from one address, and it may have no more");
            HttpError::new(StatusCode::TOO_MANY_REQUESTS, Code::Overloaded, message)
        })
    }
}
