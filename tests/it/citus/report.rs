//! The report on a Citus cluster: nodes build and compare their own rows, and whoever is lost keeps nobody from reading it.

use sqlx::Executor;
use storage::{Purpose, snapshot::REFRESH_LOCK};
use wolf::ReportKind;

use super::*;
use crate::{cluster::connect, process};

/// Neither has more than the sums of the site pass through the coordinator, so that both work whatever the number of pages is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuild_and_verify_bring_no_rows_of_pages_to_the_coordinator() {
    const COUNTS: i64 = 5_000;
    let citus = Citus::start();
    let app = start(&citus).await;
    let at: DateTime<Utc> = "2026-03-01T05:00:00Z".parse().unwrap();
    for day in [0, 1, 40] {
        let at = at + chrono::TimeDelta::days(day);
        let increments = (0..COUNTS).map(|page| increment(&format!("/{page}"), at, 1)).collect();
        app.recorder.record(Request::new(increments, None)).await.unwrap();
    }
    // Far less than one of these days takes.
    let mut coordinator = connect(&citus.coordinator.url("postgres")).await;
    coordinator.execute("ALTER SYSTEM SET citus.max_intermediate_result_size = '64kB'").await.unwrap();
    coordinator.execute("SELECT pg_reload_conf()").await.unwrap();
    app.refresher.rebuild(Some(ReportKind::Table), &|_, _| ()).await.unwrap();
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    let verification = wolf::verify(&app.database).await.unwrap();
    assert_eq!((verification.count, verification.views), (0, 3 * COUNTS), "{verification:?}");
    for change in [
        "UPDATE page_views_report SET hour_05 = 7 WHERE grain = 'day' AND name = '/8' AND date = '2026-03-02'",
        "UPDATE page_views_report SET views = 3 WHERE grain = 'day' AND name = '' AND date = '2026-03-01'",
        "DELETE FROM page_views_report WHERE grain = 'month' AND name = '/7' AND date = '2026-04-01'",
        "INSERT INTO page_views_report (grain, name, date, views) VALUES ('page', '/never', '1970-01-01', 0)",
        "INSERT INTO page_views_report (grain, name, date, views) VALUES ('group', 'no group', '1970-01-01', 0)",
        "INSERT INTO page_views_report (grain, name, date, views) VALUES ('group_month', 'no group', '2026-03-01', 9)",
        "INSERT INTO page_views_report (grain, name, date, views) VALUES ('page', '/8', '2026-03-01', 0)",
        "UPDATE page_views_report SET title = 'A day' WHERE grain = 'day' AND name = '/6' AND date = '2026-03-01'",
        "UPDATE pages SET title = 'Nine' WHERE name = '/9'",
    ] {
        app.database.background.execute_unprepared(change).await.unwrap();
    }
    let found = wolf::verify(&app.database).await.unwrap();
    let found: Vec<_> = found.differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "day 2026-03-01 00:00 of the whole site: 5000 views expected, 3 views reported",
            "day 2026-03-01 00:00 of /6: no row expected, 1 views reported",
            "group 1970-01-01 00:00 of no group: no row expected, 0 views reported",
            "group_month 2026-03-01 00:00 of no group: no row expected, 9 views reported",
            "hour 2026-03-02 05:00 of /8: 1 views expected, 7 views reported",
            "month 2026-04-01 00:00 of /7: 1 views expected, no row reported",
            "page 1970-01-01 00:00 of /9: title Some(\"Nine\") expected, None reported",
            "page 1970-01-01 00:00 of /never: no row expected, 0 views reported",
            "page 2026-03-01 00:00 of /8: no row expected, 0 views reported",
        ]
    );
}

/// A Wolf that is lost between the beginning and the end of a publication stops no reader for good, unless a node has not
/// committed yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_is_read_though_the_wolf_that_published_it_is_lost() {
    const BEGIN: &str = "UPDATE report_publication SET number = number + 1, is_under_way = true";
    let citus = Citus::start();
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    app.recorder.record(request(at)).await.unwrap();
    app.refresh().await;
    app.database.background.execute_unprepared(BEGIN).await.unwrap();
    // While who publishes holds the lock, its change may come at any moment.
    let lock = format!("SELECT pg_advisory_xact_lock({REFRESH_LOCK})");
    let held = app.database.background.begin(Purpose::Change).await.unwrap();
    held.execute_unprepared(&lock).await.unwrap();
    assert_eq!(reported(&app).await, None);
    held.rollback().await.unwrap();
    // So it may on a node that has prepared it. (What has the number of another group is not recovered.)
    let (_, database) = app.test_database.url.rsplit_once('/').unwrap();
    let mut worker = connect(&citus.workers[0].url(database)).await;
    worker.execute("BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'citus_77_1_2_3'").await.unwrap();
    assert_eq!(reported(&app).await, None);
    worker.execute("ROLLBACK PREPARED 'citus_77_1_2_3'").await.unwrap();
    assert_eq!(reported(&app).await, Some(PAGES));
    app.recorder.record(request(at)).await.unwrap();
    app.refresh().await;
    assert_eq!(reported(&app).await, Some(2 * PAGES));
}

/// The Wolf's login merges hours that were marked before the tables were distributed; and an older program works with the cluster
/// again once the migrations are taken back that it does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_is_taken_over_from_a_plain_server_and_given_back() {
    let citus = Citus::start();
    let app = start(&citus).await;
    app.recorder.record(request("2026-03-01T05:00:00Z".parse().unwrap())).await.unwrap();
    let db = &app.database.background;
    db.execute_unprepared("DELETE FROM stale_pages").await.unwrap();
    db.execute_unprepared("INSERT INTO stale_hours (date, hour) VALUES ('2026-03-01', 5)").await.unwrap();
    process::succeed(&app.test_database, &["migrate", "--roles", "--role-prefix", "taken_over"]);
    let url = app.test_database.url.replace("postgres@", "taken_over_wolf@");
    let wolf = TestDatabase { url, rung: Rung::Table, folder: TempDir::new().unwrap() };
    process::succeed(&wolf, &["refresh"]);
    assert_eq!(reported(&app).await, Some(PAGES));
    let oldest_allowed = async || {
        let sql = "SELECT oldest_allowed FROM program_versions";
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
        row.try_get_by_index::<String>(0).unwrap()
    };
    assert_eq!(oldest_allowed().await, "m20261128_000015_counted_parts");
    let undone = process::succeed(&app.test_database, &["migrate", "down"]);
    assert!(undone.contains("m20261128_000015_counted_parts"), "{undone}");
    assert_eq!(oldest_allowed().await, "m20261127_000011_groups");
}
