//! HTTP: GraphQL, the pages that people open, and health.

mod body;
mod graphiql;
mod graphql;
mod health;
mod prepared;
mod websocket;

use std::{future::IntoFuture, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::header, response::Redirect, routing::get};
use clap::Args;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    freshness::FreshnessFeed,
    increments::Recorder,
    reports::ReportReader,
    schema::{AnalyticsSchema, schema, sdl},
};
use body::BodyRoom;
use prepared::PreparedMutations;

/// How long requests and sockets that are open may take to end once the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What can be set about HTTP.
#[derive(Args, Clone, Debug)]
pub struct HttpSettings {
    /// The address to listen on
    #[arg(long, env = "ANALYTICS_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// How many bytes a request's body may have
    #[arg(long, env = "ANALYTICS_BODY_BYTES", default_value_t = 8 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub body_bytes: u32,
    /// How many bytes the bodies of all requests may have that are read at once; more are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_BODY_BYTES_IN_ALL", default_value_t = 128 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub body_bytes_in_all: u32,
}

/// What is served.
#[derive(Debug)]
pub struct Services {
    /// For what clients record.
    pub recorder: Recorder,
    /// For what they ask.
    pub reader: ReportReader,
    /// For what they watch.
    pub feed: FreshnessFeed,
}

/// What the handlers share.
#[derive(Clone)]
struct App {
    schema: AnalyticsSchema,
    recorder: Recorder,
    prepared: Arc<PreparedMutations>,
    feed: FreshnessFeed,
    body_bytes_max: usize,
    body_room: BodyRoom,
    stop: CancellationToken,
    sockets: TaskTracker,
}

/// Serves on `listener` until `stop`: then accepts nothing more, lets open requests end, tells sockets to come
/// back later, and returns within ten seconds more.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    settings: &HttpSettings,
    stop: CancellationToken,
) -> io::Result<()> {
    let sockets = TaskTracker::new();
    let Services { recorder, reader, feed } = services;
    let app = App {
        schema: schema(recorder.clone(), reader, feed.clone()),
        recorder,
        prepared: Arc::new(PreparedMutations::new()),
        feed,
        body_bytes_max: usize::try_from(settings.body_bytes).unwrap_or(usize::MAX),
        body_room: BodyRoom::new(usize::try_from(settings.body_bytes_in_all).unwrap_or(usize::MAX)),
        stop: stop.clone(),
        sockets: sockets.clone(),
    };
    let serving = axum::serve(listener, router(app)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut serving = std::pin::pin!(serving.into_future());
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop.cancelled() => {}
    }
    sockets.close();
    let drained = timeout(DRAIN, async {
        let (served, ()) = tokio::join!(serving, sockets.wait());
        served
    });
    drained.await.unwrap_or_else(|_elapsed| {
        warn!(drain.timeout_ms = DRAIN.as_millis(), "some requests did not end in time");
        Ok(())
    })
}

fn router(app: App) -> Router {
    let schema_text = get(|| async { ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], sdl()) });
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/graphiql") }))
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/graphiql", get(graphiql::page))
        .route("/graphiql/{file}", get(graphiql::file))
        .route("/schema.graphql", schema_text)
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(app)
}
