//! Each service in a process of its own: what it serves, how the others continue when one dies, how it stops.

use std::{process::Stdio, sync::Arc, time::Duration};

use entity::report_refresh;
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use storage::Database;
use tokio::task::JoinSet;

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    cluster::{self, Cluster},
    crash::stop_during_a_refresh,
    event_streams::first_event,
    faults::{clients::Workload, counts_of_days, plan::Rng},
    model,
    process::{self, Server},
    wait::eventually,
    websocket::WebSocket,
};

const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
const STATUS: &str = "\"status\":";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
/// Seldom enough that a slow machine is not late by two ticks.
const CRON: [&str; 2] = ["--refresh-cron", "*/5 * * * * *"];
const NEVER: [&str; 2] = ["--refresh-cron", "0 0 0 1 1 *"];

fn start(database: &TestDatabase, services: &str, arguments: &[&str]) -> Server {
    Server::start(database, &[&["--services", services], arguments].concat())
}

async fn status(server: &Server, path: &str) -> u16 {
    server.client.get(server.url(path)).send().await.unwrap().status().as_u16()
}

async fn ready(server: &Server) -> (u16, String) {
    let response = server.client.get(server.url("/health/ready")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The newest refresh's id; 0 before the first.
async fn newest_refresh(database: &Database) -> i64 {
    report_refresh::newest(&database.readers).await.unwrap().map_or(0, |row| row.id)
}

/// Every choice of services, on both databases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_serves_only_its_services() {
    let other = TestDatabase::create(Rung::Sqlite).await;
    let _other_wolf = Server::start(&other, &["--services", "wolf", "--refresh-cron", "* * * * * *", "--migrate"]);
    let other_database = other.connect().await;
    for rung in [Rung::Sqlite, Rung::MaterializedView] {
        let database = TestDatabase::create(rung).await;
        database.migrate().await.close().await.unwrap();
        let mut recorded = 0;
        for services in ["increments", "reports", "wolf", "increments,reports", "increments,wolf", "wolf,reports"] {
            let runs = |service| services.contains(service);
            let server = start(&database, services, &["--refresh-cron", "* * * * * *"]);
            let what = format!("{rung:?} {services}");
            let named = format!("ready: {}\n", services.replace(',', ", "));
            assert_eq!(ready(&server).await, (200, named), "{what}: readiness names the services");
            assert_eq!(status(&server, "/").await, if runs("reports") { 200 } else { 404 }, "{what}");
            if services == "wolf" {
                for path in ["/graphql", "/graphiql", "/schema.graphql"] {
                    assert_eq!(status(&server, path).await, 404, "{what}");
                }
            } else {
                let schema =
                    server.client.get(server.url("/schema.graphql")).send().await.unwrap().text().await.unwrap();
                assert_eq!(schema.contains("type Mutation"), runs("increments"), "{what}");
                assert_eq!(schema.contains("type JobPayload"), runs("increments"), "{what}");
                assert_eq!(schema.contains("freshness: Freshness!"), runs("reports"), "{what}");
                assert_eq!(schema.contains("report("), runs("reports"), "{what}");
                let version = server.data("{ version }", json!({})).await.unwrap();
                assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
                // A mutation on the fast path and on the general one.
                let answers = [
                    server.data(RECORD, json!({})).await,
                    server
                        .data(
                            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }",
                            json!({ "input": { "increments": [{ "page": "/a" }] } }),
                        )
                        .await,
                ];
                for answer in answers {
                    match answer {
                        Ok(_) if runs("increments") => recorded += 1,
                        Err(error) if !runs("increments") => {
                            assert!(error.contains("GRAPHQL_VALIDATION_FAILED"), "{what}: {error}");
                        }
                        other => panic!("{what}: {other:?}"),
                    }
                }
                let report = server.data(REPORT, json!({})).await;
                assert_eq!(report.is_ok(), runs("reports"), "{what}: {report:?}");
                let stream = "subscription { freshness { status } }";
                let request = server.client.get(server.url("/graphql")).query(&[("query", stream)]);
                let first = first_event(request.header("accept", "text/event-stream")).await;
                let wanted = if runs("reports") { STATUS } else { "GRAPHQL_VALIDATION_FAILED" };
                assert!(first.contains(wanted), "{what}: {first}");
            }
            let connection = database.connect().await;
            let before = newest_refresh(&connection).await;
            let refreshes = async || newest_refresh(&connection).await > before;
            if runs("wolf") {
                eventually("a refresh", refreshes).await;
            } else {
                // Two ticks of the same schedule have passed when the Wolf of another database has refreshed twice.
                let begun = newest_refresh(&other_database).await;
                eventually("two ticks of the schedule", async || newest_refresh(&other_database).await > begun + 1)
                    .await;
                assert!(!refreshes().await, "{what} refreshes");
            }
            connection.close().await.unwrap();
        }
        process::succeed(&database, &["refresh"]);
        let all = start(&database, "increments,reports,wolf", &NEVER);
        let report = all.data(REPORT, json!({})).await.unwrap();
        assert_eq!(report["report"]["totals"]["views"], recorded, "the report has what each process recorded");
    }
}

/// The statuses that a subscriber gets until one for which `wanted` holds.
async fn statuses_until(socket: &mut WebSocket, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut statuses = Vec::new();
    loop {
        let freshness = socket.next_freshness().await;
        statuses.push(freshness["status"].as_str().unwrap().to_owned());
        if wanted(&freshness) {
            return statuses;
        }
    }
}

fn refresh_id(freshness: &Value) -> i64 {
    freshness["refreshId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_continues_when_one_of_two_processes_is_killed() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    let connection = database.migrate().await;
    let pair = |services: &str| [(); 2].map(|()| Some(start(&database, services, &CRON)));
    let (mut increments, mut reports, mut wolves) = (pair("increments"), pair("reports"), pair("wolf"));
    let addresses = increments.iter().flatten().map(|server| server.address.clone()).collect();
    let workload = Arc::new(Workload::new(addresses, Vec::new(), Duration::ZERO));
    let mut clients = JoinSet::new();
    for client in 0..4 {
        clients.spawn(Arc::clone(&workload).record_with_keys(client, Rng::new(1, client)));
        clients.spawn(Arc::clone(&workload).record_without_keys(client, true));
    }
    let survivor = reports[1].take().unwrap();
    let address = survivor.address.clone();
    let mut socket = WebSocket::subscribed_to_freshness(&address).await;
    // The report is refreshed twice from now on, and increments are acknowledged meanwhile.
    let go_on = async |socket: &mut _, what: &str| {
        let acknowledged = workload.acknowledged();
        let newest = newest_refresh(&connection).await;
        let statuses = statuses_until(socket, |freshness| refresh_id(freshness) > newest + 1).await;
        eventually("increments to be acknowledged", async || workload.acknowledged() > acknowledged + 100).await;
        assert!(!statuses.contains(&"OVERDUE".to_owned()), "{what}: {statuses:?}");
        assert!(survivor.data(REPORT, json!({})).await.is_ok(), "{what}");
    };
    statuses_until(&mut socket, |freshness| freshness["status"] == "FRESH").await;
    go_on(&mut socket, "all live").await;
    increments[0] = None;
    go_on(&mut socket, "increments killed").await;
    reports[0] = None;
    go_on(&mut socket, "reports killed").await;
    wolves[0] = None;
    go_on(&mut socket, "a wolf killed").await;
    // The last one.
    wolves[1] = None;
    statuses_until(&mut socket, |freshness| freshness["status"] == "OVERDUE").await;
    let acknowledged = workload.acknowledged();
    eventually("increments without a Wolf", async || workload.acknowledged() > acknowledged + 100).await;
    wolves[0] = Some(start(&database, "wolf", &CRON));
    statuses_until(&mut socket, |freshness| freshness["status"] == "FRESH").await;

    workload.stop.cancel();
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    process::succeed(&database, &["refresh"]);
    let counts = counts(&connection).await;
    let as_of = report_refresh::newest(&connection.readers).await.unwrap().unwrap().as_of.unwrap();
    workload.expectations().check_promised(as_of);
    let days = counts_of_days(&connection).await;
    workload.expectations().check_counts(&days, as_of);
    assert_eq!(report_rows(&connection).await, model::report(&counts));
}

/// A load balancer sees that the process is not ready while it still serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_process_is_not_ready_before_it_stops_serving() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    database.migrate().await.close().await.unwrap();
    let mut server = start(&database, "increments,reports", &["--shutdown-delay-ms", "60000"]);
    assert_eq!(ready(&server).await.0, 200);
    server.signal("TERM");
    eventually("the process to be stopping", async || ready(&server).await == (503, "stopping\n".to_owned())).await;
    assert_eq!(status(&server, "/health/live").await, 200);
    assert!(server.data(RECORD, json!({})).await.is_ok(), "requests are answered until it stops");
    // A second signal: now.
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0), "nothing was cut short");
}

/// A refresh that waits for a lock delays the end of a process only up to the timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_time_is_bounded() {
    let database = TestDatabase::create(Rung::Table).await;
    let connection = database.migrate().await;
    let mut holder: PgConnection = cluster::connect(&database.url).await;
    for how in ["too long", "a second signal"] {
        let timeout_ms = if how == "too long" { "700" } else { "600000" };
        let mut command = process::analytics(&database, &["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        command.args(["--shutdown-timeout-ms", timeout_ms, "--refresh-cron", "* * * * * *"]).stderr(Stdio::piped());
        let mut server = Server::of(command);
        stop_during_a_refresh(&server, &mut holder, &connection).await;
        if how == "a second signal" {
            assert!(server.child.try_wait().unwrap().is_none(), "it waits");
            server.signal("INT");
        }
        assert_eq!(server.child.wait().unwrap().code(), Some(1), "{how}");
        let mut text = String::new();
        std::io::Read::read_to_string(server.child.stderr.as_mut().unwrap(), &mut text).unwrap();
        assert!(text.contains("cut short while the Wolf was to end"), "{how}: {text}");
        holder.execute("COMMIT").await.unwrap();
        process::succeed(&database, &["refresh"]);
        assert_eq!(
            report_rows(&connection).await,
            model::report(&counts(&connection).await),
            "nothing was committed in part"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_command_reports_readiness_and_liveness() {
    let mut cluster = Cluster::start();
    let database = TestDatabase::create_in(&cluster).await;
    let connection = database.migrate().await;
    let server = start(&database, "wolf", &NEVER);
    let ask = |arguments: &[&str]| {
        let arguments = [&["healthcheck", "--listen", &server.address], arguments].concat();
        let output = process::run(&database, &arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    assert_eq!(ask(&[]), (0, "ready: wolf\n".to_owned()));
    assert_eq!(ask(&["--live"]), (0, "live\n".to_owned()));

    connection.migrate(migration::down).await.unwrap();
    eventually("the missing tables to be noticed", async || ask(&[]).0 == 1).await;
    let text = ask(&[]).1;
    assert!(text.contains("not ready: the database lacks migrations"), "{text}");
    connection.migrate(migration::up).await.unwrap();
    eventually("the tables to be found", async || ask(&[]).0 == 0).await;
    connection.close().await.unwrap();

    cluster.stop_immediately();
    eventually("the stopped database to be noticed", async || ask(&[]).0 == 1).await;
    assert_eq!(ask(&["--live"]).0, 0, "it lives all the same");
    cluster.start_again();
    eventually("the database to be found", async || ask(&[]).0 == 0).await;

    let unreachable = process::run(&database, &["healthcheck", "--listen", "127.0.0.1:1"]);
    assert_eq!(unreachable.status.code(), Some(1));
    // A process that listens on all addresses is reached over loopback.
    let (_, port) = server.address.rsplit_once(':').unwrap();
    let anywhere = process::run(&database, &["healthcheck", "--listen", &format!("0.0.0.0:{port}")]);
    assert_eq!(anywhere.status.code(), Some(0));
}

/// A process without GraphQL has nothing to protect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wolf_without_tokens_may_listen_on_all_addresses() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start_at(&database, "0.0.0.0:0", &["--services", "wolf"]);
    let (_, port) = server.address.rsplit_once(':').unwrap();
    let live = server.client.get(format!("http://127.0.0.1:{port}/health/live")).send().await.unwrap();
    assert_eq!(live.status(), 200);
    let output = process::run(&database, &["--listen", "0.0.0.0:0", "--services", "increments"]);
    assert_eq!(output.status.code(), Some(2));
    for wrong in ["", "wolves", "increments,"] {
        assert_eq!(process::run(&database, &["--services", wrong]).status.code(), Some(2), "{wrong:?}");
    }
}
