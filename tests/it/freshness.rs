//! Subscriptions of the freshness, whatever happens to the connection of the listener.

use chrono::{DateTime, Utc};
use entity::report_refresh;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait};
use serde_json::{Value, json};
use sqlx::Executor;

use crate::{
    app::{Rung, TestApp, TestDatabase},
    client_scripts::Script,
    cluster, on_all_databases,
    process::{self, Server},
    wait::eventually,
    websocket::WebSocket,
};

impl WebSocket {
    /// Connects, and subscribes to the freshness.
    pub(crate) async fn subscribed_to_freshness(address: &str) -> Self {
        let mut socket = Self::connect(address).await;
        let query = "subscription { freshness { refreshId asOf status nextRefreshAt stalenessSeconds error } }";
        socket.subscribe("freshness", query).await;
        socket
    }

    /// The next freshness; fails when the subscription or the connection ends instead.
    pub(crate) async fn next_freshness(&mut self) -> Value {
        let mut message = self.next_of("freshness").await;
        assert_eq!(message["type"], "next", "{message}");
        message["payload"]["data"]["freshness"].take()
    }

    /// Skips every freshness before one for which `is_wanted` holds.
    pub(crate) async fn freshness_that(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let freshness = self.next_freshness().await;
            if is_wanted(&freshness) {
                return freshness;
            }
        }
    }

    /// The freshness at the end of the refresh `id`.
    pub(crate) async fn freshness_after(&mut self, id: i64) -> Value {
        let id = id.to_string();
        self.freshness_that(|freshness| freshness["refreshId"] == id && freshness["status"] != "REFRESHING").await
    }
}

on_all_databases! {
    async fn subscriber_gets_the_current_freshness_first_and_then_every_change(app: TestApp) {
        let mut early = WebSocket::subscribed_to_freshness(&app.address).await;
        let never = early.next_freshness().await;
        assert_eq!((&never["refreshId"], &never["asOf"], &never["status"]), (&json!("0"), &Value::Null, &json!("OVERDUE")));
        let recorded_at = app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        let first = app.refresh().await;
        let freshness = early.freshness_after(first.id).await;
        assert_eq!(freshness["status"], "FRESH");
        let mut late = WebSocket::subscribed_to_freshness(&app.address).await;
        assert_eq!(late.next_freshness().await["refreshId"], first.id.to_string(), "the current value first");
        let second = app.refresh().await;
        for socket in [&mut early, &mut late] {
            let freshness = socket.freshness_after(second.id).await;
            let as_of: DateTime<Utc> = freshness["asOf"].as_str().unwrap().parse().unwrap();
            assert!(as_of >= recorded_at, "{as_of} {recorded_at}");
        }
    }

    async fn subscriber_gets_refreshing_then_overdue(app: TestApp) {
        let mut socket = WebSocket::subscribed_to_freshness(&app.address).await;
        socket.next_freshness().await;
        let now = storage::clock::process_now();
        let row = report_refresh::ActiveModel {
            started_at: Set(now),
            next_refresh_at: Set(Some(now + chrono::TimeDelta::seconds(1))),
            overdue_at: Set(Some(now + chrono::TimeDelta::seconds(3))),
            content_version: Set(0),
            ..Default::default()
        };
        // The row of a Wolf that has begun a refresh and died.
        row.insert(&app.database.background).await.unwrap();
        if app.test_database.rung != Rung::Sqlite {
            app.database.background.execute_unprepared("NOTIFY report_refreshes").await.unwrap();
        }
        assert_eq!(socket.next_freshness().await["status"], "REFRESHING");
        assert_eq!(socket.next_freshness().await["status"], "OVERDUE", "no row was written since");
    }

    async fn socket_is_closed_with_1012_when_the_server_stops(app: TestApp) {
        let mut socket = WebSocket::subscribed_to_freshness(&app.address).await;
        socket.next_freshness().await;
        app.stop.cancel();
        assert_eq!(socket.expect_close().await.code, 1012, "clients come back after a restart");
        app.stopped().await;
    }
}

/// Browsers let any page open a socket to any server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_of_a_foreign_origin_is_refused() {
    let app = TestApp::start(Rung::Sqlite).await;
    for (origin, accepted) in [("http://evil.example".to_owned(), false), (format!("http://{}", app.address), true)] {
        let opened = WebSocket::open_with(&app.address, &[("origin", &origin)]).await;
        assert_eq!(opened.is_ok(), accepted, "{origin}");
    }
}

/// Operations of a client that never reads run to their end and give their connections back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_does_not_read_does_not_block_other_queries() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut silent = WebSocket::subscribed_to_freshness(&app.address).await;
    let query = "{ report(filter: { interval: { range: { start: \"2025-01-01T00:00:00Z\", end: \"2026-01-01T00:00:00Z\" } } }) { series(granularity: HOUR) { start end views } } }";
    for id in 0..100 {
        silent.subscribe(&id.to_string(), query).await;
    }
    for _ in 0..20 {
        assert!(app.errors("{ report { totals { views } } freshness { status } }", json!({})).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn field_error_over_a_socket_has_its_code() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = WebSocket::subscribed_to_freshness(&app.address).await;
    socket.subscribe("2", "{ report { pages(first: -1) { edges { cursor } } } }").await;
    let message = socket.next_of("2").await;
    assert_eq!(message["payload"]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_database_connection_is_unavailable_not_an_internal_error() {
    let app = TestApp::start(Rung::Table).await;
    let mut admin = cluster::connect(&app.test_database.url).await;
    for _ in 0..5 {
        // The first statement on a lost connection of the pool fails.
        let report = async || app.errors("{ report { totals { views } } }", json!({})).await;
        eventually("a report on a new connection", async || report().await.is_empty()).await;
        admin
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            .await
            .unwrap();
        for _ in 0..3 {
            let errors = report().await;
            assert!(errors.iter().all(|(code, _)| code == "UNAVAILABLE"), "{errors:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listener_catches_up_after_a_lost_connection() {
    let app = TestApp::start(Rung::Table).await;
    let mut socket = WebSocket::subscribed_to_freshness(&app.address).await;
    socket.next_freshness().await;
    let mut admin = cluster::connect(&app.test_database.url).await;
    for _ in 0..3 {
        // Every other connection to this database: the pools' and the listener's.
        admin
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            .await
            .unwrap();
        let mut done = None;
        eventually("a refresh on a new connection", async || {
            done = app.refresher.refresh(wolf::LockMode::Wait, None).await.ok();
            done.is_some()
        })
        .await;
        let Some(wolf::Outcome::Refreshed(done)) = done else { panic!("who waits does not stand by") };
        socket.freshness_after(done.id).await;
    }
}

/// With `serve` running, a mutation is in the report after the next tick, and the graphql-ws client gets the new
/// freshness.
async fn mutation_is_in_the_report_and_announced_after_the_next_tick(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let server = Server::start(&database, &["--migrate", "--refresh-cron", "* * * * * *"]);
    let mut client = Script::start("freshness.mjs", &[&server.url("")]);
    assert!(client.next().await.is_some(), "the current value comes first");
    let recorded = record_with_curl(&server).await;
    let recorded_at = recorded["data"]["recordPageViews"]["recordedAt"].as_str().unwrap();
    client.send_line(&format!("until {recorded_at}")).await;
    client.finish("freshness.mjs").await;
    let query = "{ report(filter: { interval: { period: TODAY } }) { freshness { asOf } totals { views } pages { edges { node { page title views } } } } }";
    let report = server.data(query, json!({})).await.unwrap()["report"].take();
    assert_eq!(report["totals"]["views"], 2);
    assert_eq!(report["pages"]["edges"], json!([{ "node": { "page": "/hello", "title": "Hello", "views": 2 } }]));
}

async fn record_with_curl(server: &Server) -> Value {
    let body = r#"{"query":"mutation { recordPageViews(input: {increments: [{page: \"/hello\", views: 2, title: \"Hello\"}]}) { recordedAt } }"}"#;
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--header", "content-type: application/json", "--data", body]);
    let output = command.arg(server.url("/graphql")).output().await.expect("curl is not installed");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutation_is_in_the_report_and_announced_after_the_next_tick_on_sqlite() {
    mutation_is_in_the_report_and_announced_after_the_next_tick(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutation_is_in_the_report_and_announced_after_the_next_tick_on_postgres() {
    mutation_is_in_the_report_and_announced_after_the_next_tick(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphiql_works_in_a_browser_without_internet_access() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    let shown = Script::start("graphiql.mjs", &[&server.url(""), "--twice"]).finish("graphiql.mjs").await;
    assert_eq!(shown[0]["query"]["freshness"]["status"], "FRESH", "{shown:?}");
    assert!(shown[0]["subscription"].as_array().unwrap().len() >= 2, "{shown:?}");
}

#[tokio::test]
async fn refresh_command_works_without_a_server() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    assert!(process::succeed(&database, &["refresh"]).starts_with("refreshed 0 stale hours"));
}
