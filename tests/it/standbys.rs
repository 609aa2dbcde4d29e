//! Reports on a hot standby that streams from its primary, and what a failover leaves to the processes that see it.

use std::fs;

use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};

use crate::{
    app::TestDatabase,
    cluster::{self, Cluster},
    poolers::{LISTENER_DOWN, LISTENER_UP, count_in_log, record_and_find, start},
    process::{self, Server},
    proxy::Proxy,
    wait::eventually,
};

const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { recordedAt } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { freshness { asOf status } totals { views }
    pages { edges { node { views } } } } }";

/// The log line of a query that a standby has cancelled.
const CANCELLED: &str = "a query was in the way of other work of the database";

/// A migrated database, its standby, and the same database there.
async fn replicated(configuration: &str) -> (Cluster, TestDatabase, Cluster, TestDatabase) {
    let primary = Cluster::start();
    let database = TestDatabase::create_in(&primary).await;
    database.migrate().await.close().await.unwrap();
    let standby = Cluster::standby_of(&primary, configuration);
    let there = database.at(&standby.address());
    (primary, database, standby, there)
}

async fn ask(connection: &mut PgConnection, sql: &'static str) -> bool {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Sends the WAL written so far to the standby, without waiting for the next commit.
async fn send(database: &TestDatabase) {
    let mut connection = cluster::connect(&database.url).await;
    connection.execute("SELECT pg_logical_emit_message(true, '', '')").await.unwrap();
}

async fn ready(server: &Server) -> (u16, String) {
    let response = server.client.get(server.url("/health/ready")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The report, if its sums agree.
async fn report(server: &Server) -> Value {
    let report = server.data(REPORT, json!({})).await.unwrap()["report"].take();
    let pages = report["pages"]["edges"].as_array().unwrap().iter();
    let sum: i64 = pages.map(|page| page["node"]["views"].as_i64().unwrap()).sum();
    assert_eq!(report["totals"]["views"], sum, "{report}");
    report
}

/// While the replay is paused, `asOf` and the sums do not change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_on_a_standby_follows_the_replay() {
    let (_primary, database, _standby, there) = replicated("").await;
    let (writer, _) = start(&database, &["--services", "increments,wolf"]);
    let (reader, log) = start(&there, &["--services", "reports"]);
    assert_eq!(ready(&reader).await.0, 200);
    for views in 1..=3 {
        record_and_find(&writer, &reader, views).await;
    }
    let mut admin = cluster::connect(&there.url).await;
    admin.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    let paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
    eventually("replay to be paused", async || ask(&mut admin, paused).await).await;
    let newest = "SELECT max(as_of)::text FROM report_refreshes";
    let as_of: String = sqlx::query_scalar(newest).fetch_one(&mut admin).await.unwrap();
    writer.data(RECORD, json!({})).await.unwrap();
    let mut on_primary = cluster::connect(&database.url).await;
    let in_report = "SELECT sum(views) = 4 FROM page_views_report WHERE name = '' AND grain = 'day'";
    eventually("the primary's report to have it", async || ask(&mut on_primary, in_report).await).await;

    let mut shown = Vec::new();
    eventually("the reader to be overdue", async || {
        let report = report(&reader).await;
        shown.push(report["freshness"]["asOf"].clone());
        assert_eq!(report["totals"]["views"], 3);
        report["freshness"]["status"] == "OVERDUE"
    })
    .await;
    assert_eq!(sqlx::query_scalar::<_, String>(newest).fetch_one(&mut admin).await.unwrap(), as_of);
    // It may have been one refresh behind when replay was paused, and none after that.
    shown.dedup();
    assert!(shown.len() <= 2, "asOf moved on: {shown:?}");

    admin.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    eventually("the paused changes to be shown", async || report(&reader).await["totals"]["views"] == 4).await;
    record_and_find(&writer, &reader, 5).await;
    // With a listener on the primary, a notification may arrive before the row that it announces.
    let beside = there.at(&there.server());
    let (hearing, its_log) = start(&beside, &["--services", "reports", "--notify-database-url", &database.url]);
    let listening = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'NOTIFY report_refreshes_probe%')";
    eventually("a probe on the primary", async || ask(&mut on_primary, listening).await).await;
    for views in 6..=8 {
        record_and_find(&writer, &hearing, views).await;
    }
    assert_eq!(count_in_log(&its_log, LISTENER_DOWN), 0, "{}", fs::read_to_string(its_log).unwrap());
    let log = fs::read_to_string(log).unwrap();
    assert_eq!((log.matches(LISTENER_DOWN).count(), log.matches("the database is a standby").count()), (1, 1), "{log}");
}

/// The standby cancels a query because it blocks the replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_cancelled_by_a_standby_is_retried() {
    let (_primary, database, _standby, there) = replicated("max_standby_streaming_delay = 0").await;
    let (writer, _) = start(&database, &["--services", "increments"]);
    writer.data(RECORD, json!({})).await.unwrap();
    process::succeed(&database, &["refresh"]);
    // Each query has a transaction of its own, which locks the report first and then reads how fresh it is.
    let (reader, log) = start(&there, &["--services", "reports", "--cache-bytes", "0", "--response-cache-bytes", "0"]);
    eventually("the report to be replayed", async || report(&reader).await["totals"]["views"] == 1).await;

    let mut on_standby = cluster::connect(&there.url).await;
    let mut first = cluster::connect(&database.url).await;
    first.execute("BEGIN; LOCK TABLE report_refreshes IN ACCESS EXCLUSIVE MODE").await.unwrap();
    send(&database).await;
    let locked = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'report_refreshes'::regclass AND mode = 'AccessExclusiveLock' AND granted)";
    eventually("the lock to be replayed", async || ask(&mut on_standby, locked).await).await;
    let query = async { report(&reader).await };
    let disturb = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_locks AS report USING (pid)
            WHERE pg_locks.relation = 'report_refreshes'::regclass AND NOT pg_locks.granted
                AND report.relation = 'page_views_report'::regclass AND report.granted)";
        eventually("the query to hold the report", async || ask(&mut on_standby, waits).await).await;
        let mut second = cluster::connect(&database.url).await;
        second.execute("BEGIN; LOCK TABLE page_views_report IN ACCESS EXCLUSIVE MODE").await.unwrap();
        send(&database).await;
        // The server counts conflicts too, but a session that begins the query again, and waits, does not report them.
        eventually("the query to be cancelled", async || count_in_log(&log, CANCELLED) > 0).await;
        for connection in [&mut first, &mut second] {
            connection.execute("ROLLBACK").await.unwrap();
        }
        send(&database).await;
    };
    let (report, ()) = tokio::join!(query, disturb);
    assert_eq!(report["totals"]["views"], 1);
    assert_eq!(count_in_log(&log, CANCELLED), 1, "{}", fs::read_to_string(&log).unwrap());
}

/// After the promotion the process records, refreshes, and its listener works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_on_a_standby_works_after_promotion() {
    let (mut primary, database, _standby, there) = replicated("").await;
    let (writer, _) = start(&database, &[]);
    record_and_find(&writer, &writer, 1).await;
    let (server, log) = start(&there, &[]);
    let (status, why) = ready(&server).await;
    assert_eq!((status, why.contains("standby")), (503, true), "{why}");
    let refused = server.data(RECORD, json!({})).await.unwrap_err();
    assert!(refused.contains("UNAVAILABLE") && refused.contains("\"retryable\":true"), "{refused}");
    eventually("the replay", async || report(&server).await["totals"]["views"] == 1).await;
    eventually("the listener to be down", async || count_in_log(&log, LISTENER_DOWN) == 1).await;
    drop(writer);
    primary.stop_immediately();

    let mut admin = cluster::connect(&there.url).await;
    assert!(ask(&mut admin, "SELECT pg_promote()").await);
    eventually("the process to be ready", async || ready(&server).await.0 == 200).await;
    record_and_find(&server, &server, 2).await;
    eventually("the listener to be up", async || count_in_log(&log, LISTENER_UP) == 1).await;
    record_and_find(&server, &server, 3).await;
    assert_eq!(count_in_log(&log, LISTENER_DOWN), 1, "{}", fs::read_to_string(&log).unwrap());
    process::succeed(&there, &["verify"]);
}

/// After a failover behind one address, a connection that finds its server read-only reconnects,
/// and connections that only read follow when the old server stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_follow_a_failover_behind_one_address() {
    let (mut primary, database, standby, there) = replicated("").await;
    let proxy = Proxy::start(database.server()).await;
    let (server, _log) = start(&database.through(&proxy), &[]);
    record_and_find(&server, &server, 1).await;
    let mut admin = cluster::connect(&database.url).await;
    admin.execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    ask(&mut admin, "SELECT pg_reload_conf()").await;
    let mut admin = cluster::connect(&there.url).await;
    eventually("the replay", async || ask(&mut admin, "SELECT count(*) = 1 FROM page_views").await).await;
    assert!(ask(&mut admin, "SELECT pg_promote()").await);
    proxy.lead_to(standby.address());

    // The old server lives, and every connection to it.
    eventually("recording to continue", async || server.data(RECORD, json!({})).await.is_ok()).await;
    let in_report = "SELECT coalesce(sum(views), 0) = 2 FROM page_views_report WHERE name = '' AND grain = 'day'";
    eventually("refreshes to continue", async || ask(&mut admin, in_report).await).await;
    primary.stop_immediately();
    eventually("reports to continue", async || server.data(REPORT, json!({})).await.is_ok()).await;
    record_and_find(&server, &server, 3).await;
}
