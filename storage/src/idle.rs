//! Connections that are kept for their next use.

use std::time::Duration;

use tokio::time::Instant;

/// How long an idle connection is reused. A NAT or firewall may drop the state of an older one without notice.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// An idle connection, and since when it is idle.
#[derive(Debug)]
pub struct Idle<T> {
    connection: T,
    since: Instant,
}

impl<T> Idle<T> {
    /// Returns `connection`, idle from now on.
    #[must_use]
    pub fn new(connection: T) -> Self {
        Self { connection, since: Instant::now() }
    }

    /// Returns the connection if it may be reused.
    #[must_use]
    pub fn if_young(self) -> Option<T> {
        (self.since.elapsed() < IDLE_MAX).then_some(self.connection)
    }
}
