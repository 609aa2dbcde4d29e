//! `analytics verify` where it can't verify the report: another exit code than for differences.

use std::{net::TcpListener, process::Stdio};

use sqlx::Executor;

use crate::{
    app::{Rung, TestApp, TestDatabase},
    cluster,
    exactly_once::until_blocked,
    process,
};

/// Runs `verify`, and returns its exit code and standard error.
fn verify(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let output = process::run(database, &[&["verify"], arguments].concat());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_of_an_unreachable_database_exits_with_3() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let database = TestDatabase::create(Rung::Table).await.at(&free.to_string());
    let (code, stderr) = verify(&database, &[]);
    assert_eq!(code, Some(3), "{stderr}");
    assert_eq!(process::run(&database, &["refresh"]).status.code(), Some(1), "of other commands it is a failure");

    let not_migrated = TestDatabase::create(Rung::Table).await;
    let (code, stderr) = verify(&not_migrated, &[]);
    assert_eq!(code, Some(2), "a configuration error: {stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_of_a_locked_report_exits_with_3() {
    let app = TestApp::start(Rung::Table).await;
    let mut holder = cluster::connect(&app.test_database.url).await;
    holder.execute("BEGIN; LOCK TABLE page_views_report IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (code, stderr) = verify(&app.test_database, &[]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("another transaction holds it"), "{stderr}");
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(verify(&app.test_database, &[]).0, Some(0));

    let app = TestApp::start(Rung::Sqlite).await;
    let mut holder = app.database.writers.get_sqlite_connection_pool().acquire().await.unwrap();
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    let (code, stderr) = verify(&app.test_database, &["--database-timeout-ms", "100"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("lock"), "{stderr}");
    holder.execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_verify_exits_with_3() {
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
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{signal}: {stderr}");
        assert!(stderr.contains("interrupted"), "{stderr}");
        holder.execute("ROLLBACK").await.unwrap();
    }
}
