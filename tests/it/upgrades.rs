//! Databases of an older program are migrated with their data, and work. And a program whose
//! database a newer one has migrated.

use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use sqlx::Executor;
use storage::Database;

use crate::{
    app::{self, Rung, TestApp, TestDatabase},
    cluster, migrations,
    process::{self, Server},
    wait::eventually,
};

/// The last migration that the older program had.
const LAST_OLD: &str = "m20261124_000002_key_by_time";
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ed8c838");
/// The counted views: those in the report of a table, and all.
const VIEWS: (i64, i64) = (112, 216);
/// The requests that the older program had recorded, by their keys.
pub(crate) const RECORDED: [(&str, &str); 3] = [
    (
        "first",
        r#"[{"page": "/", "title": "Start", "views": 40}, {"page": "/docs", "title": "Documents – everything", "views": 7},
            {"page": "/straße/%20\"quoted\"", "title": "Größe", "views": 5}]"#,
    ),
    ("second", r#"[{"page": "/", "title": "Home", "views": 2}, {"page": "/late", "views": 3}]"#),
    ("pending", r#"[{"page": "/", "title": "Home again", "views": 100}, {"page": "/new", "views": 1}]"#),
];
/// The older program's relations and their columns.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("pages", &["name", "title", "first_seen_at"]),
    ("page_views", &["date", "hour", "name", "views", "updated_at"]),
    ("kept_days", &["name", "date", "views"]),
    ("stale_hours", &["id", "date", "hour"]),
    ("stale_titles", &["id", "name"]),
    ("idempotency_keys", &["key", "fingerprint", "recorded_at", "kept"]),
    (
        "report_refreshes",
        &[
            "id",
            "as_of",
            "started_at",
            "finished_at",
            "next_refresh_at",
            "overdue_at",
            "hours_since",
            "content_version",
            "hours",
            "rows_changed",
            "error",
        ],
    ),
];

/// The older program's database.
pub(crate) async fn restore(rung: Rung) -> TestDatabase {
    let database = TestDatabase::create(rung).await;
    let file = |name: &str| format!("{FOLDER}/{name}");
    let dump = match rung {
        Rung::Sqlite => {
            let mut bytes = Vec::new();
            let packed = std::fs::File::open(file("sqlite.db.gz")).unwrap();
            GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
            std::fs::write(database.url.trim_start_matches("sqlite://"), bytes).unwrap();
            return database;
        }
        Rung::MaterializedView => file("postgres-materialized-view.sql"),
        Rung::Table => file("postgres-table.sql"),
    };
    let dump = std::fs::read_to_string(dump).unwrap();
    // A connection of its own, because the dump changes its settings.
    cluster::connect(&database.url).await.execute(sqlx::AssertSqlSafe(dump)).await.unwrap();
    database
}

/// All rows of the older program's relations, as text.
async fn data(database: &TestDatabase) -> BTreeMap<&'static str, Vec<String>> {
    let connection = database.connect().await;
    let mut data = BTreeMap::new();
    for (relation, columns) in COLUMNS {
        let row = match database.rung {
            Rung::Sqlite => {
                columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join(" || ', ' || ")
            }
            _ => format!("row({})::text", columns.join(", ")),
        };
        let sql = format!("SELECT {row} FROM {relation} ORDER BY 1");
        let rows =
            connection.readers.query_all_raw(Statement::from_string(connection.kind.backend(), sql)).await.unwrap();
        data.insert(relation, rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect());
    }
    data.insert("page_views_report", report_data(&connection).await);
    connection.close().await.unwrap();
    data
}

/// The sums and titles of the report, of the older program or of this one, as text.
async fn report_data(connection: &Database) -> Vec<String> {
    let is_older = connection.readers.execute_unprepared("SELECT hour FROM page_views_report LIMIT 1").await.is_ok();
    let (rows, titles) = if is_older {
        let rows = migrations::earlier_report_rows(&connection.readers).await;
        (rows, "SELECT name, max(title) FROM page_views_report WHERE grain = 'month' AND name <> '' GROUP BY name")
    } else {
        (app::report_rows(connection).await, "SELECT name, title FROM page_views_report WHERE grain = 'page'")
    };
    let statement = Statement::from_string(connection.kind.backend(), titles);
    let mut data: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
    for row in connection.readers.query_all_raw(statement).await.unwrap() {
        let (name, title): (String, Option<String>) =
            (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        data.push(format!("{name} {title:?}"));
    }
    data.sort();
    data
}

async fn views(app: &TestApp) -> i64 {
    let query = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
    app.data(query, json!({})).await["report"]["totals"]["views"].as_i64().unwrap()
}

/// Checks that a request under a key of the older program is a duplicate, and so is a log that it has imported.
async fn nothing_counts_twice(app: &TestApp) {
    let mutation = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { duplicate } }";
    for (key, increments) in RECORDED {
        let increments: Value = serde_json::from_str(increments).unwrap();
        let input = json!({ "increments": increments, "idempotencyKey": key });
        let answer = app.data(mutation, json!({ "input": input })).await;
        assert_eq!(answer["recordPageViews"]["duplicate"], true, "{key}");
    }
    let log = format!("{FOLDER}/access.log");
    process::succeed(&app.test_database, &["import", "--include-bots", &log]);
}

/// One new migration after the other is taken back, and made again.
async fn down_and_up_again(database: &TestDatabase) {
    // A materialized view that another one replaces is computed anew, with what was recorded since its refresh.
    let data = async |database: &TestDatabase| {
        let mut data = data(database).await;
        data.retain(|relation, _| database.rung != Rung::MaterializedView || *relation != "page_views_report");
        // On a cluster marks are beside the counts, and come back when that is taken back.
        data.retain(|relation, _| *relation != "stale_hours" || cluster::shared_citus().is_none());
        data
    };
    let before = data(database).await;
    loop {
        let connection = database.connect().await;
        let status = migration::status(&connection.background).await.unwrap();
        connection.close().await.unwrap();
        if status.steps.iter().rfind(|step| step.applied).unwrap().name == LAST_OLD {
            break;
        }
        process::succeed(database, &["migrate", "down"]);
        assert_eq!(data(database).await, before);
    }
    process::succeed(database, &["migrate", "up"]);
    assert_eq!(data(database).await, before);
}

async fn database_of_an_older_program_is_upgraded_with_all_its_data(rung: Rung) {
    let database = restore(rung).await;
    let before = data(&database).await;
    for (relation, rows) in &before {
        assert!(!rows.is_empty(), "the older database has no {relation}, so nothing is tested about it");
    }
    let status = process::succeed(&database, &["migrate", "up"]);
    assert!(!status.contains("missing "), "{status}");
    assert_eq!(data(&database).await, before);
    process::succeed(&database, &["verify"]);

    let app = TestApp::serve(database, |_settings| {}).await;
    // A dump of a materialized view is refreshed where it is restored.
    assert_eq!(views(&app).await, if rung == Rung::MaterializedView { VIEWS.1 } else { VIEWS.0 });
    nothing_counts_twice(&app).await;
    assert_eq!(data(&app.test_database).await, before);

    let refreshed = app.refresh().await;
    assert_eq!((refreshed.hours, app.marks().await), (2, 0), "the pending marks are refreshed");
    assert_eq!(views(&app).await, VIEWS.1);
    let found = wolf::verify(&app.database).await.unwrap();
    assert_eq!((found.differences, found.summaries), (vec![], vec![]));
    if rung != Rung::MaterializedView {
        let unflagged = "SELECT count(*) FROM page_views_report WHERE name = '' AND top_views IS NULL";
        let statement = Statement::from_string(app.database.kind.backend(), unflagged);
        let row = app.database.readers.query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0, "all days and months have flags after the refresh");
    }
    nothing_counts_twice(&app).await;

    app.record([("/a", "2016-05-17T10:00:00Z", 1), ("/", "2016-06-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    assert_eq!(views(&app).await, VIEWS.1 + 2);
    assert_eq!(wolf::verify(&app.database).await.unwrap().differences, []);
    app.refresher.rebuild(None, &|_, _| {}).await.unwrap();
    app.refresh().await;
    assert_eq!(views(&app).await, VIEWS.1 + 2, "the days whose hours were dropped are in it");

    app.record([("/a", "2016-05-17T10:00:00Z", 1)]).await;
    down_and_up_again(&app.test_database).await;
    nothing_counts_twice(&app).await;
    app.refresh().await;
    assert_eq!(views(&app).await, VIEWS.1 + 3);
    assert_eq!(wolf::verify(&app.database).await.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_of_an_older_program_is_upgraded_with_all_its_data_on_sqlite() {
    database_of_an_older_program_is_upgraded_with_all_its_data(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_of_an_older_program_is_upgraded_with_all_its_data_on_postgres_with_a_materialized_view() {
    database_of_an_older_program_is_upgraded_with_all_its_data(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_of_an_older_program_is_upgraded_with_all_its_data_on_postgres_with_a_table() {
    database_of_an_older_program_is_upgraded_with_all_its_data(Rung::Table).await;
}

/// The status and the words of `/health/ready`.
async fn ready(server: &Server) -> (u16, String) {
    let response = server.client.get(server.url("/health/ready")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A newer program migrates the database under a running one, in two steps: at first the older one is still allowed.
async fn older_program_keeps_running_while_a_newer_one_allows_it(rung: Rung) {
    const FUTURE: &str = "m29990101_000001_future";
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let execute = async |sql: &str| connection.background.execute_unprepared(sql).await.map(drop).unwrap();
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    assert_eq!(ready(&server).await.0, 200);
    // The row names the newest migration that a program must know.
    execute(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{FUTURE}', 1)")).await;
    execute(&format!("UPDATE program_versions SET oldest_allowed = '{FUTURE}'")).await;
    eventually("the process not to be ready", async || {
        ready(&server).await
            == (503, "a newer program has migrated the database, and allows none as old as this one\n".to_owned())
    })
    .await;
    execute("UPDATE program_versions SET oldest_allowed = 'm20261125_000004_program_versions'").await;
    eventually("the process to be ready", async || ready(&server).await.0 == 200).await;
    let record = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
    assert_eq!(server.data(record, json!({})).await.unwrap()["recordPageViews"]["views"], 1);

    // No new process starts.
    for arguments in
        [&["serve", "--listen", "127.0.0.1:0"][..], &["refresh"], &["verify"], &["migrate"], &["migrate", "down"]]
    {
        let output = process::run(&database, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("of a newer program") && stderr.contains(FUTURE), "{arguments:?}: {stderr}");
    }
    let status = process::succeed(&database, &["migrate", "status"]);
    assert!(status.ends_with(&format!("applied {FUTURE} (of a newer program)\n")), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_program_keeps_running_while_a_newer_one_allows_it_on_sqlite() {
    older_program_keeps_running_while_a_newer_one_allows_it(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_program_keeps_running_while_a_newer_one_allows_it_on_postgres() {
    older_program_keeps_running_while_a_newer_one_allows_it(Rung::MaterializedView).await;
}
