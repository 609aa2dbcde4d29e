//! Rebuild, verify, conversion, pruning, and several Wolves at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::TimeDelta;
use entity::{idempotency_key, page_view, report_refresh};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, PaginatorTrait};
use serde_json::json;
use sqlx::Executor;
use storage::{Database, clock};
use tokio::task::JoinSet;
use wolf::{LockMode, Maintenance, Outcome, Refresher, ReportKind};

use crate::{
    app::{Rung, TestApp, TestDatabase, counts, report_rows},
    cluster, model, on_all_databases,
    process::{self, Server},
    snapshot::assert_snapshot,
    wait::{eventually, wait_for},
};

const TOTALS: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";

on_all_databases! {
    async fn verify_lists_differences_and_rebuild_repairs_them(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 1), ("/b", "2026-04-01T00:00:00Z", 2)]).await;
        app.refresh().await;
        let good = process::succeed(&app.test_database, &["verify"]);
        assert!(good.contains("is what its definition says"), "{good}");
        // Increments after the last refresh are no difference.
        app.record([("/a", "2026-03-01T00:00:00Z", 5), ("/c", "2026-05-01T00:00:00Z", 5)]).await;
        process::succeed(&app.test_database, &["verify"]);

        // The counts change without a mark.
        app.database.background.execute_unprepared("UPDATE page_views SET views = 7 WHERE name = '/b'").await.unwrap();
        let output = process::run(&app.test_database, &["verify"]);
        assert_eq!(output.status.code(), Some(1));
        assert_snapshot("verify", &String::from_utf8(output.stdout).unwrap());
        assert!(String::from_utf8_lossy(&output.stderr).contains("6 report rows differ"));

        let rebuilt = process::succeed(&app.test_database, &["rebuild"]);
        assert!(rebuilt.starts_with("rebuilt "), "{rebuilt}");
        process::succeed(&app.test_database, &["verify"]);
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
        app.record([("/a", "2026-03-01T00:00:00Z", 5)]).await;
        app.refresh().await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await), "refreshes continue from the rebuilt report");
    }

    async fn verify_escapes_bidirectional_controls_in_names(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        // A name from before such names were refused.
        let insert = "INSERT INTO page_views (name, date, hour, views, updated_at)
                      SELECT '/\u{202e}a', date, hour, views, updated_at FROM page_views";
        for sql in [insert, "DELETE FROM page_views WHERE name = '/a'"] {
            app.database.background.execute_unprepared(sql).await.unwrap();
        }
        let output = process::run(&app.test_database, &["verify"]);
        assert_eq!(output.status.code(), Some(1));
        let list = String::from_utf8(output.stdout).unwrap();
        assert!(list.contains("hour 2026-03-01 00:00 of /\\u{202e}a: 1 views expected, no row reported"), "{list}");
        assert!(!list.contains('\u{202e}'), "{list}");
    }

    async fn old_keys_and_old_refresh_records_are_pruned(app: TestApp) {
        let now = clock::process_now();
        const HOUR_MS: i64 = 3_600_000;
        for (key, claimed_hours, kept) in [("old", 0, false), ("new", 2, false), ("import:old", 0, true)] {
            let row = idempotency_key::ActiveModel {
                key: Set(key.to_owned()),
                client: Set("shop".to_owned()),
                fingerprint: Set(vec![0; 32]),
                recorded_at: Set(now),
                kept: Set(kept),
                claimed_ms: Set(claimed_hours * HOUR_MS),
            };
            idempotency_key::Entity::insert(row).exec(&app.database.writers).await.unwrap();
        }
        // The announcement that came after the old key was 25 hours ago.
        let passed = format!("UPDATE refresh_clock SET elapsed_ms = {}", 26 * HOUR_MS);
        app.database.background.execute_unprepared(&passed).await.unwrap();
        for (as_of, days) in [(Some(now), 30), (None, 30), (None, 1)] {
            let started_at = Set(now - TimeDelta::days(days));
            let row = report_refresh::ActiveModel {
                as_of: Set(as_of),
                started_at,
                content_version: Set(0),
                elapsed_ms: Set(Some(HOUR_MS)),
                ..Default::default()
            };
            row.insert(&app.database.background).await.unwrap();
        }
        Maintenance::new(&app.database, None).run().await.unwrap();
        let keys = idempotency_key::Entity::find().all(&app.database.readers).await.unwrap();
        let keys: std::collections::BTreeSet<_> = keys.iter().map(|key| key.key.as_str()).collect();
        assert_eq!(keys, ["import:old", "new"].into());
        let history = async || report_refresh::Entity::find().count(&app.database.readers).await.unwrap();
        assert_eq!(history().await, 3, "the newest success stays, however old it is, and what came after it");
        app.refresh().await;
        Maintenance::new(&app.database, None).run().await.unwrap();
        assert_eq!(history().await, 2);
    }

    async fn old_hours_are_dropped_and_their_daily_sums_stay(app: TestApp) {
        let now = clock::process_now();
        let at = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
        let times: Vec<_> = (0..24 * 20).map(at).collect();
        app.record(times.iter().flat_map(|at| [("/a", at.as_str(), 1), ("/b", at.as_str(), 2)])).await;
        app.refresh().await;
        let everything = app.data(TOTALS, json!({})).await;
        let maintenance = Maintenance::new(&app.database, Some(24 * 5));
        maintenance.run().await.unwrap();
        app.refresh().await;
        let hours = page_view::Entity::find().count(&app.database.readers).await.unwrap();
        assert!((24 * 5 * 2..24 * 6 * 2 + 2).contains(&hours), "{hours} hourly rows are left");
        assert_eq!(app.data(TOTALS, json!({})).await, everything);
        process::succeed(&app.test_database, &["verify"]);

        // In another zone days without hours are cut at midnight UTC, and `exact` is false.
        let query = "query ($zone: String) { report(filter: { interval: { period: LAST_30_DAYS }, timeZone: $zone }) {
            interval { exact } totals { views } series(granularity: DAY) { views } } }";
        let report = app.data(query, json!({ "zone": "America/New_York" })).await["report"].take();
        let series: i64 = report["series"].as_array().unwrap().iter().map(|point| point["views"].as_i64().unwrap()).sum();
        assert_eq!(report["interval"]["exact"], false);
        assert_eq!((report["totals"]["views"].as_i64(), series), (Some(24 * 20 * 3), 24 * 20 * 3));

        // A late view is counted; its hour is dropped again, and the sum stays.
        app.record([("/a", at(24 * 15).as_str(), 100)]).await;
        app.refresh().await;
        maintenance.run().await.unwrap();
        app.refresh().await;
        assert_eq!(app.data(TOTALS, json!({})).await["report"]["totals"]["views"], 24 * 20 * 3 + 100);
        process::succeed(&app.test_database, &["verify"]);
        process::succeed(&app.test_database, &["rebuild"]);
        assert_eq!(app.data(TOTALS, json!({})).await["report"]["totals"]["views"], 24 * 20 * 3 + 100);
    }

    async fn refresh_ends_while_titles_keep_changing(app: TestApp) {
        let app = Arc::new(app);
        let changing = Arc::new(AtomicBool::new(true));
        let mut clients = JoinSet::new();
        for client in 0..4 {
            let (app, changing) = (Arc::clone(&app), Arc::clone(&changing));
            clients.spawn(async move {
                let query = "mutation ($page: String!, $title: String) { recordPageViews(input: {
                    increments: [{ page: $page, title: $title }] }) { views } }";
                let mut number = 0;
                while changing.load(Ordering::Relaxed) {
                    number += 1;
                    app.data(query, json!({ "page": format!("/{client}"), "title": format!("({number}) Inbox") })).await;
                }
            });
        }
        for _ in 0..5 {
            wait_for("the refresh to end", app.refresh()).await;
        }
        changing.store(false, Ordering::Relaxed);
        clients.join_all().await;
        app.refresh().await;
        assert_eq!(wolf::verify(&app.database).await.unwrap().differences, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_materialized_view_is_converted_into_a_table() {
    let app = TestApp::start(Rung::MaterializedView).await;
    let refresher = app.refresher.clone().converting_views_slower_than(TimeDelta::zero());
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    let kind = async || {
        let sql = "SELECT relkind::text FROM pg_class WHERE relname = 'page_views_report'";
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        let row = app.database.readers.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index::<String>(0).unwrap()
    };
    assert_eq!(kind().await, "m");
    refresher.refresh(LockMode::Wait, None).await.unwrap();
    assert_eq!(kind().await, "r");
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// ANALYZE fails while another transaction holds the lock; the refresh is committed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_statistics_fail_no_refresh_and_are_made_after_the_next_one() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    let mut other = cluster::connect(&database.url).await;
    let name = database.url.rsplit_once('/').unwrap().1;
    let set = format!("ALTER DATABASE {name} SET lock_timeout = '50ms'");
    other.execute(sqlx::AssertSqlSafe(set)).await.unwrap();
    let connection = database.migrate().await;
    let refresher = Refresher::new(&connection);
    let analyzed = async || {
        let sql = "SELECT reltuples = 17000 FROM pg_class WHERE relname = 'pages'";
        sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut cluster::connect(&database.url).await).await.unwrap()
    };
    let fill = "ALTER TABLE pages SET (autovacuum_enabled = off);
                INSERT INTO pages SELECT '/' || page, NULL, now() FROM generate_series(1, 17000) AS page;
                INSERT INTO page_views SELECT name, '2026-03-01', 0, 1, now() FROM pages;
                INSERT INTO stale_hours (date, hour) VALUES ('2026-03-01', 0)";
    connection.background.execute_unprepared(fill).await.unwrap();
    other.execute("BEGIN; LOCK TABLE pages IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();

    let Outcome::Refreshed(done) = refresher.refresh(LockMode::Wait, None).await.unwrap() else { panic!("it waits") };
    assert!(done.rows_changed >= 50_000, "{} rows", done.rows_changed);
    let newest = report_refresh::newest(&connection.readers).await.unwrap().unwrap();
    assert_eq!((newest.id, newest.error), (done.id, None));
    assert!(!analyzed().await);

    other.execute("ROLLBACK").await.unwrap();
    refresher.refresh(LockMode::Wait, None).await.unwrap();
    assert!(analyzed().await);
}

/// A reader whose snapshot is older than the new relation must not find it empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_continue_while_the_report_is_swapped() {
    let app = Arc::new(TestApp::start(Rung::MaterializedView).await);
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    let swapping = Arc::new(AtomicBool::new(true));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (app, swapping) = (Arc::clone(&app), Arc::clone(&swapping));
        clients.spawn(async move {
            let mut last = 1;
            while swapping.load(Ordering::Relaxed) {
                app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
                let views = app.data(TOTALS, json!({})).await["report"]["totals"]["views"].as_i64().unwrap();
                assert!(views >= last, "{views} views after {last}");
                last = views;
            }
        });
    }
    for _ in 0..10 {
        for kind in [ReportKind::Table, ReportKind::MaterializedView] {
            app.refresher.ensure_kind(kind).await.unwrap();
            app.refresh().await;
            app.refresher.rebuild(None, &|_, _| {}).await.unwrap();
        }
    }
    swapping.store(false, Ordering::Relaxed);
    clients.join_all().await;
    app.refresh().await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_wolf_loses_nothing_and_another_one_continues() {
    let database = TestDatabase::create(Rung::Table).await;
    let connection = database.migrate().await;
    let survivor = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    let record = async |page: &str, hours: std::ops::Range<i64>| {
        let now = clock::process_now();
        let at = |hours| (now - TimeDelta::hours(hours)).to_rfc3339();
        let increments: Vec<_> = hours.map(|hours| json!({ "page": page, "at": at(hours) })).collect();
        let query = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
        let recorded = survivor.data(query, json!({ "input": { "increments": increments } })).await.unwrap();
        recorded["recordPageViews"]["recordedAt"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    for round in 0..4 {
        let mut victim = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
        // A backlog of many transactions, so that the Wolf is killed during a refresh.
        let mut recorded_at = clock::process_now();
        for page in 0..20 {
            recorded_at = record(&format!("/{round}/{page}"), 0..2_000).await;
        }
        victim.child.kill().unwrap();
        victim.child.wait().unwrap();
        eventually("the other Wolf to go on", async || {
            let freshness = survivor.data("{ freshness { asOf } }", json!({})).await.unwrap();
            let as_of =
                freshness["freshness"]["asOf"].as_str().map(|as_of| as_of.parse::<chrono::DateTime<_>>().unwrap());
            as_of >= Some(recorded_at)
        })
        .await;
    }
    // Beside a Wolf that serves, a refresh by hand waits its turn.
    assert!(process::succeed(&database, &["refresh"]).starts_with("refreshed "));
    assert_eq!(report_rows(&connection).await, model::report(&counts(&connection).await));
    process::succeed(&database, &["verify"]);
}

/// How often a relation was scanned as a whole, and how many rows were read by index.
async fn reads(connection: &Database, table: &str) -> (i64, i64) {
    let sql = format!("SELECT seq_scan, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = '{table}'");
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = connection.readers.query_one_raw(statement).await.unwrap().unwrap();
    (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap())
}

/// A merge reads the stale hours and the rows that it changes, by index, however large the tables are, and whether the
/// planner has statistics or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_reads_only_stale_hours_by_index() {
    const PAGES: i64 = 200;
    const FLAGGED_MAX: i64 = 401;
    let app = TestApp::start(Rung::Table).await;
    let fill = format!(
        "INSERT INTO pages SELECT '/' || page, NULL, now() FROM generate_series(1, {PAGES}) AS page;
         ALTER TABLE pages SET (autovacuum_enabled = off);
         ALTER TABLE page_views SET (autovacuum_enabled = off);
         ALTER TABLE page_views_report SET (autovacuum_enabled = off);
         INSERT INTO page_views
         SELECT '/' || page, date '2026-01-01' + hours / 24, hours % 24, 1, now()
         FROM generate_series(0, 999) AS hours, generate_series(1, {PAGES}) AS page;
         INSERT INTO stale_hours (date, hour) SELECT DISTINCT date, hour FROM page_views;"
    );
    app.database.background.execute_unprepared(&fill).await.unwrap();
    app.refresh().await;
    // Few pages that are far apart in the order of names, and all. Beside the day's rows the report's that change may
    // be read, of day and month and as many of the site, once to find them and once to change them, or two buckets; the
    // site's rows once more, to read and to write what they tell; and of each bucket the flagged rows, with versions that
    // no vacuum has removed.
    let (ends, all) = (["/1", "/99"].map(str::to_owned).to_vec(), (1..=PAGES).map(|page| format!("/{page}")).collect());
    for (analyzed, pages) in [(false, &ends), (false, &all), (true, &ends), (true, &all)] {
        let changed = i64::try_from(pages.len()).unwrap();
        if analyzed {
            cluster::connect(&app.test_database.url).await.execute("VACUUM ANALYZE").await.unwrap();
        }
        let change = format!(
            "UPDATE page_views SET views = views + 1 WHERE date = '2026-02-01' AND hour = 3
                 AND name IN ('{}');
             INSERT INTO stale_hours (date, hour) VALUES ('2026-02-01', 3)",
            pages.join("', '")
        );
        app.database.background.execute_unprepared(&change).await.unwrap();
        // Connections report their reads when they end.
        let before = app.test_database.connect().await;
        let (counts, report) = (reads(&before, "page_views").await, reads(&before, "page_views_report").await);
        before.close().await.unwrap();
        let wolf = app.test_database.connect().await;
        let refreshed = Refresher::new(&wolf).refresh(LockMode::Wait, None).await.unwrap();
        assert!(matches!(refreshed, Outcome::Refreshed(done) if done.rows_changed == 2 * changed + 2));
        wolf.close().await.unwrap();
        eventually("the reads to be in the statistics", async || reads(&app.database, "page_views").await != counts)
            .await;
        let context = format!("{changed} changes, analyzed: {analyzed}");
        let (scans, rows) = reads(&app.database, "page_views").await;
        assert_eq!(scans - counts.0, 0, "{context}");
        // Some are counted first, to find out whether reading the day or looking rows up costs less.
        assert!((PAGES..=PAGES + PAGES.div_euclid(8)).contains(&(rows - counts.1)), "{context}");
        let (scans, rows) = reads(&app.database, "page_views_report").await;
        assert_eq!(scans - report.0, 0, "{context}");
        let (least, most) = (PAGES + 2 * changed, PAGES + 2 * (2 * changed + 2) + 3 * 2 + 2 * 2 * FLAGGED_MAX);
        assert!((least..=most).contains(&(rows - report.1)), "{} report rows; {context}", rows - report.1);
    }
}

#[tokio::test]
async fn distribute_without_citus_changes_nothing() {
    let app = TestApp::start(Rung::MaterializedView).await;
    wolf::distribute(&app.database).await.unwrap();
    assert!(!app.refresher.ensure_kind(ReportKind::MaterializedView).await.unwrap(), "the report is what it was");
}
