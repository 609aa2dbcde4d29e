//! A new report is swapped in, or the schema is changed, while a transaction holds the old one: readers never wait for
//! the lock.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::TimeDelta;
use entity::report_refresh;
use serde_json::json;
use sqlx::{Executor, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wolf::{LockMode, Refresher, ReportKind, WolfError};

use crate::{
    app::{Rung, TestApp, TestDatabase},
    cluster, model,
    process::{self, Server},
    upgrades,
    wait::eventually,
};

/// A swap may make a reader wait for 50 ms, and a reader behind the held lock would wait for ever.
const PROBE: &str = "SET lock_timeout = '10s'";
const TOTALS: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";

/// Begins a transaction that holds the report as long as its connection lives, as a dump does.
async fn hold(database: &TestDatabase) -> PgConnection {
    let mut holder = cluster::connect(&database.url).await;
    holder.execute("SET application_name = 'a dump'; BEGIN; SELECT count(*) FROM page_views_report").await.unwrap();
    holder
}

/// Readers that read all the time, each statement failing if it has to wait for a lock much longer than a swap may make
/// it.
struct Readers {
    reads: Arc<AtomicU64>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Readers {
    async fn start(database: &TestDatabase) -> Self {
        Self::start_reading(database, "SELECT count(*) FROM page_views_report").await
    }

    async fn start_reading(database: &TestDatabase, sql: &'static str) -> Self {
        let (reads, stop, mut tasks) = (Arc::<AtomicU64>::default(), CancellationToken::new(), JoinSet::new());
        for _ in 0..2 {
            let mut connection = cluster::connect(&database.url).await;
            connection.execute(PROBE).await.unwrap();
            let (reads, stop) = (Arc::clone(&reads), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let read = connection.execute(sql).await;
                    read.expect("a reader has waited for the swap");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { reads, stop, tasks }
    }

    /// Waits until they have read many times more.
    async fn until_more_reads(&self) {
        let begun = self.reads.load(Ordering::Relaxed);
        eventually("more reads", async || self.reads.load(Ordering::Relaxed) > begun + 100).await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

/// A command that runs, with its log in a file.
fn start(database: &TestDatabase, arguments: &[&str]) -> (Child, PathBuf) {
    let log = database.folder.path().join("log");
    let mut command = process::analytics(database, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    (command.spawn().unwrap(), log)
}

async fn kind(database: &TestDatabase) -> String {
    let sql = "SELECT relkind::text FROM pg_class WHERE relname = 'page_views_report'";
    sqlx::query_scalar(sql).fetch_one(&mut cluster::connect(&database.url).await).await.unwrap()
}

async fn rebuild_waits_for_one_reader_without_blocking_others(rung: Rung) {
    let app = TestApp::start(rung).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    app.record([("/a", "2026-03-01T00:00:00Z", 2)]).await;
    let mut holder = hold(&app.test_database).await;
    let readers = Readers::start(&app.test_database).await;
    let (mut rebuild, log) = start(&app.test_database, &["rebuild", "--log", "info"]);
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut holder).await.unwrap();
    eventually("the log to name the transaction that the swap waits for", async || {
        let log = fs::read_to_string(&log).unwrap();
        log.contains("waits to be swapped in") && log.contains(&format!("process {pid}")) && log.contains("a dump")
    })
    .await;
    readers.until_more_reads().await;
    assert_eq!(app.data(TOTALS, json!({})).await["report"]["totals"]["views"], 1, "the old report");
    assert_eq!(rebuild.try_wait().unwrap(), None);
    holder.execute("COMMIT").await.unwrap();
    let ended = tokio::task::spawn_blocking(move || rebuild.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{}", fs::read_to_string(&log).unwrap());
    readers.stop().await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    assert_eq!(app.marks().await, 0);
    process::succeed(&app.test_database, &["verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuild_waits_for_one_reader_without_blocking_others_with_a_materialized_view() {
    rebuild_waits_for_one_reader_without_blocking_others(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuild_waits_for_one_reader_without_blocking_others_with_a_table() {
    rebuild_waits_for_one_reader_without_blocking_others(Rung::Table).await;
}

/// The conversion is due after every refresh, and refreshes continue while it is put off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversion_waits_while_a_reader_holds_the_view() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    database.migrate().await.close().await.unwrap();
    let mut holder = hold(&database).await;
    let readers = Readers::start(&database).await;
    let log = database.folder.path().join("log");
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--refresh-cron", "* * * * * *", "--materialized-view-limit-ms", "0"];
    let mut command = process::analytics(&database, &arguments);
    command.stderr(File::create(&log).unwrap());
    let server = Server::of(command);
    eventually("the log to name the transaction that the conversion waits for", async || {
        let log = fs::read_to_string(&log).unwrap();
        log.contains("conversion is put off") && log.contains("a dump")
    })
    .await;
    for page in ["/a", "/b", "/c"] {
        let record =
            "mutation ($page: String!) { recordPageViews(input: { increments: [{ page: $page }] }) { views } }";
        server.data(record, json!({ "page": page })).await.unwrap();
        let filter = json!({ "filter": { "interval": { "period": "ALL_TIME" }, "pages": { "names": [page] } } });
        let report = "query ($filter: ReportFilter) { report(filter: $filter) { totals { views } } }";
        eventually("the refresh to be seen", async || {
            server.data(report, filter.clone()).await.unwrap()["report"]["totals"]["views"] == 1
        })
        .await;
    }
    readers.until_more_reads().await;
    assert_eq!(kind(&database).await, "m");
    holder.execute("COMMIT").await.unwrap();
    eventually("the conversion", async || kind(&database).await == "r").await;
    readers.stop().await;
    drop(server);
    process::succeed(&database, &["verify"]);
}

/// A swap that gives up changes nothing, and its error names the holder.
async fn swap_that_gives_up_keeps_the_old_report(rung: Rung) {
    let app = TestApp::start(rung).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    let refreshed = app.refresh().await;
    app.record([("/a", "2026-03-01T00:00:00Z", 2)]).await;
    let (marks, rows, before) = (app.marks().await, app.report_rows().await, kind(&app.test_database).await);
    let other = if rung == Rung::Table { ReportKind::MaterializedView } else { ReportKind::Table };
    let refresher = app.refresher.clone().swapping_within(2);

    let mut holder = hold(&app.test_database).await;
    let readers = Readers::start(&app.test_database).await;
    let unchanged = async |error: WolfError| {
        let WolfError::ReportHeld { holders, tries } = &error else { panic!("{error}") };
        assert!(holders.contains("a dump") && holders.contains("open for") && *tries == 2, "{error}");
        assert_eq!(
            (app.marks().await, app.report_rows().await, kind(&app.test_database).await),
            (marks, rows.clone(), before.clone())
        );
        let left = "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_next%'";
        let left: i64 =
            sqlx::query_scalar(left).fetch_one(&mut cluster::connect(&app.test_database.url).await).await.unwrap();
        assert_eq!(left, 0);
        let successful = report_refresh::newest_successful(&app.database.readers).await.unwrap().unwrap();
        assert_eq!(successful.as_of, refreshed.as_of, "nothing is promised that is not in the report");
    };
    unchanged(refresher.rebuild(None, &|_, _| {}).await.unwrap_err()).await;
    let newest = report_refresh::newest(&app.database.readers).await.unwrap().unwrap();
    assert_eq!(newest.error.as_deref(), Some("another transaction holds the report; the log of the Wolf says which"));
    unchanged(refresher.ensure_kind(other).await.unwrap_err()).await;
    readers.stop().await;

    // Refreshes continue beside the transaction, and swaps after it.
    app.refresh().await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    holder.execute("COMMIT").await.unwrap();
    assert!(refresher.ensure_kind(other).await.unwrap());
    refresher.rebuild(None, &|_, _| {}).await.unwrap();
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swap_that_gives_up_keeps_the_old_report_with_a_materialized_view() {
    swap_that_gives_up_keeps_the_old_report(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swap_that_gives_up_keeps_the_old_report_with_a_table() {
    swap_that_gives_up_keeps_the_old_report(Rung::Table).await;
}

/// A held report does not stop a start with another `--report-kind`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_held_at_start_is_converted_after_a_later_refresh() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    let connection = database.migrate().await;
    let mut holder = hold(&database).await;
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *", "--report-kind", "table"]);
    assert_eq!(kind(&database).await, "m");
    holder.execute("COMMIT").await.unwrap();
    eventually("the conversion", async || kind(&database).await == "r").await;
    drop(server);
    // It is slow, but there is no limit.
    let refresher = Refresher::new(&connection).converting_views_slower_than(TimeDelta::zero());
    refresher.refresh(LockMode::Wait, None).await.unwrap();
    assert_eq!(kind(&database).await, "r");
}

/// A migration changes tables that are read and written all the time; so does making the logins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migration_waits_for_one_reader_without_blocking_others() {
    let database = upgrades::restore(Rung::Table).await;
    // A join, so that one statement reads all changed tables.
    let sql = "SELECT count(*) FROM page_views_report, (SELECT FROM report_refreshes LIMIT 1) AS a, (SELECT FROM idempotency_keys LIMIT 1) AS b";
    for arguments in [&["migrate"][..], &["migrate", "--roles", "--role-prefix", "swap"]] {
        let mut holder = cluster::connect(&database.url).await;
        holder.execute("BEGIN").await.unwrap();
        holder.execute(sql).await.unwrap();
        let readers = Readers::start_reading(&database, sql).await;
        let (mut migrate, log) = start(&database, arguments);
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(1)'";
        let mut watcher = cluster::connect(&database.url).await;
        eventually("the migration to wait", async || {
            sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watcher).await.unwrap() == 1
        })
        .await;
        readers.until_more_reads().await;
        assert_eq!(migrate.try_wait().unwrap(), None);
        holder.execute("COMMIT").await.unwrap();
        let ended = tokio::task::spawn_blocking(move || migrate.wait().unwrap()).await.unwrap();
        assert!(ended.success(), "{}", fs::read_to_string(&log).unwrap());
        readers.stop().await;
    }
    process::succeed(&database, &["verify"]);
}
