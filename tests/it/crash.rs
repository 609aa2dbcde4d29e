//! Processes that are killed or stopped under load: acknowledged increments are in the database.

use std::sync::{Arc, Mutex};

use entity::report_refresh;
use serde_json::json;
use sqlx::{Executor, PgConnection};
use storage::Database;
use tokio::task::JoinSet;

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    cluster, model,
    process::{self, Server},
    wait::eventually,
};

const CLIENTS: usize = 32;
const QUERY: &str =
    "mutation ($page: String!) { recordPageViews(input: { increments: [{ page: $page }] }) { recordedAt } }";

const SITE: &str = "https://example.org";

/// Starts clients that record pages of their own until the connection fails, and note the acknowledged pages. Every other
/// client is a page in a browser.
fn record_until_closed(
    server: &Server,
    round: usize,
    acknowledged: &Arc<Mutex<Vec<String>>>,
) -> JoinSet<Option<String>> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (http, acknowledged) = (server.client.clone(), Arc::clone(acknowledged));
        let [graphql, views] = ["/graphql", "/views"].map(|path| server.url(path));
        clients.spawn(async move {
            for number in 0.. {
                let page = format!("/{round}/{client}/{number}");
                if client % 2 == 0 {
                    let body = json!({ "query": QUERY, "variables": { "page": page } });
                    let Ok(response) = http.post(&graphql).json(&body).send().await else { return Some(page) };
                    let Ok(answer) = response.json::<serde_json::Value>().await else { return Some(page) };
                    assert_eq!(answer.get("errors"), None);
                } else {
                    let view = http.post(&views).header("origin", SITE).body(json!({ "page": page }).to_string());
                    let Ok(response) = view.send().await else { return Some(page) };
                    assert_eq!(response.status(), 202);
                }
                acknowledged.lock().unwrap().push(page);
            }
            None
        });
    }
    clients
}

async fn acknowledged_increments_survive_a_crash(rung: Rung) {
    const ROUNDS: usize = 5;
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut unanswered = Vec::new();
    for round in 0..ROUNDS {
        // Refreshes run meanwhile, and are killed too.
        let mut server = Server::start(&database, &["--refresh-cron", "* * * * * *", "--site", SITE]);
        let before = acknowledged.lock().unwrap().len();
        let clients = record_until_closed(&server, round, &acknowledged);
        eventually("a thousand acknowledged increments", async || acknowledged.lock().unwrap().len() > before + 1_000)
            .await;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        unanswered.extend(clients.join_all().await.into_iter().flatten());
    }
    process::succeed(&database, &["refresh"]);
    let counts = counts(&connection).await;
    let recorded: std::collections::BTreeSet<_> = counts.keys().map(|(page, ..)| page.clone()).collect();
    let acknowledged = acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged.iter().filter(|page| !recorded.contains(*page)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged increments are lost", lost.len(), acknowledged.len());
    assert!(counts.values().all(|views| *views == 1), "nothing is counted twice");
    // A request without a response may have been recorded or not; nothing else is there.
    assert!(recorded.len() <= acknowledged.len() + unanswered.len());
    assert_eq!(report_rows(&connection).await, model::report(&counts), "the report has all counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_increments_survive_a_crash_on_sqlite() {
    acknowledged_increments_survive_a_crash(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_increments_survive_a_crash_on_postgres_with_a_materialized_view() {
    acknowledged_increments_survive_a_crash(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_increments_survive_a_crash_on_postgres_with_a_table() {
    acknowledged_increments_survive_a_crash(Rung::Table).await;
}

async fn shutdown_answers_every_accepted_request(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let mut server = Server::start(&database, &["--site", SITE]);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let clients = record_until_closed(&server, 0, &acknowledged);
    eventually("a thousand acknowledged increments", async || acknowledged.lock().unwrap().len() > 1_000).await;
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0), "it ends in order");
    clients.join_all().await;
    let recorded = counts(&connection).await;
    assert_eq!(recorded.len(), acknowledged.lock().unwrap().len(), "as many pages are recorded as were acknowledged");
}

/// Sends SIGTERM while the server's refresh waits for `holder` to commit. Returns when it accepts no more connections.
pub(crate) async fn stop_during_a_refresh(server: &Server, holder: &mut PgConnection, connection: &Database) {
    // A lock on the report lets a merge wait in the middle.
    holder.execute("BEGIN").await.unwrap();
    holder.execute("LOCK TABLE page_views_report IN EXCLUSIVE MODE").await.unwrap();
    server.data(QUERY, json!({ "page": "/a" })).await.unwrap();
    eventually("the refresh to be under way", async || {
        let newest = report_refresh::newest(&connection.readers).await.unwrap();
        newest.is_some_and(|row| row.finished_at.is_none())
    })
    .await;
    server.signal("TERM");
    let address = &server.address;
    eventually("the server to take no more requests", async || std::net::TcpStream::connect(address).is_err()).await;
}

/// A refresh that is under way at SIGTERM ends first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_waits_for_the_running_refresh() {
    let database = TestDatabase::create(Rung::Table).await;
    let connection = database.migrate().await;
    let mut server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    let mut holder = cluster::connect(&database.url).await;
    stop_during_a_refresh(&server, &mut holder, &connection).await;
    assert!(server.child.try_wait().unwrap().is_none(), "it waits");
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let report = report_rows(&connection).await;
    assert_eq!(report.len(), 6);
    assert_eq!(report, model::report(&counts(&connection).await));
}

/// A client that never sends the rest of its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_request_does_not_delay_shutdown() {
    use std::io::Write;
    let database = TestDatabase::create(Rung::Sqlite).await;
    let mut server = Server::start(&database, &[]);
    let mut hanging = std::net::TcpStream::connect(&server.address).unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    hanging.write_all(head.as_bytes()).unwrap();
    assert!(server.data("{ freshness { status } }", json!({})).await.is_ok());
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_answers_every_accepted_request_on_sqlite() {
    shutdown_answers_every_accepted_request(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_answers_every_accepted_request_on_postgres() {
    shutdown_answers_every_accepted_request(Rung::MaterializedView).await;
}
