//! Limits on open sockets and event streams, in all and per client, and the timeouts of connections.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    access::Network,
    graphql::HttpError,
    per_client::{PerClient, PerClientPermit},
};
use crate::{metrics, schema::Code};

/// The timeouts of connections, sockets and event streams.
#[derive(Copy, Clone, Debug)]
pub struct Timeouts {
    /// The time in which a connection has to send a whole request head, for its first request and each later one.
    pub silence: Duration,
    /// The time after which a connection is closed when its client does not read what is waiting to be written: over
    /// plain HTTP, in an event stream and on a socket alike.
    pub write: Duration,
    /// The time in which a new socket has to send `connection_init`.
    pub init: Duration,
    /// The interval between pings of a socket. A socket that sent nothing since the last ping is dropped.
    pub ping: Duration,
    /// The interval between keep-alive messages in an event stream that has no events.
    pub keep_alive: Duration,
    /// The time that a socket's pending queries and mutations have to finish when the server stops.
    pub answers: Duration,
    /// The time that a client has to answer a socket's close frame.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(75),
            write: Duration::from_secs(30),
            init: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            keep_alive: Duration::from_secs(12),
            answers: Duration::from_secs(5),
            close: Duration::from_secs(2),
        }
    }
}

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
