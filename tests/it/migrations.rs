//! Migrations up, down and up again, and by concurrent processes.

use sea_orm::{ConnectionTrait, QueryResult, Statement};
use storage::Connections;

use crate::{
    app::{Rung, TestDatabase},
    model::{self, Rows},
    on_all_databases, process,
    snapshot::assert_snapshot,
};

/// Every table, view and index of ours.
pub(crate) async fn relations(database: &TestDatabase) -> Vec<String> {
    let connection = database.connect().await;
    let sql = match database.rung {
        Rung::Sqlite => "SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1",
        _ => {
            "SELECT relkind::text || ' ' || relname FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind <> 'S' ORDER BY 1"
        }
    };
    let backend = connection.readers.get_database_backend();
    let rows = connection.readers.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// Takes all migrations back, one after the other.
fn take_all_back(database: &TestDatabase) {
    while process::succeed(database, &["migrate", "down"]).contains("applied ") {}
}

async fn migrations_go_up_down_and_up_again(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    assert!(process::succeed(&database, &["migrate", "status"]).starts_with("missing "));
    assert!(process::succeed(&database, &["migrate"]).starts_with("applied "));
    let first = relations(&database).await;
    for name in ["pages", "page_views", "page_views_live", "page_views_report", "report_refreshes", "stale_hours"] {
        assert!(first.iter().any(|relation| relation.ends_with(&format!(" {name}"))), "{name} is missing: {first:?}");
    }
    take_all_back(&database);
    let left = relations(&database).await;
    assert!(left.iter().all(|relation| relation.contains("seaql_migrations")), "{left:?}");
    assert_snapshot("migrate_up", &process::succeed(&database, &["migrate", "up"]));
    assert_eq!(relations(&database).await, first);
    process::succeed(&database, &["migrate", "up"]);
    assert_eq!(relations(&database).await, first, "a second time changes nothing");
}

#[tokio::test]
async fn migrations_go_up_down_and_up_again_on_sqlite() {
    migrations_go_up_down_and_up_again(Rung::Sqlite).await;
}

#[tokio::test]
async fn migrations_go_up_down_and_up_again_on_postgres() {
    migrations_go_up_down_and_up_again(Rung::MaterializedView).await;
}

/// The report's rows as they were before days had hours.
pub(crate) async fn earlier_report_rows(db: &Connections) -> Rows {
    let sql = "SELECT grain, name, date, hour, views FROM page_views_report";
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let row = |row: &QueryResult| {
        let grain = match row.try_get_by_index::<String>(0).unwrap().as_str() {
            "hour" => "hour",
            "day" => "day",
            _ => "month",
        };
        let (name, date) = (row.try_get_by_index(1).unwrap(), row.try_get_by_index(2).unwrap());
        ((grain, name, date, row.try_get_by_index(3).unwrap()), row.try_get_by_index(4).unwrap())
    };
    rows.iter().map(row).collect()
}

on_all_databases! {
    async fn counts_and_report_survive_the_change_of_their_primary_keys(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 1), ("/b", "2026-02-01T07:00:00Z", 2)]).await;
        app.refresh().await;
        let (counts, report) = (app.counts().await, app.report_rows().await);
        let unchanged = async || assert_eq!((app.counts().await, app.report_rows().await), (counts.clone(), report.clone()));
        loop {
            let status = process::succeed(&app.test_database, &["migrate", "down"]);
            if status.contains("missing m20261124_000002_key_by_time") {
                break;
            }
            assert_eq!(app.counts().await, counts);
            let rows = match status.contains("missing m20261126_000007_days_with_hours") {
                true => earlier_report_rows(&app.database.readers).await,
                false => app.report_rows().await,
            };
            assert_eq!(rows, report);
        }
        process::succeed(&app.test_database, &["migrate", "up"]);
        unchanged().await;
        let found = wolf::verify(&app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]));
        app.record([("/a", "2026-03-01T00:00:00Z", 4)]).await;
        app.refresh().await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
        process::succeed(&app.test_database, &["verify"]);
    }
}

#[tokio::test]
async fn migrate_down_drops_a_report_that_is_a_table() {
    let database = TestDatabase::create(Rung::Table).await;
    database.migrate().await;
    take_all_back(&database);
    let left = relations(&database).await;
    assert!(left.iter().all(|relation| relation.contains("seaql_migrations")), "{left:?}");
}

#[tokio::test]
async fn new_postgres_database_has_a_materialized_view_with_its_indexes() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    process::succeed(&database, &["migrate"]);
    let relations = relations(&database).await;
    for relation in
        ["m page_views_report", "i page_views_report_key", "i page_views_report_of_site", "v page_views_live"]
    {
        assert!(relations.contains(&relation.to_owned()), "{relation} is missing: {relations:?}");
    }
}

async fn concurrent_migrations_leave_one_schema(rung: Rung) {
    const PROCESSES: usize = 8;
    let database = TestDatabase::create(rung).await;
    let migrating: Vec<_> = (0..PROCESSES)
        .map(|_| process::analytics(&database, &["migrate"]).stdout(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    for process in migrating {
        assert!(process.wait_with_output().unwrap().status.success());
    }
    let alone = TestDatabase::create(rung).await;
    process::succeed(&alone, &["migrate"]);
    assert_eq!(relations(&database).await, relations(&alone).await);
}

#[tokio::test]
async fn concurrent_migrations_leave_one_schema_on_sqlite() {
    concurrent_migrations_leave_one_schema(Rung::Sqlite).await;
}

#[tokio::test]
async fn concurrent_migrations_leave_one_schema_on_postgres() {
    concurrent_migrations_leave_one_schema(Rung::MaterializedView).await;
}

#[tokio::test]
async fn serve_without_tables_on_postgres_names_the_migrate_command() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    let output = process::run(&database, &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("run: analytics migrate"), "{stderr}");
}
