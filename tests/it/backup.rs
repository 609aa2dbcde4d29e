//! Backups of a live SQLite database, restoring them, and a file that is swapped underneath a server.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    model,
    process::{self, Server},
    small_disk::SmallDisk,
    wait::eventually,
};

const RECORD: &str =
    "mutation ($page: String!) { recordPageViews(input: { increments: [{ page: $page }] }) { recordedAt } }";
const EVERY_SECOND: [&str; 2] = ["--refresh-cron", "* * * * * *"];
const NEVER: [&str; 2] = ["--refresh-cron", "0 0 0 1 1 *"];
const CLIENTS: usize = 8;

/// The database in `file`.
fn database_in(file: &Path) -> TestDatabase {
    let url = format!("sqlite://{}", file.display());
    TestDatabase { url, rung: Rung::Sqlite, folder: tempfile::tempdir().unwrap() }
}

fn file_of(database: &TestDatabase) -> PathBuf {
    database.folder.path().join("test.db")
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// Refreshes and verifies the report, and returns the number of pages, each of which has one view.
async fn verified_pages(database: &TestDatabase) -> usize {
    process::succeed(database, &["refresh"]);
    process::succeed(database, &["verify"]);
    let connection = database.connect().await;
    let counts = counts(&connection).await;
    assert!(counts.values().all(|views| *views == 1));
    assert_eq!(report_rows(&connection).await, model::report(&counts));
    connection.close().await.unwrap();
    counts.len()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts clients that record one page after the other until `stop`, and count the acknowledged requests.
fn record(server: &Server, acknowledged: &Arc<AtomicUsize>, stop: &CancellationToken) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (http, url) = (server.client.clone(), server.url("/graphql"));
        let (acknowledged, stop) = (Arc::clone(acknowledged), stop.clone());
        clients.spawn(async move {
            for number in 0.. {
                if stop.is_cancelled() {
                    return;
                }
                let body = json!({ "query": RECORD, "variables": { "page": format!("/{client}/{number}") } });
                let answer = http.post(&url).json(&body).send().await.unwrap();
                let answer: serde_json::Value = answer.json().await.unwrap();
                assert_eq!(answer.get("errors"), None);
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_under_load_has_every_increment_acknowledged_before_it() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &EVERY_SECOND);
    let (acknowledged, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let clients = record(&server, &acknowledged, &stop);
    let mut backups = Vec::new();
    while acknowledged.load(Ordering::SeqCst) < 2_000 || backups.len() < 3 {
        let before = acknowledged.load(Ordering::SeqCst);
        let file = database.folder.path().join(format!("backup {}.db", backups.len()));
        let backup = process::analytics(&database, &["backup", file.to_str().unwrap()]).output();
        let output = tokio::task::block_in_place(|| backup).unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(file.to_str().unwrap()));
        assert_eq!(mode(&file), 0o600);
        backups.push((before, file));
    }
    stop.cancel();
    clients.join_all().await;
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    let few = [backups.remove(0), backups.pop().unwrap()];
    for (before, file) in few {
        let counted = verified_pages(&database_in(&file)).await;
        assert!((before..=acknowledged).contains(&counted), "{before} <= {counted} <= {acknowledged}");
    }
    let left = fs::read_dir(database.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_str().unwrap().ends_with(".partial")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_backup_overwrites_nothing_and_leaves_no_file() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    // Without a database no file is created.
    let output = process::run(&database, &["backup", "backup.db"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is no database"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(database.folder.path()).unwrap().count(), 0);

    database.migrate().await.close().await.unwrap();
    fs::write(database.folder.path().join("there.db"), "precious").unwrap();
    let output = process::run(&database, &["backup", "there.db"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is there already, and a backup overwrites nothing"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(database.folder.path().join("there.db")).unwrap(), "precious");

    let disk = SmallDisk::mount("32k");
    let target = disk.path().join("backup.db");
    let output = process::run(&database, &["backup", target.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let named = format!("the disk of {} is full", disk.path().display());
    assert!(stderr(&output).contains(&named), "{}", stderr(&output));
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);

    let foreign = database_in(&database.folder.path().join("foreign.db"));
    fs::write(database.folder.path().join("foreign.db"), "").unwrap();
    let output = process::run(&foreign, &["backup", "backup.db"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not a database of this program"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_postgres_is_refused_with_the_commands_to_use_instead() {
    let database = TestDatabase::create(Rung::Table).await;
    let output = process::run(&database, &["backup", "backup.db"]);
    assert_eq!(output.status.code(), Some(2));
    for word in ["pg_dump", "pg_basebackup", "docs/backup.md"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    assert_eq!(fs::read_dir(database.folder.path()).unwrap().count(), 0);
}

/// Runs the commands of docs/backup.md while the write-ahead log still has the newest increments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_is_restored_by_the_documented_commands() {
    let folder = tempfile::tempdir().unwrap();
    let database = database_in(&folder.path().join("analytics.db"));
    let backup = folder.path().join("backup.db");
    let mut server = Server::start(&database, &NEVER);
    server.data(RECORD, json!({ "page": "/before" })).await.unwrap();
    process::succeed(&database, &["backup", backup.to_str().unwrap()]);
    server.data(RECORD, json!({ "page": "/after" })).await.unwrap();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(fs::metadata(folder.path().join("analytics.db-wal")).unwrap().len() > 0);

    let page = include_str!("../../docs/backup.md");
    let (_, restoring) = page.split_once("### Restoring").unwrap();
    let commands = restoring.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let restored = Command::new("sh").args(["-euc", commands]).current_dir(folder.path()).status().unwrap();
    assert!(restored.success());
    assert_eq!(mode(&folder.path().join("analytics.db")), 0o600);

    let server = Server::start(&database, &NEVER);
    server.data(RECORD, json!({ "page": "/restored" })).await.unwrap();
    drop(server);
    assert_eq!(verified_pages(&database).await, 2);
    let connection = database.connect().await;
    let pages: Vec<_> = counts(&connection).await.into_keys().map(|(page, ..)| page).collect();
    assert_eq!(pages, ["/before", "/restored"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_sqlite_database_is_readable_by_its_owner_only() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &NEVER);
    server.data(RECORD, json!({ "page": "/a" })).await.unwrap();
    let file = file_of(&database);
    for file in [file.clone(), beside(&file, "-wal"), beside(&file, "-shm")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// A server with acknowledged views in its write-ahead log, whose standard error is piped, and a backup without these
/// views.
async fn server_and_backup() -> (TestDatabase, Server, PathBuf) {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let mut command = process::analytics(&database, &["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
    command.args(NEVER).stderr(Stdio::piped());
    let server = Server::of(command);
    server.data(RECORD, json!({ "page": "/old" })).await.unwrap();
    let backup = database.folder.path().join("backup.db");
    process::succeed(&database, &["backup", backup.to_str().unwrap()]);
    for number in 0..50 {
        server.data(RECORD, json!({ "page": format!("/lost/{number}") })).await.unwrap();
    }
    assert!(fs::metadata(beside(&file_of(&database), "-wal")).unwrap().len() > 0);
    (database, server, backup)
}

/// Waits until the process has ended with an error that contains `reason`.
fn expect_exit(mut server: Server, reason: &str) {
    let mut stderr = String::new();
    std::io::Read::read_to_string(server.child.stderr.as_mut().unwrap(), &mut stderr).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(1), "{stderr}");
    assert!(stderr.contains(reason), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_stops_before_its_old_wal_gets_into_a_replaced_sqlite_file() {
    let (database, server, backup) = server_and_backup().await;
    let file = file_of(&database);
    let old = database.folder.path().join("old.db");
    // A second name keeps the old file readable.
    fs::hard_link(&file, &old).unwrap();
    fs::rename(&backup, &file).unwrap();
    let late = server.data(RECORD, json!({ "page": "/late" })).await;
    assert!(late.is_err(), "an increment that would be lost is not acknowledged: {late:?}");
    expect_exit(server, "was replaced by another file while it was in use");

    let server = Server::start(&database, &NEVER);
    server.data(RECORD, json!({ "page": "/new" })).await.unwrap();
    drop(server);
    assert_eq!(verified_pages(&database).await, 2, "/old and /new");
    let lost = verified_pages(&database_in(&old)).await;
    assert!((51..=52).contains(&lost), "all that was acknowledged is in the old file: {lost}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_stops_when_its_sqlite_file_or_its_wal_is_removed() {
    let (database, server, _) = server_and_backup().await;
    let (file, moved) = (file_of(&database), database.folder.path().join("moved.db"));
    fs::rename(&file, &moved).unwrap();
    expect_exit(server, "was removed or renamed while it was in use");
    assert!(!file.exists(), "no new one is made");
    assert_eq!(verified_pages(&database_in(&moved)).await, 51);

    let (database, server, _) = server_and_backup().await;
    fs::remove_file(beside(&file_of(&database), "-wal")).unwrap();
    expect_exit(server, "test.db-wal was removed or renamed while it was in use");
    assert_eq!(verified_pages(&database).await, 51, "the increments of the write-ahead log are in the file");
}

/// An idle server keeps its file open: when it stops, SQLite removes the write-ahead log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_server_leaves_one_sqlite_file() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let mut server = Server::start(&database, &NEVER);
    server.data(RECORD, json!({ "page": "/a" })).await.unwrap();
    eventually("the server to be ready", async || {
        server.client.get(server.url("/health/ready")).send().await.unwrap().status() == 200
    })
    .await;
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let left: Vec<_> = fs::read_dir(database.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["test.db"]);
}
