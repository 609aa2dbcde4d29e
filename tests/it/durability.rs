//! An acknowledged commit is on the disk, whatever `synchronous_commit` the database, the login or the connection sets.

use std::{fs::OpenOptions, io::Write, path::Path};

use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};

use crate::{
    app::{Rung, TestDatabase, counts},
    cluster::{self, Cluster},
    process::Server,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { duplicate } }";

/// Configures a server that flushes asynchronous commits once in ten seconds.
fn write_wal_rarely(data: &Path) {
    let mut settings = OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
    writeln!(settings, "wal_writer_delay = 10s\nautovacuum = off").unwrap();
}

/// Records a view of a page under a key of the same name; returns whether the key had been counted.
async fn record(server: &Server, page: &str) -> bool {
    let input = json!({ "input": { "increments": [{ "page": page }], "idempotencyKey": page } });
    server.data(RECORD, input).await.unwrap()["recordPageViews"]["duplicate"].as_bool().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_a_crash_where_synchronous_commit_is_off() {
    const PAGES: [&str; 3] = ["/a", "/b", "/c"];
    let mut cluster = Cluster::start_with(write_wal_rarely);
    let mut database = TestDatabase::create_in(&cluster).await;
    database.migrate().await.close().await.unwrap();
    let name = database.url.rsplit_once('/').unwrap().1.to_owned();
    let mut admin = cluster::connect(&database.url).await;
    for sql in [
        format!("ALTER DATABASE {name} SET synchronous_commit = off"),
        "ALTER ROLE postgres SET synchronous_commit = off".to_owned(),
        // The settings and the tables are on the disk; commits from now on need not be.
        "CHECKPOINT".to_owned(),
    ] {
        admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    database.url.push_str("?options=-csynchronous_commit%3Doff");
    let server = Server::start(&database, &["--services", "increments"]);
    for page in PAGES {
        assert!(!record(&server, page).await, "{page} is new");
    }
    cluster.stop_immediately();
    drop(server);
    cluster.start_again();
    let mut admin = cluster::connect(&database.url).await;
    let marks: i64 = sqlx::query_scalar("SELECT count(*) FROM stale_hours").fetch_one(&mut admin).await.unwrap();
    assert!(marks > 0, "the hours of the increments are marked stale");
    let connection = database.connect().await;
    assert_eq!(counts(&connection).await.into_keys().map(|(page, ..)| page).collect::<Vec<_>>(), PAGES);
    let server = Server::start(&database, &["--services", "increments"]);
    for page in PAGES {
        assert!(record(&server, page).await, "the key of {page} is known");
    }
    assert_eq!(counts(&connection).await.into_values().sum::<i64>(), 3, "and counts once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorder_raises_synchronous_commit_and_never_lowers_it() {
    let database = TestDatabase::create(Rung::Table).await;
    database.migrate().await.close().await.unwrap();
    let mut admin = cluster::connect(&database.url).await;
    let noting = "
        CREATE TABLE noted (setting text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO noted VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON stale_hours EXECUTE FUNCTION note();";
    admin.execute(noting).await.unwrap();
    for (set, expected) in
        [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
    {
        let url = format!("{}?options=-csynchronous_commit%3D{set}", database.url);
        let database = TestDatabase { url, rung: Rung::Table, folder: tempfile::tempdir().unwrap() };
        let server = Server::start(&database, &["--services", "increments"]);
        server.data(RECORD, input()).await.unwrap();
        // On the pooled connection, too.
        server.data(RECORD, input()).await.unwrap();
        assert_eq!(noted(&mut admin).await, [expected, expected], "where {set} was set");
    }
}

fn input() -> Value {
    json!({ "input": { "increments": [{ "page": "/a" }] } })
}

/// Returns the noted settings, and deletes them.
async fn noted(admin: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("DELETE FROM noted RETURNING setting").fetch_all(admin).await.unwrap()
}
