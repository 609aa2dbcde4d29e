//! The accept loop. It limits connections in all and per address, closes connections whose client sends no request or
//! reads no response for too long, and logs no client's address.

mod write_timeout;

use std::{convert::Infallible, error::Error, io::Write, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
    serve::Listener,
};
use hyper::{Request, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use self::write_timeout::WriteTimeout;
use super::{
    error::HttpError,
    per_client::{PerClient, PerClientPermit},
    routes::Routes,
    timeouts::Timeouts,
};
use crate::{
    access::{Network, Peer},
    error_code::Code,
};

/// The most bytes of a request's head, its first line and headers. It is also the size of a connection's read and write
/// buffers, each of which may exceed it by one chunk.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that the kernel buffers unsent (`TCP_NOTSENT_LOWAT`), so that it accepts more only once the client
/// has read some.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 64 * 1024;
/// The response to a connection from an address that has as many connections as it may. It is sent without reading a
/// request.
const REFUSED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json; charset=utf-8\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 151\r\n\r\n\
    {\"errors\":[{\"message\":\"one address has as many connections as it may have (--connections-each)\",\
    \"extensions\":{\"code\":\"OVERLOADED\",\"retryable\":true}}]}\n";

/// The listener, its limits on connections, and their timeouts.
pub(super) struct Server {
    listener: TcpListener,
    room: Arc<Semaphore>,
    each: Option<PerClient>,
    timeouts: Timeouts,
}

/// An accepted connection. It holds its permits of all connections and of its address.
type Connection = WriteTimeout<TcpStream, (Option<OwnedSemaphorePermit>, Option<PerClientPermit>)>;

impl Server {
    /// Returns a server of at most `connections` connections at once, of which one address may have `each`; without
    /// `each` connections are not limited per address.
    ///
    /// A connection is closed when it completes no request head within `timeouts.silence`, for its first request and
    /// between requests alike, or when its client does not read for `timeouts.write`.
    pub(super) fn new(listener: TcpListener, connections: u32, each: Option<u32>, timeouts: Timeouts) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Self { listener, room: Arc::new(Semaphore::new(connections)), each: each.map(PerClient::new), timeouts }
    }

    /// Accepts connections until `stop`. While the limit is reached, further ones wait in the kernel's queue. Each
    /// connection is served in a task of `tasks`, which on `stop` ends after the request that is in progress.
    pub(super) async fn serve(mut self, routes: Routes, tasks: &TaskTracker, stop: &CancellationToken) {
        // Each connection has a token of its own, because looking at a token locks it.
        while let Some((connection, peer)) = stop.run_until_cancelled(self.accept()).await {
            tasks.spawn(serve_connection(connection, peer, routes.clone(), self.timeouts.silence, stop.child_token()));
        }
    }

    async fn accept(&mut self) -> (Connection, Peer) {
        // `ok` loses no error: the semaphore is never closed.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let share = self.each.as_ref().map(|each| each.take(Network::of(address.ip())));
            match share {
                Some(None) => refuse(stream),
                share => {
                    // Should this fail, a client that does not read is only noticed later.
                    #[cfg(target_os = "linux")]
                    drop(SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX));
                    let permits = (room, share.flatten());
                    return (WriteTimeout::new(stream, self.timeouts.write, permits), Peer(address.ip()));
                }
            }
        }
    }
}

/// Sends the refusal and closes the connection. It never waits: the response is lost if the kernel does not take it at
/// once.
fn refuse(stream: TcpStream) {
    drop(stream.into_std().and_then(|mut stream| stream.write(REFUSED)));
    Code::Overloaded.count();
    debug!("an address has its share of the connections, and one more is refused");
}

async fn serve_connection(
    connection: Connection,
    peer: Peer,
    routes: Routes,
    silence_max: Duration,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut routes = routes.clone();
        async move {
            if is_head_too_large(&request) {
                return Ok(too_large_head());
            }
            let spelling = request.headers().contains_key(header::UPGRADE).then(|| request.extensions().clone());
            let mut response = routes.answer(request.map(Body::new), peer).await?;
            // The extensions hold the case of the client's header names, which hyper then uses for the response's:
            // Python's gql looks for `Sec-WebSocket-Protocol` in the response as if case mattered.
            response.extensions_mut().extend(spelling.unwrap_or_default());
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(silence_max).max_buf_size(HEAD_BYTES_MAX);
    http.preserve_header_case(true);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(connection), service).with_upgrades());
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(error = &error as &dyn Error, "a connection has failed");
    }
}

/// Returns whether the head has more than [`HEAD_BYTES_MAX`] bytes. The check is needed because hyper may read one
/// chunk beyond its own bound.
fn is_head_too_large(request: &Request<Incoming>) -> bool {
    let query = request.uri().query().map_or(0, str::len);
    let headers = request.headers().iter();
    let size = headers.fold(request.uri().path().len() + query, |size, (name, value)| {
        size + name.as_str().len() + value.len() + ": \r\n".len()
    });
    size > HEAD_BYTES_MAX
}

fn too_large_head() -> Response {
    let message = format!("the request's first line and headers must be at most {HEAD_BYTES_MAX} bytes");
    HttpError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::PayloadTooLarge, message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_has_the_content_length_that_it_declares() {
        let text = std::str::from_utf8(REFUSED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    }
}
