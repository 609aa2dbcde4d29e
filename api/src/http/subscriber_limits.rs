//! What sockets and streams of events have in common: there is room for so many, and they are waited for so long.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    access::Network,
    graphql::HttpError,
    per_client::{PerClient, PerClientPermit},
};
use crate::{metrics, schema::Code};

/// How long clients are waited for.
#[derive(Copy, Clone, Debug)]
pub struct Timeouts {
    /// A connection has as long to send the head of a request, the first as the next one.
    pub silence: Duration,
    /// A connection whose client takes nothing of what waits to be written is closed after as long, over HTTP, in a stream
    /// of events and on a socket alike.
    pub write: Duration,
    /// A new socket has as long to say `connection_init`.
    pub init: Duration,
    /// A socket is pinged as often; one that said nothing since the last ping is dropped.
    pub ping: Duration,
    /// A stream of events that has nothing to say says so as often.
    pub keep_alive: Duration,
    /// When the server stops, queries and mutations that a socket waits for have as long to be answered.
    pub answers: Duration,
    /// Who is told that the socket is closed has as long to agree.
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

/// The room that there is for sockets and streams.
#[derive(Clone)]
pub(super) struct SubscriberLimits {
    free: Arc<Semaphore>,
    count: u32,
    each: PerClient,
    /// Each place has its kind in its hands: so many there are.
    kinds: Arc<Kinds>,
}

#[derive(Default)]
struct Kinds {
    socket: Arc<()>,
    event_stream: Arc<()>,
}

/// Who takes a place.
#[derive(Copy, Clone, Debug)]
pub(super) enum Subscriber {
    Socket,
    EventStream,
}

/// Free again when it is dropped.
pub(super) struct SubscriberPermit {
    _permit: OwnedSemaphorePermit,
    _share: Option<PerClientPermit>,
    _kind: Arc<()>,
}

impl SubscriberLimits {
    /// `count` in all, `each` of one client.
    pub(super) fn new(count: u32, each: u32) -> Self {
        let free = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX)));
        Self { free, count, each: PerClient::new(each), kinds: Arc::default() }
    }

    /// A place for a client; for one that is not counted, only all are.
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

    /// Tells the metrics how many places are taken.
    pub(super) fn observe(&self) {
        // One is its own.
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
