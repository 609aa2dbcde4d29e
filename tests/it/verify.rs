//! `analytics verify`, when it can't find out whether the report is right: another exit code than when it is wrong.

use std::{net::TcpListener, process::Stdio};

use sqlx::Executor;

use crate::{
    app::{Rung, TestApp, TestDatabase},
    cluster,
    exactly_once::until_blocked,
    process,
};

/// Runs `verify`, and returns how it ended, and its complaint.
fn verify(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let output = process::run(database, &[&["verify"], arguments].concat());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_not_be_reached_is_not_verified() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let database = TestDatabase::create(Rung::Table).await.at(&free.to_string());
    let (code, complaint) = verify(&database, &[]);
    assert_eq!(code, Some(3), "{complaint}");
    assert_eq!(process::run(&database, &["refresh"]).status.code(), Some(1), "of other commands it is a failure");

    let not_migrated = TestDatabase::create(Rung::Table).await;
    let (code, complaint) = verify(&not_migrated, &[]);
    assert_eq!(code, Some(2), "it is configured wrongly: {complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_locked_is_not_verified() {
    let app = TestApp::start(Rung::Table).await;
    let mut holder = cluster::connect(&app.test_database.url).await;
    holder.execute("BEGIN; LOCK TABLE page_views_report IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (code, complaint) = verify(&app.test_database, &[]);
    assert_eq!(code, Some(3), "{complaint}");
    assert!(complaint.contains("another transaction holds it"), "{complaint}");
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(verify(&app.test_database, &[]).0, Some(0));

    let app = TestApp::start(Rung::Sqlite).await;
    let mut holder = app.database.writers.get_sqlite_connection_pool().acquire().await.unwrap();
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    let (code, complaint) = verify(&app.test_database, &["--database-timeout-ms", "100"]);
    assert_eq!(code, Some(3), "{complaint}");
    assert!(complaint.contains("lock"), "{complaint}");
    holder.execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_interrupted_is_not_verified() {
    let app = TestApp::start(Rung::Table).await;
    for signal in ["INT", "TERM"] {
        let mut holder = cluster::connect(&app.test_database.url).await;
        holder.execute("BEGIN; LOCK TABLE page_views_report IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut command = process::analytics(&app.test_database, &["verify"]);
        let verifying = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        until_blocked(&app.database, 1).await;
        let sent = std::process::Command::new("kill").args(["-s", signal, &verifying.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let output = verifying.wait_with_output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{signal}: {complaint}");
        assert!(complaint.contains("interrupted"), "{complaint}");
        holder.execute("ROLLBACK").await.unwrap();
    }
}
