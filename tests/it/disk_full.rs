//! A database whose disk is full for a while: requests get errors, nothing acknowledged is lost, and with room on the
//! disk everything works again.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    cluster::{self, Cluster},
    model,
    process::{self, Server},
    small_disk::SmallDisk,
    wait::eventually,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
const FULL: &str = "the database's disk is full: nothing can be written\n";
const EVERY_SECOND: [&str; 2] = ["--refresh-cron", "* * * * * *"];
const NEVER: [&str; 2] = ["--refresh-cron", "0 0 0 1 1 *"];
/// Requests of this size fit on the small disk a few times.
const INCREMENTS: usize = 100;

/// Increments of new pages, a kilobyte each.
fn input(number: usize) -> Value {
    let page = |index: usize| format!("/{number}/{index}/{}", "x".repeat(900));
    let increments: Vec<_> =
        (0..INCREMENTS).map(|index| json!({ "page": page(index), "at": "2026-03-01T00:00:00Z" })).collect();
    json!({ "input": { "increments": increments } })
}

/// Records until `server` has refused ten requests one after the other; returns how many increments it acknowledged.
async fn record_until_full(server: &Server, numbers: &mut impl Iterator<Item = usize>) -> usize {
    let (mut acknowledged, mut refused) = (0, 0);
    for number in numbers {
        match server.data(RECORD, input(number)).await {
            Ok(_) => (acknowledged, refused) = (acknowledged + INCREMENTS, 0),
            Err(error) => {
                assert!(error.contains("UNAVAILABLE") && error.contains(r#""retryable":true"#), "{error}");
                refused += 1;
            }
        }
        if refused == 10 {
            break;
        }
    }
    acknowledged
}

async fn ready(server: &Server) -> (u16, String) {
    let response = server.client.get(server.url("/health/ready")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Checks that the server records, refreshes and is ready, and that the sums equal the acknowledged increments.
async fn check_recovered(
    mut server: Server,
    database: &TestDatabase,
    acknowledged: usize,
    numbers: &mut impl Iterator<Item = usize>,
) {
    eventually("the server to be ready", async || ready(&server).await.0 == 200).await;
    let number = numbers.next().unwrap();
    server.data(RECORD, input(number)).await.unwrap();
    let acknowledged = acknowledged + INCREMENTS;
    const REPORT: &str =
        "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views pages } } freshness { status } }";
    eventually("the report to have all of it", async || {
        let answer = server.data(REPORT, json!({})).await.unwrap();
        answer["report"]["totals"] == json!({ "views": acknowledged, "pages": acknowledged })
            && answer["freshness"]["status"] == "FRESH"
    })
    .await;
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    process::succeed(database, &["verify"]);
    let connection = database.connect().await;
    let counts = counts(&connection).await;
    assert_eq!(counts.len(), acknowledged, "the acknowledged increments, and no others");
    assert!(counts.values().all(|views| *views == 1));
    assert_eq!(report_rows(&connection).await, model::report(&counts));
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_are_unavailable_while_the_sqlite_disk_is_full_and_succeed_afterwards() {
    let disk = SmallDisk::mount("6m");
    let database = disk.database();
    let server = Server::start(&database, &EVERY_SECOND);
    let mut numbers = 0..;
    let mut acknowledged = 0;
    for size in ["16m", "28m", "100m"] {
        acknowledged += record_until_full(&server, &mut numbers).await;
        eventually("the server to say that it can't write", async || ready(&server).await == (503, FULL.to_owned()))
            .await;
        assert!(
            server.data("{ report { totals { views } } }", json!({})).await.is_ok(),
            "reports are served meanwhile"
        );
        disk.resize(size);
        eventually("increments to be recorded again", async || {
            let number = numbers.next().unwrap();
            let recorded = server.data(RECORD, input(number)).await;
            recorded.inspect(|_| acknowledged += INCREMENTS).is_ok()
        })
        .await;
    }
    assert!(acknowledged > 3 * INCREMENTS);
    check_recovered(server, &database, acknowledged, &mut numbers).await;
}

/// The Wolf and the recorder share a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_on_a_full_sqlite_disk_changes_nothing() {
    let disk = SmallDisk::mount("20m");
    let database = disk.database();
    let mut numbers = 0..;
    let mut recording = Server::start(&database, &NEVER);
    for number in numbers.by_ref().take(20) {
        recording.data(RECORD, input(number)).await.unwrap();
    }
    recording.signal("TERM");
    assert_eq!(recording.child.wait().unwrap().code(), Some(0));
    // The report needs more room than that.
    disk.fill_but(200 * 1_024);
    let server = Server::start(&database, &EVERY_SECOND);
    eventually("refreshes to fail", async || {
        let metrics = server.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let failed = metrics.lines().find_map(|line| {
            line.strip_prefix(r#"analytics_refresh_duration_seconds_count{outcome="failed"} "#)?.parse::<u32>().ok()
        });
        failed.is_some_and(|failed| failed >= 2)
    })
    .await;
    assert_eq!(ready(&server).await, (503, FULL.to_owned()));
    eventually("readers to know that the report is not fresh", async || {
        let answer = server.data("{ freshness { status } }", json!({})).await.unwrap();
        ["FAILED", "OVERDUE"].map(Value::from).contains(&answer["freshness"]["status"])
    })
    .await;
    disk.resize("100m");
    check_recovered(server, &database, 20 * INCREMENTS, &mut numbers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_on_a_full_disk_fails_with_its_path() {
    let disk = SmallDisk::mount("20m");
    let database = disk.database();
    let mut recording = Server::start(&database, &NEVER);
    for number in 0..20 {
        recording.data(RECORD, input(number)).await.unwrap();
    }
    recording.signal("TERM");
    assert_eq!(recording.child.wait().unwrap().code(), Some(0));
    let log = format!("{}/tests/data/access.log.gz", env!("CARGO_MANIFEST_DIR"));
    let commands: [&[&str]; 3] = [&["refresh"], &["rebuild"], &["import", &log]];
    // With room to open the file, and without.
    for free in [100 * 1_024, 0] {
        disk.fill_but(free);
        for command in commands {
            let output = process::run(&database, command);
            let stderr = String::from_utf8_lossy(&output.stderr);
            // The little room that is left may be enough for a command that finds room in the log.
            if free > 0 && output.status.success() {
                continue;
            }
            assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
            let named = format!("the disk of {} is full; make room there", disk.path().display());
            assert!(stderr.contains(&named), "{command:?}: {stderr}");
        }
    }
    disk.resize("100m");
    process::succeed(&database, &["import", &log]);
    assert!(process::succeed(&database, &["refresh"]).contains("stale hours"));
    process::succeed(&database, &["verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_are_unavailable_while_the_postgres_disk_is_full_and_succeed_afterwards() {
    let disk = SmallDisk::mount("14m");
    let owned = std::process::Command::new("chown").arg("postgres").arg(disk.path()).status().unwrap();
    assert!(owned.success());
    let cluster = Cluster::start();
    let database = TestDatabase::create_in(&cluster).await;
    // The log of PostgreSQL stays where it is: without room for that the server ends.
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let mut admin = PgConnection::connect(&cluster.socket_url()).await.unwrap();
    let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display());
    admin.execute(sqlx::AssertSqlSafe(tablespace)).await.unwrap();
    let default = format!("ALTER DATABASE {name} SET default_tablespace = small");
    admin.execute(sqlx::AssertSqlSafe(default)).await.unwrap();
    database.migrate().await.close().await.unwrap();

    let server = Server::start(&database, &EVERY_SECOND);
    let mut numbers = 0..;
    let mut acknowledged = record_until_full(&server, &mut numbers).await;
    assert!(acknowledged > 0);
    disk.resize("200m");
    eventually("increments to be recorded again", async || {
        let number = numbers.next().unwrap();
        let recorded = server.data(RECORD, input(number)).await;
        recorded.inspect(|_| acknowledged += INCREMENTS).is_ok()
    })
    .await;
    check_recovered(server, &database, acknowledged, &mut numbers).await;
}

/// Only a process that writes is not ready where nothing can be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_process_is_not_ready_on_a_read_only_sqlite_disk() {
    let disk = SmallDisk::mount("6m");
    let database = disk.database();
    let start = |services| Server::start(&database, &[&["--services", services], &NEVER[..]].concat());
    let servers = ["increments", "wolf", "reports"].map(start);
    expect_ready(&servers).await;
    disk.make_read_only();
    expect_read_only(&servers).await;
    disk.make_writable();
    expect_ready(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_process_is_not_ready_on_a_read_only_postgres_database() {
    let database = TestDatabase::create(Rung::Table).await;
    database.migrate().await.close().await.unwrap();
    let (server, name) = database.url.rsplit_once('/').unwrap();
    let mut admin = cluster::connect(&format!("{server}/postgres")).await;
    let start = |services| Server::start(&database, &[&["--services", services], &NEVER[..]].concat());
    let servers = ["increments", "wolf", "reports"].map(start);
    // Open sessions keep their setting, so they are ended.
    let mut set = async |read_only: &str| {
        let sql = format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = {read_only};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    };
    expect_ready(&servers).await;
    set("on").await;
    expect_read_only(&servers).await;
    set("off").await;
    expect_ready(&servers).await;
}

async fn expect_read_only([increments, wolf, reports]: &[Server; 3]) {
    let read_only = (503, "the database is read-only: nothing can be written\n".to_owned());
    for server in [increments, wolf] {
        eventually("it to say that it can't write", async || ready(server).await == read_only).await;
    }
    eventually("a process that only reads to be ready", async || ready(reports).await.0 == 200).await;
}

async fn expect_ready(servers: &[Server; 3]) {
    for server in servers {
        eventually("it to be ready", async || ready(server).await.0 == 200).await;
    }
}
