//! The service behind pgbouncer, in each mode of pooling.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;
use sqlx::{
    Connection, Row,
    postgres::{PgConnectOptions, PgConnection},
};
use storage::{Purpose, snapshot::Snapshots};

use crate::{
    app::{Rung, TestDatabase},
    pooler::{self, Pooler},
    process::{self, Server},
    wait::eventually,
    websocket::WebSocket,
};

const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { recordedAt } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
pub(crate) const LISTENER_DOWN: &str = "refreshes are not heard of";
pub(crate) const LISTENER_UP: &str = "refreshes are heard of again";

/// A migrated database, and the same through a pooler.
async fn pooled(mode: &str, more: &str) -> (TestDatabase, Pooler, TestDatabase) {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    database.migrate().await.close().await.unwrap();
    let pooler = Pooler::start(&database.server(), mode, more);
    let through = database.at(&pooler.address);
    (database, pooler, through)
}

/// A server that refreshes each second, and the file of its log.
pub(crate) fn start(database: &TestDatabase, arguments: &[&str]) -> (Server, PathBuf) {
    let log = database.folder.path().join("log");
    let mut command =
        process::analytics(database, &["serve", "--listen", "127.0.0.1:0", "--refresh-cron", "* * * * * *"]);
    command.args(arguments).stderr(fs::File::options().create(true).append(true).open(&log).unwrap());
    (Server::of(command), log)
}

/// How often the log has `what`.
pub(crate) fn count_in_log(log: &Path, what: &str) -> usize {
    fs::read_to_string(log).unwrap().matches(what).count()
}

/// Records a page view, waits until a subscriber learns that it is in the report, and finds it there.
pub(crate) async fn record_and_find(recorder: &Server, server: &Server, views: u64) {
    let mut socket = WebSocket::subscribed_to_freshness(&server.address).await;
    let recorded = recorder.data(RECORD, json!({})).await.unwrap();
    let recorded_at = recorded["recordPageViews"]["recordedAt"].as_str().unwrap();
    while socket.next_freshness().await["asOf"].as_str().is_none_or(|as_of| as_of < recorded_at) {}
    let report = server.data(REPORT, json!({})).await.unwrap();
    assert_eq!(report["report"]["totals"]["views"], views);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_pooling_with_the_defaults_of_pgbouncer_works() {
    let (database, _pooler, through) = pooled("session", "").await;
    let (server, log) = start(&through, &[]);
    for views in 1..=3 {
        record_and_find(&server, &server, views).await;
    }
    assert_eq!(count_in_log(&log, LISTENER_DOWN), 0);
    assert!(process::succeed(&through, &["migrate", "status"]).starts_with("applied"));
    process::succeed(&through, &["rebuild", "--as", "table"]);
    process::succeed(&through, &["refresh"]);
    process::succeed(&database, &["verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_pooling_is_refused_with_the_reason() {
    let (_database, _pooler, through) = pooled("statement", "").await;
    for arguments in [["serve", "--services=reports"].as_slice(), &["verify"]] {
        let output = process::run(&through, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("takes no transactions (statement pooling)"), "{stderr}");
    }
}

/// pgbouncer supports prepared statements since 1.21; without them the process refuses to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_pooling_is_refused_where_it_loses_prepared_statements() {
    let knows = pooler::knows_prepared_statements();
    let (_database, _pooler, through) =
        pooled("transaction", if knows { "max_prepared_statements = 0" } else { "" }).await;
    // The second run finds the statements that the first one left.
    for _ in 0..2 {
        let output = process::run(&through, &["serve"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("pgbouncer 1.21 or newer with max_prepared_statements"), "{stderr}");
    }
    if knows {
        let (database, _pooler, through) = pooled("transaction", "max_prepared_statements = 100").await;
        let servers = [
            start(&through, &["--services", "increments,wolf"]),
            start(&through, &["--services", "reports"]),
            start(&through, &["--services", "increments,reports,wolf"]),
        ];
        for views in 1..=10 {
            record_and_find(&servers[if views % 2 == 0 { 2 } else { 0 }].0, &servers[1].0, views).await;
        }
        process::succeed(&through, &["rebuild", "--as", "table"]);
        record_and_find(&servers[0].0, &servers[2].0, 11).await;
        // They write into one file; two of them have a feed.
        let log = fs::read_to_string(&servers[0].1).unwrap();
        assert_eq!((log.matches(LISTENER_DOWN).count(), log.matches("WARN").count()), (2, 2), "{log}");
        process::succeed(&database, &["verify"]);
    }
}

/// A feed that a pooler keeps from listening warns once and polls, and listens again when the pooler allows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feed_behind_transaction_pooling_polls_until_it_can_listen() {
    let (database, mut pooler, through) = pooled("transaction", "").await;
    let (server, log) = start(&database, &["--notify-database-url", &through.url]);
    record_and_find(&server, &server, 1).await;
    eventually("the pooler to be named", async || count_in_log(&log, LISTENER_DOWN) == 1).await;
    assert_eq!(count_in_log(&log, "a pooler lends connections to others between transactions"), 1);
    // Nothing is left behind on the connection that the next client gets.
    let options = PgConnectOptions::from_str(&through.url).unwrap().extra_float_digits(None);
    let mut next = PgConnection::connect_with(&options).await.unwrap();
    let listening = sqlx::raw_sql("SELECT count(*) FROM pg_listening_channels()").fetch_one(&mut next).await.unwrap();
    assert_eq!(listening.get::<i64, _>(0), 0);
    drop(next);
    for views in 2..=4 {
        record_and_find(&server, &server, views).await;
    }
    pooler.change("session", "");
    eventually("the listener to be up", async || count_in_log(&log, LISTENER_UP) == 1).await;
    record_and_find(&server, &server, 5).await;
    assert_eq!(count_in_log(&log, LISTENER_DOWN), 1, "{}", fs::read_to_string(log).unwrap());
}

/// A connection to another database gets its own notifications only, so the probe goes the way of the refreshes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feed_detects_that_it_listens_to_another_database() {
    let (database, elsewhere) = (TestDatabase::create(Rung::Table).await, TestDatabase::create(Rung::Table).await);
    database.migrate().await.close().await.unwrap();
    let (server, log) = start(&database, &["--notify-database-url", &elsewhere.url]);
    eventually("a probe to be missed", async || count_in_log(&log, "did not arrive") == 1).await;
    record_and_find(&server, &server, 1).await;
}

/// A pooler may be set to another mode under a process that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_behind_statement_pooling_is_not_ready() {
    let (_database, mut pooler, through) = pooled("session", "").await;
    for services in ["reports", "increments"] {
        let (server, _log) = start(&through, &["--services", services]);
        let ready = async || server.client.get(server.url("/health/ready")).send().await.unwrap().status().as_u16();
        assert_eq!(ready().await, 200);
        pooler.change("statement", "");
        eventually("the process to be not ready", async || ready().await == 503).await;
        pooler.change("session", "");
        eventually("the process to be ready again", async || ready().await == 200).await;
    }
}

#[test]
fn notify_url_is_refused_on_sqlite_without_showing_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = TestDatabase { url: "sqlite://a.db".to_owned(), rung: Rung::Sqlite, folder };
    for (url, reason) in [
        ("postgres://me:secret@127.0.0.1:1/db", "an SQLite file notifies nobody"),
        ("postgres://me:secret@a,b/db", "names one host"),
        ("sqlite://b.db", "an SQLite file notifies nobody"),
        ("secret", "a database URL is"),
    ] {
        let output = process::run(&sqlite, &["serve", "--listen", "127.0.0.1:0", "--notify-database-url", url]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("secret"), "{stderr}");
    }
}

/// The settings of a transaction do not apply to the next user of its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_settings_end_with_the_transaction() {
    const LIMITS: &str = "SELECT current_setting('statement_timeout') || ' ' ||
        current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('transaction_isolation') || ' ' ||
        current_setting('transaction_read_only')";
    let database = TestDatabase::create(Rung::MaterializedView).await;
    let database = database.migrate().await;
    async fn limits(db: &impl ConnectionTrait) -> String {
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, LIMITS)).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }
    let begun =
        Snapshots::new(&database.readers, &database.clock, entity::page_views_report::RELATION).begin().await.unwrap();
    assert_eq!(limits(&begun).await, "30s 10s repeatable read on");
    begun.rollback().await.unwrap();
    let begun = Snapshots::new(&database.background, &database.clock, entity::page_views_report::RELATION)
        .begin()
        .await
        .unwrap();
    assert_eq!(limits(&begun).await, "0 10s repeatable read on");
    begun.rollback().await.unwrap();
    let change = database.background.begin(Purpose::Change).await.unwrap();
    assert_eq!(limits(&change).await, "0 10s read committed off");
    change.rollback().await.unwrap();
    assert_eq!(limits(&database.readers).await, "30s 10s read committed on");
    for db in [&database.readers, &database.background] {
        // On the same connection, behind the transaction's end.
        let ended = db.begin(Purpose::Change).await.unwrap();
        ended.execute_unprepared("COMMIT").await.unwrap();
        assert_eq!(limits(&ended).await, "0 0 read committed off");
    }
}
