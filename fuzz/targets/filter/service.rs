//! The service on a database of its own with known counts, called without a network.

use std::{collections::BTreeMap, fmt::Write, sync::OnceLock, time::Duration};

use api::{
    access::{Access, AccessSettings, Scope},
    http::{DashboardSettings, HttpSettings, Readiness, Services, Timeouts, ViewSettings, fuzzing},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{StatusCode, request},
};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use entity::Hour;
use increments::{Increment, PageName, Recorder, RecorderSettings, Request, Views};
use reports::{ReportReader, ReportSettings, Reports, freshness::FreshnessFeed};
use serde_json::Value;
use storage::{ConnectionSettings, Database, DatabaseSettings, clock};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wolf::{LockMode, Refresher};

use super::model::Counts;

/// A query of every field of a report.
pub const REPORT: &str = "
    query ($filter: ReportFilter, $granularity: Granularity! = DAY, $compareTo: Comparison, $first: Int, $after: String) {
      report(filter: $filter) {
        interval { start end localStart localEnd exact }
        countedSince
        freshness { refreshId asOf status stalenessSeconds rowsChanged error }
        totals(compareTo: $compareTo) { views pages comparableViews previous change previousInterval { start end exact } }
        series(granularity: $granularity) { start end localStart views complete whole }
        pages(first: $first, after: $after) {
          nodes { page title views share }
          pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        }
      }
    }";

pub const PAGES: [&str; 12] =
    ["/", "/a", "/a/b", "/a/c", "/A", "/ä", "/%_x", "/%", "/\"quoted\"", "/a\\b", "/\u{10ffff}", "news"];
/// The longest URL, which is a bound of the library and not of the service.
const ADDRESS_BYTES_MAX: usize = 60_000;
/// No response is as long: 10,000 points take about one MiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An input that takes as long hangs. A busy machine may take seconds, and no timeout of the service may be reached
/// before.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(100);
/// The value of each timeout of the service.
const BOUND_MS: u32 = 200_000;

/// The service and its counts.
pub struct Service {
    runtime: Runtime,
    router: Router,
    pub counts: Counts,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

impl Service {
    /// The service of this process.
    pub fn get() -> &'static Self {
        static SERVICE: OnceLock<Service> = OnceLock::new();
        SERVICE.get_or_init(Self::start)
    }

    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let counts = counts();
        let database = format!("sqlite://{}", folder.path().join("fuzz.db").display());
        let (router, tasks) = runtime.block_on(serve(&database, &counts));
        Self { runtime, router, counts, _tasks: tasks, _folder: folder }
    }

    /// The response to a body.
    pub fn post(&self, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = request::Builder::new().method("POST").uri("/graphql").header("content-type", "application/json");
        let (status, text) = self.call(request.body(body.into()).unwrap());
        (status, serde_json::from_slice(&text).unwrap())
    }

    /// The response to a document in a URL.
    pub fn get_by_address(&self, document: &str) -> (StatusCode, Value) {
        let escaped = document.bytes().take(ADDRESS_BYTES_MAX / 3).fold(String::new(), |mut text, byte| {
            write!(text, "%{byte:02X}").unwrap();
            text
        });
        let request = request::Builder::new().uri(format!("/graphql?query={escaped}"));
        let (status, text) = self.call(request.body(Body::empty()).unwrap());
        (status, serde_json::from_slice(&text).unwrap())
    }

    /// The first event of a stream, or the error instead of it.
    pub fn subscribe(&self, body: String) -> (StatusCode, Value) {
        let request = request::Builder::new()
            .method("POST")
            .uri("/graphql")
            .header("content-type", "application/json")
            .header("accept", "text/event-stream");
        let (status, text) = self.in_time(async {
            let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            let (status, mut body) = (response.status(), response.into_body());
            let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
            (status, frame.into_data().unwrap())
        });
        let text = String::from_utf8(text.to_vec()).unwrap();
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
        (status, serde_json::from_str(data).unwrap_or_else(|_| panic!("no JSON in {text}")))
    }

    fn call(&self, request: axum::http::Request<Body>) -> (StatusCode, Vec<u8>) {
        self.in_time(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            (status, to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.unwrap().to_vec())
        })
    }

    fn in_time<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(ANSWER_TIME_MAX, answer).await.unwrap() })
    }
}

/// Starts the service, whose tasks live as long as it does.
async fn serve(database_url: &str, counts: &Counts) -> (Router, JoinSet<()>) {
    let settings = DatabaseSettings {
        connection: ConnectionSettings {
            database_url: database_url.parse().unwrap(),
            database_password_file: None,
            database_timeout_ms: BOUND_MS.into(),
            link_check_ms: BOUND_MS,
        },
        notify_database_url: None,
        reader_connections: 2,
        query_timeout_ms: BOUND_MS,
    };
    let database = Database::connect(&settings).await.unwrap();
    database.migrate(migration::up).await.unwrap();
    let recording = RecorderSettings { queue_increments: 200_000, committers: 1, record_timeout_ms: BOUND_MS.into() };
    let (recorder, committer) = Recorder::new(&database, &recording);
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run(CancellationToken::new()));
    let increments = counts.iter().map(|((page, hour), views)| Increment {
        page: PageName::new((*page).to_owned()).unwrap(),
        views: Views::new(*views).unwrap(),
        hour: Hour::containing(*hour),
        at: Some(*hour),
        title: None,
    });
    recorder.record(Request::new(increments.collect(), None)).await.unwrap();
    Refresher::new(&database).refresh(LockMode::Wait, None).await.unwrap();
    let (feed, tail) = FreshnessFeed::new(&database);
    tasks.spawn(tail.run(CancellationToken::new()));
    let reader = ReportReader::new(&database, feed.clone(), &ReportSettings { cache_bytes: 16 * 1024 * 1024 });
    let settings = HttpSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        body_bytes: 8 * 1024 * 1024,
        body_bytes_in_all: 128 * 1024 * 1024,
        response_bytes: 8 * 1024 * 1024,
        response_bytes_in_all: 256 * 1024 * 1024,
        subscriber_connections: 20_000,
        subscriber_connections_each: 20_000,
        socket_operations: 100,
        connections: 30_000,
        connections_each: Some(30_000),
        request_timeout_ms: BOUND_MS.into(),
        // Nothing refreshes the report, so a query that waits ends late and in vain.
        read_wait_ms: 20,
        waiting_queries: 20_000,
        response_cache_bytes: 1024 * 1024,
        // Without the scope for recording the counts do not change. Without a rate limit no input is refused.
        access: AccessSettings { anonymous: vec![Scope::Reports], rate_limit: 0, ..AccessSettings::default() },
        views: ViewSettings::default(),
        dashboard: DashboardSettings::default(),
        timeouts: Timeouts::default(),
    };
    let access = Access::new(&settings.access, settings.listen).unwrap();
    let services = Services {
        recorder: Some(recorder),
        jobs: Some(jobs::Jobs::new(&database)),
        reports: Some(Reports { reader, feed }),
        readiness: Readiness::new(&["increments", "reports"], || Box::pin(async { Ok(()) })),
        metrics_renderer: None,
    };
    (fuzzing::service(services, access, &settings), tasks)
}

/// Times at the edges of what can be counted, of days, months and summer time, and in the last two years.
fn counts() -> Counts {
    let mut counts = BTreeMap::new();
    for (number, hour) in hours_with_views().iter().enumerate() {
        for page in [number, number / 3, number / 7] {
            *counts.entry((PAGES[page % PAGES.len()], *hour)).or_default() += 1 + (number as i64 * 7) % 11;
        }
    }
    counts
}

/// The hours with views.
pub fn hours_with_views() -> &'static [DateTime<Utc>] {
    const EDGES: [&str; 8] = [
        "2000-01-01T00:00:00Z",
        "2000-02-29T23:00:00Z",
        "2011-12-30T10:00:00Z",
        "2020-12-31T23:00:00Z",
        "2024-02-29T00:00:00Z",
        "2024-03-31T01:00:00Z",
        "2024-10-27T00:00:00Z",
        "2024-10-27T01:00:00Z",
    ];
    static HOURS: OnceLock<Vec<DateTime<Utc>>> = OnceLock::new();
    HOURS.get_or_init(|| {
        let now = clock::process_now().duration_trunc(TimeDelta::hours(1)).unwrap();
        let edges = EDGES.iter().map(|hour| hour.parse().unwrap());
        let lately = (0..40).map(|number| now - TimeDelta::hours(number * 5));
        let before = (0..60).map(|number| now - TimeDelta::hours(200 + number * 290));
        edges.chain(lately).chain(before).collect()
    })
}
