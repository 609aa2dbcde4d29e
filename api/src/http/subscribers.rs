//! What sockets and streams of events have in common: there is room for so many, and they are waited for so long.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::graphql::Refusal;
use crate::schema::Code;

/// How long those who subscribe are waited for.
#[derive(Copy, Clone, Debug)]
pub struct Patience {
    /// A new socket has as long to say `connection_init`.
    pub init: Duration,
    /// A socket is pinged as often; one that said nothing since the last ping is dropped, and so is one that takes as
    /// long to take a message.
    pub ping: Duration,
    /// A stream of events that has nothing to say says so as often.
    pub keep_alive: Duration,
    /// When the server stops, queries and mutations that a socket waits for have as long to be answered.
    pub answers: Duration,
    /// Who is told that the socket is closed has as long to agree.
    pub close: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            init: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            keep_alive: Duration::from_secs(12),
            answers: Duration::from_secs(5),
            close: Duration::from_secs(2),
        }
    }
}

/// The room that there is for sockets and streams.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    count: u32,
}

/// Free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(count: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX))), count }
    }

    pub(super) fn take(&self) -> Result<Place, Refusal> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        permit.map(|permit| Place { _permit: permit }).map_err(|_taken| {
            let message = format!("{} sockets and streams are open, and there is no room for more", self.count);
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded, message)
        })
    }
}
