//! Databases that can't be used: refused before anything is changed, with an error that says what to do.

use migration::Obstacle;
use sea_orm::ConnectionTrait;
use sqlx::Executor;

use crate::{
    app::{Rung, TestDatabase},
    cluster, migrations,
    process::{self, Server},
};
use serde_json::json;

/// The parameter that docs/postgresql.md and the refusal name.
const OWN_SCHEMA: &str = "?options=-csearch_path%3Danalytics";
const COMMANDS: [&[&str]; 5] = [
    &["serve", "--listen", "127.0.0.1:0"],
    &["serve", "--listen", "127.0.0.1:0", "--migrate"],
    &["refresh"],
    &["migrate"],
    &["verify"],
];

/// Each command ends with 2 and all of `words`.
fn is_refused(database: &TestDatabase, words: &[&str]) {
    for arguments in COMMANDS {
        let output = process::run(database, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{arguments:?}: {stderr}");
        }
    }
}

fn with_parameter(database: TestDatabase, parameter: &str) -> TestDatabase {
    TestDatabase { url: format!("{}{parameter}", database.url), ..database }
}

async fn execute(database: &TestDatabase, sql: &str) {
    cluster::connect(&database.url).await.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
}

#[tokio::test]
async fn postgres_database_with_another_encoding_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = TestDatabase::create(Rung::MaterializedView).await;
        let (_, name) = database.url.rsplit_once('/').unwrap();
        let other = format!("{name}_{}", encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {other} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        execute(&database, &create).await;
        let database = TestDatabase { url: database.url.replace(name, &other), ..database };
        is_refused(&database, &[&format!("encoding {encoding}"), "ENCODING 'UTF8'"]);
        assert_eq!(migrations::relations(&database).await, [""; 0]);
    }
}

/// Another application's relations stand in the way, until there is a schema of our own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_schema_of_another_application_is_refused_and_a_schema_of_its_own_works() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    for (theirs, named) in [
        ("CREATE TABLE pages (id int)", "public.pages"),
        ("CREATE VIEW page_views_live AS SELECT 1", "public.page_views_live"),
        ("CREATE DOMAIN stale_hours AS int", "public.stale_hours"),
        (
            "CREATE TABLE seaql_migrations (version text, applied_at int8); INSERT INTO seaql_migrations VALUES ('m1', 1)",
            "public.seaql_migrations",
        ),
    ] {
        execute(&database, theirs).await;
        is_refused(&database, &[named, "of another application", "CREATE SCHEMA analytics", &OWN_SCHEMA[1..]]);
    }
    let before = migrations::relations(&database).await;

    let ours = with_parameter(database, OWN_SCHEMA);
    is_refused(&ours, &["search_path", "CREATE SCHEMA analytics"]);
    execute(&ours, "CREATE SCHEMA analytics").await;
    process::succeed(&ours, &["migrate", "--roles", "--role-prefix", "own_schema"]);
    for service in ["wolf", "increments", "reports"] {
        let login = TestDatabase {
            url: ours.url.replace("postgres@", &format!("own_schema_{service}@")),
            rung: ours.rung,
            folder: tempfile::tempdir().unwrap(),
        };
        let server = Server::start(&login, &["--services", service]);
        let ready = server.client.get(server.url("/health/ready")).send().await.unwrap();
        assert_eq!(ready.status(), 200, "{service}");
    }
    let server = Server::start(&ours, &["--refresh-cron", "0 0 0 1 1 *"]);
    let record = "mutation { recordPageViews(input: { increments: [{ page: \"/a\", views: 3 }] }) { views } }";
    server.data(record, json!({})).await.unwrap();
    process::succeed(&ours, &["refresh"]);
    for kind in ["table", "materialized-view"] {
        process::succeed(&ours, &["rebuild", "--as", kind]);
    }
    process::succeed(&ours, &["verify"]);
    let report = "SELECT views FROM analytics.page_views_report WHERE grain = 'month' AND name = '/a'";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(report).fetch_one(&mut cluster::connect(&ours.url).await).await.unwrap(),
        3
    );
    assert_eq!(migrations::relations(&ours).await, before, "nothing has come into the other application's schema");
}

#[tokio::test]
async fn sqlite_file_of_another_application_is_refused() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let file = database.url.trim_start_matches("sqlite://");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut theirs = sqlx::ConnectOptions::connect(&options).await.unwrap();
    theirs.execute("CREATE TABLE pages (id integer)").await.unwrap();
    sqlx::Connection::close(theirs).await.unwrap();
    is_refused(&database, &["has pages of another application", "a file of its own"]);
    assert_eq!(migrations::relations(&database).await, ["table pages"]);
}

/// Every relation that a migration creates is in the list of relations that are checked for conflicts.
async fn every_relation_of_the_schema_is_checked_for_conflicts(rung: Rung) {
    let migrated = TestDatabase::create(rung).await;
    migrated.migrate().await.close().await.unwrap();
    let empty = TestDatabase::create(rung).await;
    let database = empty.connect().await;
    for relation in migrations::relations(&migrated).await {
        let (_, name) = relation.split_once(' ').unwrap();
        if name.starts_with("seaql_migrations") || name.ends_with("_pkey") {
            continue;
        }
        database.background.execute_unprepared(&format!("CREATE TABLE {name} (id int)")).await.unwrap();
        let checked = migration::check(&database.readers).await.unwrap();
        let is_found = matches!(&checked, Err(Obstacle::Occupied { relations, .. }) if relations == &[name]);
        assert!(is_found, "{name} is missing in RELATIONS: {checked:?}");
        database.background.execute_unprepared(&format!("DROP TABLE {name}")).await.unwrap();
    }
}

#[tokio::test]
async fn every_relation_of_the_schema_is_checked_for_conflicts_on_sqlite() {
    every_relation_of_the_schema_is_checked_for_conflicts(Rung::Sqlite).await;
}

#[tokio::test]
async fn every_relation_of_the_schema_is_checked_for_conflicts_on_postgres() {
    every_relation_of_the_schema_is_checked_for_conflicts(Rung::MaterializedView).await;
}
