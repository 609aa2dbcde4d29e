//! A database that is stopped, hangs or is locked: requests get errors in time, nothing piles up, and the
//! database is used again as soon as it answers.

use futures_util::{FutureExt, future::join_all};
use increments::{RecordError, Recorder, RecorderSettings, Request};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Rung, TestDatabase, counts, increment},
    cluster::{self, Cluster},
    on_all_databases,
    process::{self, Server},
    proxy::Proxy,
    wait::eventually,
    websocket::WebSocket,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
const AT: &str = "2026-03-01T00:00:00Z";
/// The smallest queue that may be set.
const QUEUE_INCREMENTS: usize = 10_000;
/// Short, because tests wait for this timeout.
const SETTINGS: RecorderSettings = RecorderSettings { queue_increments: 10_000, committers: 1, record_timeout_ms: 500 };
const ARGUMENTS: [&str; 8] = [
    "--queue-increments",
    "10000",
    "--record-timeout-ms",
    "500",
    "--database-timeout-ms",
    "500",
    "--refresh-cron",
    "0 0 0 1 1 *",
];

fn views_of(page: &str, increments: usize) -> Request {
    Request::new(vec![increment(page, AT.parse().unwrap(), 1); increments], None)
}

fn input(page: &str, increments: usize) -> Value {
    json!({ "input": { "increments": vec![json!({ "page": page, "at": AT }); increments] } })
}

/// Waits until `server` records again, and checks that it goes on.
async fn until_recorded(server: &Server, page: &str) {
    eventually("increments to be recorded again", async || server.data(RECORD, input(page, 1)).await.is_ok()).await;
    for _ in 0..20 {
        server.data(RECORD, input("/after", 1)).await.unwrap();
    }
}

/// Sends more than fits while nothing can be recorded; returns how many requests were OVERLOADED and UNAVAILABLE.
async fn overload(server: &Server, page: &str) -> [usize; 2] {
    const REQUESTS: usize = 40;
    let answers = join_all((0..REQUESTS).map(|_| server.data(RECORD, input(page, 1_000)))).await;
    let count_of =
        |code: &str| answers.iter().filter(|answer| answer.as_ref().is_err_and(|errors| errors.contains(code))).count();
    let [overloaded, unavailable] = [count_of("OVERLOADED"), count_of("UNAVAILABLE")];
    assert_eq!(overloaded + unavailable, REQUESTS, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|errors| errors.contains(r#""retryable":true"#))));
    [overloaded, unavailable]
}

on_all_databases! {
    // A client whose request expired in the queue can rely on it: the request is not recorded later.
    async fn increments_that_expire_in_the_queue_are_never_committed(app: TestApp) {
        let (recorder, committer) = Recorder::new(&app.database, &SETTINGS);
        // The committer does not run yet, so that all requests expire.
        let expired = join_all((0..10).map(|_| recorder.record(views_of("/expired", 900)))).await;
        assert!(expired.iter().all(|answer| matches!(answer, Err(RecordError::Unavailable(None)))), "{expired:?}");
        let full = recorder.record(views_of("/full", 1_001)).now_or_never();
        assert!(matches!(full, Some(Err(RecordError::Overloaded))), "expired requests take room in the queue until they are dropped: {full:?}");
        // One more request waits in the same group.
        let mut waiting = std::pin::pin!(recorder.record(views_of("/later", 1)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let mut tasks = JoinSet::new();
        tasks.spawn(committer.run(CancellationToken::new()));
        drop(waiting.await);
        eventually("room for as much as fits", async || recorder.record(views_of("/later", QUEUE_INCREMENTS)).await.is_ok()).await;
        let pages: Vec<_> = app.counts().await.into_keys().map(|(page, ..)| page).collect();
        assert_eq!(pages, ["/later"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_fail_in_time_while_postgres_is_stopped_and_succeed_afterwards() {
    let mut cluster = Cluster::start();
    let database = TestDatabase::create_in(&cluster).await;
    database.migrate().await.close().await.unwrap();
    let server = Server::start(&database, &ARGUMENTS);
    let status = async |path: &str| server.client.get(server.url(path)).send().await.unwrap().status();
    for round in 0..3 {
        server.data(RECORD, input("/before", 1)).await.unwrap();
        cluster.stop_immediately();
        let [overloaded, unavailable] = overload(&server, &format!("/while stopped/{round}")).await;
        assert!(overloaded > 0 && unavailable > 0, "{overloaded} were refused, {unavailable} waited");
        assert_eq!(status("/health/live").await, 200);
        eventually("it to say that it is not ready", async || status("/health/ready").await == 503).await;
        cluster.start_again();
        drop(cluster::connect(&database.url).await);
        until_recorded(&server, "/back").await;
        eventually("the process to be ready", async || status("/health/ready").await == 200).await;
    }
    let pages: Vec<_> = counts(&database.connect().await).await.into_keys().map(|(page, ..)| page).collect();
    assert_eq!(pages, ["/after", "/back", "/before"], "nothing that was refused is recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_fail_in_time_while_postgres_hangs_and_succeed_afterwards() {
    let database = TestDatabase::create(Rung::Table).await;
    database.migrate().await.close().await.unwrap();
    let proxy = Proxy::start(database.server()).await;
    let server = Server::start(&database.through(&proxy), &ARGUMENTS);
    // More often than there are connections for recording.
    for round in 0..6 {
        proxy.stall();
        let page = format!("/while stalled/{round}");
        let [overloaded, unavailable] = overload(&server, &page).await;
        assert!(overloaded > 0 && unavailable > 0, "{overloaded} were refused, {unavailable} waited");
        assert_eq!(server.client.get(server.url("/health/live")).send().await.unwrap().status(), 200);
        proxy.resume();
        until_recorded(&server, "/back").await;
    }
    let counts = counts(&database.connect().await).await;
    assert!(counts.keys().all(|(page, ..)| ["/after", "/back"].contains(&page.as_str())), "{counts:?}");
}

/// A connection that dies without a word, in a transaction and between two, is given up and replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_connections_do_not_exhaust_the_pool() {
    let database = TestDatabase::create(Rung::Table).await;
    let direct = database.migrate().await;
    let proxy = Proxy::start(database.server()).await;
    let through = database.through(&proxy).connect().await;
    let (recorder, committer) = Recorder::new(&through, &SETTINGS);
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run(CancellationToken::new()));
    let mut recorded = 0;
    // More often than there are connections for recording, of either kind.
    for round in 0..12 {
        if round % 2 == 0 {
            proxy.freeze();
        } else {
            proxy.freeze_after_next_row();
        }
        eventually("increments to be recorded again", async || {
            recorder.record(views_of("/a", 1)).await.inspect(|_| recorded += 1).is_ok()
        })
        .await;
        assert!(proxy.has_frozen());
    }
    // A frozen transaction had not sent its COMMIT, or had been acknowledged.
    assert_eq!(counts(&direct).await.into_values().collect::<Vec<_>>(), [recorded]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_fail_in_time_while_the_sqlite_file_is_locked_and_succeed_afterwards() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    database.migrate().await.close().await.unwrap();
    let server = Server::start(&database, &ARGUMENTS);
    let mut holder = SqliteConnection::connect(&database.url).await.unwrap();
    for round in 0..3 {
        server.data(RECORD, input("/before", 1)).await.unwrap();
        holder.execute("BEGIN IMMEDIATE").await.unwrap();
        let [overloaded, unavailable] = overload(&server, &format!("/while locked/{round}")).await;
        assert!(overloaded > 0 && unavailable > 0, "{overloaded} were refused, {unavailable} waited");
        assert_eq!(server.client.get(server.url("/health/live")).send().await.unwrap().status(), 200);
        assert!(
            server.data("{ report { totals { views } } }", json!({})).await.is_ok(),
            "reports are served meanwhile"
        );
        holder.execute("COMMIT").await.unwrap();
        until_recorded(&server, "/back").await;
    }
    let pages: Vec<_> = counts(&database.connect().await).await.into_keys().map(|(page, ..)| page).collect();
    assert_eq!(pages, ["/after", "/back", "/before"], "nothing that was refused is recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_and_subscribers_survive_a_restart_of_the_database() {
    let mut cluster = Cluster::start();
    let database = TestDatabase::create_in(&cluster).await;
    database.migrate().await.close().await.unwrap();
    let server = Server::start(&database, &ARGUMENTS);
    let mut socket = WebSocket::subscribed_to_freshness(&server.address).await;
    // The server has refreshed at its start, or will.
    let first = socket.next_freshness().await;
    let mut last: i64 = first["refreshId"].as_str().unwrap().parse().unwrap();
    let report = async || server.data("{ report { totals { views } } }", json!({})).await;
    for _ in 0..3 {
        cluster.stop_immediately();
        // Until the server notices, it responds from its caches.
        eventually("no report", async || report().await.is_err_and(|error| error.contains("UNAVAILABLE"))).await;
        cluster.start_again();
        drop(cluster::connect(&database.url).await);
        eventually("a report", async || report().await.is_ok()).await;
        process::succeed(&database, &["refresh"]);
        // While the listener is down, queries read the freshness from the database.
        eventually("the refresh to be in the feed", async || {
            let freshness = server.data("{ freshness { refreshId } }", json!({})).await.unwrap();
            let id: i64 = freshness["freshness"]["refreshId"].as_str().unwrap().parse().unwrap();
            std::mem::replace(&mut last, id) < id
        })
        .await;
        socket.freshness_after(last).await;
    }
}
