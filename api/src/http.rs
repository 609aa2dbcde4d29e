//! The HTTP server: GraphQL, the dashboard, `GraphiQL`, health checks and metrics.

mod accept;
mod auth;
mod body;
mod dashboard_settings;
mod error;
mod etag;
mod event_stream;
mod export;
mod exporter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod graphql;
mod health;
mod listen;
mod metrics;
mod page_settings;
mod pages;
mod parameters;
mod per_client;
mod response;
mod response_cache;
mod routes;
mod server;
mod state;
mod subscriber_limits;
mod timeouts;
mod view_settings;
mod views;
mod websocket;

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::header,
    middleware,
    routing::{get, post},
};
use clap::Args;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::compression::CompressionLayer;
use tracing::warn;

use increments::Recorder;
use jobs::Jobs;
use reports::Reports;

pub use self::{
    dashboard_settings::{DashboardSettings, ParseSiteTitleError, SiteTitle},
    health::{NotReady, Readiness},
    listen::{ListenError, listen_address},
    metrics::MetricsRenderer,
    timeouts::Timeouts,
    view_settings::{OptOut, ViewSettings},
    views::{ParseServiceUrlError, ServiceUrl, snippet},
};
use self::{
    exporter::Exporter,
    metrics::Metrics,
    pages::{Dashboard, GraphiQl},
    response_cache::ResponseCache,
    routes::Routes,
    server::Server,
    state::{App, AppState},
    subscriber_limits::SubscriberLimits,
};
use crate::{
    access::{Access, AccessSettings},
    graphql::{OperationExecutor, ResponseBounds, ServerLimits},
    memory_budget::MemoryBudget,
};

/// How long open requests and sockets may take to end once the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// The path of GraphQL.
const GRAPHQL: &str = "/graphql";

/// What can be set about HTTP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// The address to listen on. A name in its place is looked up once, at the start
    #[arg(long, env = "ANALYTICS_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub listen: SocketAddr,
    /// The most bytes of a request's body
    #[arg(long, env = "ANALYTICS_BODY_BYTES", value_name = "BYTES", default_value_t = 8 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub body_bytes: u32,
    /// The most bytes of all requests that are being read or executed; further requests are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_BODY_BYTES_IN_ALL", value_name = "BYTES", default_value_t = 128 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub body_bytes_in_all: u32,
    /// The most bytes of a response, or of one event of a subscription; longer ones fail
    #[arg(long, env = "ANALYTICS_RESPONSE_BYTES", value_name = "BYTES", default_value_t = 8 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(65_536..))]
    pub response_bytes: u32,
    /// The most bytes of all responses that are being built or sent; further requests are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_RESPONSE_BYTES_IN_ALL", value_name = "BYTES", default_value_t = 256 * 1024 * 1024, value_parser = clap::value_parser!(u32).range(65_536..))]
    pub response_bytes_in_all: u32,
    /// The most WebSockets and event streams that are open at the same time; further ones are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_SUBSCRIBER_CONNECTIONS", value_name = "COUNT", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub subscriber_connections: u32,
    /// The most WebSockets and event streams of one client address, unless everything is open to everybody
    #[arg(long, env = "ANALYTICS_SUBSCRIBER_CONNECTIONS_EACH", value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub subscriber_connections_each: u32,
    /// The most operations that run on one WebSocket; further ones are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_SOCKET_OPERATIONS", value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub socket_operations: u32,
    /// The most connections of any kind that are open at the same time; further ones wait to be accepted
    #[arg(long, env = "ANALYTICS_CONNECTIONS", value_name = "COUNT", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// The most connections of one address, while no proxy is trusted (--trust-forwarded-for); further ones are refused with
    /// OVERLOADED. Half of --connections by default
    #[arg(long, env = "ANALYTICS_CONNECTIONS_EACH", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_each: Option<u32>,
    /// Milliseconds after which a query or mutation fails with UNAVAILABLE
    #[arg(long, env = "ANALYTICS_REQUEST_TIMEOUT_MS", value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub request_timeout_ms: u64,
    /// The longest time in milliseconds that a query may wait for a fresher report (notBefore)
    #[arg(long, env = "ANALYTICS_READ_WAIT_MS", value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(0..=600_000))]
    pub read_wait_ms: u32,
    /// The most queries that wait for a fresher report at the same time; further ones are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_WAITING_QUERIES", value_name = "COUNT", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub waiting_queries: u32,
    /// About how many bytes the cache of whole responses may take, which are valid until the next refresh; 0 turns it off
    #[arg(long, env = "ANALYTICS_RESPONSE_CACHE_BYTES", value_name = "BYTES", default_value_t = 32 * 1024 * 1024)]
    pub response_cache_bytes: u64,
    /// Who may do what, and how often.
    #[command(flatten)]
    pub access: AccessSettings,
    /// The settings of views that browsers send.
    #[command(flatten)]
    pub views: ViewSettings,
    /// The settings of the dashboard.
    #[command(flatten)]
    pub dashboard: DashboardSettings,
    /// How long those who subscribe are waited for. Not a setting: tests have less time.
    #[arg(skip)]
    pub timeouts: Timeouts,
}

impl HttpSettings {
    /// Returns the bounds on responses in memory, in bytes. The response cache is added to the bound on all responses:
    /// a cached response and one that is being sent may share their bytes.
    fn response_bounds(&self) -> ResponseBounds {
        let in_all = u64::from(self.response_bytes_in_all).saturating_add(self.response_cache_bytes);
        let [each, in_all] =
            [u64::from(self.response_bytes), in_all].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        ResponseBounds::new(each, in_all)
    }

    /// Returns how many connections one address may have open: half of all, rounded up, unless it is set.
    fn connections_of_one_address(&self) -> u32 {
        self.connections_each.unwrap_or_else(|| self.connections.div_ceil(2))
    }
}

/// The services of a process. With neither a recorder nor reports it serves only its health and metrics.
#[derive(Debug)]
pub struct Services {
    /// The recorder of page views, for mutations.
    pub recorder: Option<Recorder>,
    /// The jobs, for mutations that change what was counted; in the processes that have a recorder.
    pub jobs: Option<Jobs>,
    /// The reports, for queries and subscriptions.
    pub reports: Option<Reports>,
    /// The readiness check behind `/health/ready`.
    pub readiness: Readiness,
    /// Renders `/metrics`; without it there is no such route.
    pub metrics_renderer: Option<MetricsRenderer>,
}

/// Serves on `listener` until `stop`. Then it accepts no more connections, lets open requests end, closes sockets with
/// a code that asks clients to reconnect later, and returns within ten seconds.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    access: Access,
    settings: &HttpSettings,
    stop: CancellationToken,
) {
    // Behind a proxy all connections come from the proxy's address, so connections are not limited per address.
    let each = access.sees_clients().then(|| settings.connections_of_one_address());
    let (routes, tasks) = service(services, access, settings, stop.clone());
    let server = Server::new(listener, settings.connections, each, settings.timeouts);
    let connections = TaskTracker::new();
    server.serve(routes, &connections, &stop).await;
    connections.close();
    tasks.close();
    let drained = timeout(DRAIN, async { tokio::join!(connections.wait(), tasks.wait()) });
    if drained.await.is_err() {
        warn!(drain.timeout_ms = DRAIN.as_millis(), "some requests did not end in time");
    }
}

/// Returns the routes of the services that this process has, and the tracker of tasks that may outlive a request.
fn service(
    services: Services,
    access: Access,
    settings: &HttpSettings,
    stop: CancellationToken,
) -> (Routes, TaskTracker) {
    let Services { recorder, jobs, reports, readiness, metrics_renderer } = services;
    let tasks = TaskTracker::new();
    let subscriber_limits =
        SubscriberLimits::new(settings.subscriber_connections, settings.subscriber_connections_each);
    let responses =
        ResponseCache::new(reports.as_ref().map(|reports| reports.feed.clone()), settings.response_cache_bytes);
    let metrics = metrics_renderer.map(|metrics_renderer| Metrics {
        metrics_renderer,
        recorder: recorder.clone(),
        reports: reports.clone(),
        subscriber_limits: subscriber_limits.clone(),
        responses: responses.clone(),
    });
    let serves = Served { reports: reports.is_some(), views: recorder.is_some() };
    let limits = ServerLimits {
        request_bytes: settings.body_bytes,
        answer_bytes: settings.response_bytes,
        socket_operations: settings.socket_operations,
        read_wait_ms: settings.read_wait_ms,
        waiting_queries: settings.waiting_queries,
        time_max: Duration::from_millis(settings.request_timeout_ms),
        without_token: access.limits_without_token(),
    };
    let exporter = reports.as_ref().map(|reports| Exporter::new(reports.reader.clone()));
    let executor = OperationExecutor::new(
        recorder,
        jobs,
        reports,
        settings.response_bounds(),
        limits,
        tasks.clone(),
        stop.clone(),
    );
    let state = executor.map(|executor| AppState {
        executor,
        responses,
        exporter,
        access,
        views: settings.views.clone(),
        dashboard: settings.dashboard.clone(),
        sites: settings.access.site.clone(),
        body_bytes_max: usize::try_from(settings.body_bytes).unwrap_or(usize::MAX),
        body_memory: MemoryBudget::new(usize::try_from(settings.body_bytes_in_all).unwrap_or(usize::MAX)),
        subscriber_limits,
        socket_operations: usize::try_from(settings.socket_operations).unwrap_or(usize::MAX),
        timeouts: settings.timeouts,
        stop,
        tasks: tasks.clone(),
    });
    let app = state.map(App::new);
    (Routes::new(router(app.clone(), serves, readiness, metrics), app), tasks)
}

/// Whether there are the pages of reports, and the addresses for views from browsers.
#[derive(Copy, Clone)]
struct Served {
    reports: bool,
    views: bool,
}

fn router(app: Option<App>, serves: Served, readiness: Readiness, metrics: Option<Metrics>) -> Router {
    let mut router = Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(readiness);
    if let Some(metrics) = metrics {
        router = router.route("/metrics", get(metrics::expose).with_state(metrics));
    }
    match app {
        Some(app) => router.merge(app_router(app, serves)),
        None => router,
    }
}

fn app_router(app: App, serves: Served) -> Router {
    let schema_text = app.executor.sdl();
    let schema_text = get(|| async { ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], schema_text) });
    let mut pages = Router::new()
        .route("/graphiql", get(pages::page::<GraphiQl>))
        .route("/graphiql/{file}", get(pages::file::<GraphiQl>))
        .route("/schema.graphql", schema_text);
    if serves.reports {
        pages = pages
            .route("/", get(pages::page::<Dashboard>))
            .route("/dashboard/settings.json", get(page_settings::get))
            .route("/dashboard/{file}", get(pages::file::<Dashboard>));
    }
    let mut graphql = get(graphql::get).post(graphql::post);
    let [mut csv, mut jsonl] = [get(export::get_csv), get(export::get_jsonl)];
    if let Some(cors) = app.access.cors() {
        (graphql, csv, jsonl) = (graphql.layer(cors.clone()), csv.layer(cors.clone()), jsonl.layer(cors));
    }
    if serves.reports {
        pages = pages.route("/export.csv", csv).route("/export.jsonl", jsonl);
    }
    let mut routes = Router::new().merge(pages.layer(CompressionLayer::new())).route(GRAPHQL, graphql);
    if serves.views {
        routes = routes.merge(views::script::routes()).merge(view_routes(&app));
    }
    routes.layer(middleware::from_fn_with_state(app.access.clone(), auth::check_host)).with_state(app)
}

/// Returns the routes by which browsers record views. Pages of the sites may read the responses (CORS).
fn view_routes(app: &App) -> Router<App> {
    views::describe_metrics();
    let routes = Router::new().route("/views", post(views::post));
    routes.route("/view.gif", get(views::get_gif).head(views::head_gif)).route_layer(app.access.cors_of_sites())
}
