//! HTTP: GraphQL, the pages that people open, and health.

mod accept;
pub mod access;
mod body;
mod broadcast;
mod dashboard;
mod document;
mod entity_tag;
mod event_stream;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod graphiql;
mod graphql;
mod health;
mod listener;
mod operation;
mod prepared;
mod subscribers;
mod websocket;

use std::{future::IntoFuture, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::header, routing::get};
use clap::Args;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::compression::CompressionLayer;
use tracing::warn;

pub use self::subscribers::Patience;
use self::{
    access::{Access, AccessSettings, Peer},
    broadcast::Broadcasts,
    listener::BoundedListener,
    subscribers::Places,
};
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
    /// How many sockets and streams of events may be open at once; more are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_SUBSCRIBER_CONNECTIONS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub subscriber_connections: u32,
    /// How many of them one client's address may have open, where not everything is open to all
    #[arg(long, env = "ANALYTICS_SUBSCRIBER_CONNECTIONS_EACH", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub subscriber_connections_each: u32,
    /// How many connections may be open at once, of any kind; more wait to be accepted
    #[arg(long, env = "ANALYTICS_CONNECTIONS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Milliseconds after which a query or mutation that is not done is answered UNAVAILABLE
    #[arg(long, env = "ANALYTICS_REQUEST_TIMEOUT_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub request_timeout_ms: u64,
    /// Who may do what, and how often.
    #[command(flatten)]
    pub access: AccessSettings,
    /// How long those who subscribe are waited for. Not a setting: tests have less time.
    #[arg(skip)]
    pub patience: Patience,
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
    access: Access,
    request_max: Duration,
    body_bytes_max: usize,
    body_room: BodyRoom,
    stop: CancellationToken,
    /// Sockets, and operations that run apart from a request.
    tasks: TaskTracker,
    places: Places,
    broadcasts: Broadcasts,
    patience: Patience,
    /// Stands for the program and its schema in entity tags.
    program: [u8; 32],
}

impl App {
    fn new(services: Services, access: Access, settings: &HttpSettings, stop: CancellationToken) -> Self {
        let Services { recorder, reader, feed } = services;
        Self {
            schema: schema(recorder.clone(), reader, feed.clone()),
            recorder,
            prepared: Arc::new(PreparedMutations::new()),
            feed,
            access,
            request_max: Duration::from_millis(settings.request_timeout_ms),
            body_bytes_max: usize::try_from(settings.body_bytes).unwrap_or(usize::MAX),
            body_room: BodyRoom::new(usize::try_from(settings.body_bytes_in_all).unwrap_or(usize::MAX)),
            stop,
            tasks: TaskTracker::new(),
            places: Places::new(settings.subscriber_connections, settings.subscriber_connections_each),
            broadcasts: Broadcasts::default(),
            patience: settings.patience,
            program: entity_tag::program(),
        }
    }
}

/// Serves on `listener` until `stop`: then accepts nothing more, lets open requests end, tells sockets to come
/// back later, and returns within ten seconds more.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    access: Access,
    settings: &HttpSettings,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = App::new(services, access, settings, stop.clone());
    let tasks = app.tasks.clone();
    let listener = BoundedListener::new(listener, settings.connections);
    let service = router(app).into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut serving = std::pin::pin!(serving.into_future());
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop.cancelled() => {}
    }
    tasks.close();
    let drained = timeout(DRAIN, async {
        let (served, ()) = tokio::join!(serving, tasks.wait());
        served
    });
    drained.await.unwrap_or_else(|_elapsed| {
        warn!(drain.timeout_ms = DRAIN.as_millis(), "some requests did not end in time");
        Ok(())
    })
}

fn router(app: App) -> Router {
    let schema_text = get(|| async { ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], sdl()) });
    let pages = Router::new()
        .route("/", get(dashboard::page))
        .route("/dashboard/{file}", get(dashboard::file))
        .route("/graphiql", get(graphiql::page))
        .route("/graphiql/{file}", get(graphiql::file))
        .route("/schema.graphql", schema_text)
        .layer(CompressionLayer::new());
    let mut graphql = get(graphql::get).post(graphql::post);
    if let Some(cors) = app.access.cors() {
        graphql = graphql.layer(cors);
    }
    Router::new()
        .merge(pages)
        .route("/graphql", graphql)
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(app)
}
