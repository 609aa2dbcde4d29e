//! Connections: only so many at once, none that is silent for long, and nobody hears from where.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, serve::Listener};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;
use tracing::debug;

use super::access::Peer;

/// Who comes in, how many of them, and how long they may be silent.
pub(super) struct Doors {
    listener: TcpListener,
    room: Arc<Semaphore>,
    silence_max: Duration,
}

/// A connection, and its room.
struct Connection {
    stream: TcpStream,
    _room: Option<OwnedSemaphorePermit>,
}

impl Doors {
    /// A connection that has sent no whole head of a request for `silence_max` is closed, a new one as one that has had
    /// answers.
    pub(super) fn new(listener: TcpListener, connections: u32, silence_max: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Self { listener, room: Arc::new(Semaphore::new(connections)), silence_max }
    }

    /// Accepts connections while there is room for them, others wait in the system's queue; until `stop`. Each is served
    /// in a task among `tasks`, that ends with what is asked when `stop` comes.
    pub(super) async fn serve(mut self, routes: Router, tasks: &TaskTracker, stop: &CancellationToken) {
        while let Some((connection, peer)) = stop.run_until_cancelled(self.accept()).await {
            tasks.spawn(talk(connection, peer, routes.clone(), self.silence_max, stop.clone()));
        }
    }

    async fn accept(&mut self) -> (Connection, Peer) {
        // It is never closed.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection { stream, _room: room }, Peer(address.ip()))
    }
}

async fn talk(connection: Connection, peer: Peer, routes: Router, silence_max: Duration, stop: CancellationToken) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.clone().call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(silence_max);
    let mut talk = std::pin::pin!(http.serve_connection(TokioIo::new(connection), service).with_upgrades());
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = stop.cancelled() => {
            talk.as_mut().graceful_shutdown();
            talk.await
        }
    };
    if let Err(error) = ended {
        debug!(error = &error as &dyn Error, "a connection has failed");
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
