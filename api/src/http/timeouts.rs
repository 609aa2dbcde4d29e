//! The timeouts of connections.

use std::time::Duration;

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
