//! Refreshes: the report equals the recorded sums, and `as_of` is true.

use chrono::{DateTime, TimeDelta, Utc};
use entity::report_refresh;
use futures_util::future::poll_immediate;
use increments::{Recorder, Request};
use reports::freshness::{Freshness, RefreshStatus};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement, TransactionTrait};
use sqlx::Executor;
use storage::snapshot::Snapshots;
use wolf::{LockMode, Outcome, Refreshed, Refresher, ReportKind};

use crate::{
    app::{Rung, TestApp},
    cluster, exactly_once, model, on_all_databases,
};

async fn titles(app: &TestApp) -> Vec<Option<String>> {
    crate::app::titles_of(&app.database.readers).await.remove("/a").into_iter().collect()
}

on_all_databases! {
    async fn report_equals_the_sums_of_all_increments(app: TestApp) {
        app.record([("/a", "2026-02-28T23:00:00Z", 1), ("/a", "2026-03-01T00:00:00Z", 2), ("/b", "2026-03-01T00:10:00Z", 4)]).await;
        let done = app.refresh().await;
        assert_eq!(done.hours, 2);
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
        assert_eq!(done.rows_changed, 12, "of three pages' days and months and those of the site, and a row a page");
        app.record([("/a", "2026-02-28T23:30:00Z", 8)]).await;
        let done = app.refresh().await;
        assert_eq!(done.rows_changed, 4, "a day and a month of the page and of the site");
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
        assert_eq!(app.marks().await, 0);
    }

    async fn second_refresh_changes_nothing(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 2)]).await;
        let first = app.refresh().await;
        let before = app.report_rows().await;
        let second = app.refresh().await;
        assert_eq!(second.rows_changed, 0);
        assert!(second.as_of > first.as_of, "the report is fresher");
        assert!(second.id > first.id);
        assert_eq!(app.report_rows().await, before);
    }

    async fn increments_acknowledged_by_as_of_are_in_the_report(app: TestApp) {
        let recorded_at = app.record([("/a", "2026-03-01T00:00:00Z", 2)]).await;
        let done = app.refresh().await;
        assert!(done.as_of.unwrap() >= recorded_at - TimeDelta::milliseconds(1));
        crate::wait::eventually("asOf to pass recordedAt", async || app.refresh().await.as_of.unwrap() >= recorded_at).await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }

    async fn stale_hours_beyond_one_transaction_are_all_merged(app: TestApp) {
        let times: Vec<_> = (1..=28).map(|day| format!("2026-02-{day:02}T05:00:00Z")).collect();
        app.record(times.iter().map(|at| ("/a", at.as_str(), 1))).await;
        assert_eq!(app.refresh().await.hours, 28);
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }

    async fn hour_with_more_counts_than_one_merge_takes_several_transactions(app: TestApp) {
        let pages: Vec<_> = (0..40).map(|page| format!("/{page}")).collect();
        let record = async |views| {
            let hours = ["2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z", "2026-02-28T23:00:00Z"];
            app.record(hours.iter().flat_map(|at| pages.iter().map(|page| (page.as_str(), *at, views)))).await;
        };
        let few = app.refresher.clone().merging_at_most(7);
        for views in [1, 5] {
            record(views).await;
            let Outcome::Refreshed(done) = few.refresh(LockMode::Wait, None).await.unwrap() else { panic!("it waits") };
            assert_eq!(done.hours, 3);
            assert_eq!(app.report_rows().await, model::report(&app.counts().await));
            assert_eq!(app.marks().await, 0);
        }
        let newest = report_refresh::newest(&app.database.readers).await.unwrap().unwrap();
        // The nodes of a cluster merge all counts of an hour at once.
        let at_once = app.test_database.rung == Rung::MaterializedView || app.is_on_a_cluster();
        let merges = if at_once { 2 } else { 10 };
        assert!(newest.content_version >= merges, "{} transactions", newest.content_version);
    }

    async fn unnamed_pages_are_found_where_marks_name_none_or_too_many(app: TestApp) {
        const TOO_MANY: i64 = 200_001;
        app.record([("/a", "2026-03-01T05:00:00Z", 1), ("/b", "2026-03-01T05:00:00Z", 1)]).await;
        app.refresh().await;
        let numbers = match app.test_database.rung {
            Rung::Sqlite => format!(
                "(WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {TOO_MANY})
                  SELECT json_group_array('/page-with-a-long-name-so-that-there-are-many-bytes/' || number) FROM numbers)"
            ),
            _ => format!("(SELECT array_agg('/' || number) FROM generate_series(1, {TOO_MANY}) AS numbers (number))"),
        };
        for names in ["NULL", numbers.as_str()] {
            let change = format!(
                "UPDATE page_views SET views = views + 1;
                 INSERT INTO stale_hours (date, hour, names) VALUES ('2026-03-01', 5, {names})"
            );
            app.database.background.execute_unprepared(&change).await.unwrap();
            app.refresh().await;
            assert_eq!(app.report_rows().await, model::report(&app.counts().await), "{names:.20}");
        }
    }

    async fn all_named_pages_are_looked_up_though_the_first_have_not_changed(app: TestApp) {
        // So many that few of them are looked up by name.
        let pages: Vec<_> = (0..40).map(|page| format!("/{page:02}")).collect();
        app.record(pages.iter().map(|page| (page.as_str(), "2026-03-01T05:00:00Z", 1))).await;
        app.refresh().await;
        let names = if app.test_database.rung == Rung::Sqlite { "'[\"/00\", \"/01\", \"/39\"]'" } else { "ARRAY['/00', '/01', '/39']" };
        let change = format!(
            "UPDATE page_views SET views = views + 1 WHERE name = '/39';
             INSERT INTO stale_hours (date, hour, names) VALUES ('2026-03-01', 5, {names})"
        );
        app.database.background.execute_unprepared(&change).await.unwrap();
        app.refresher.clone().merging_at_most(2).refresh(LockMode::Wait, None).await.unwrap();
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
        assert_eq!(app.marks().await, 0);
    }

    async fn pages_beyond_one_statement_are_all_merged(app: TestApp) {
        let pages: Vec<_> = (0..5_000).map(|page| format!("/{page}")).collect();
        // Every other page exists when all are recorded.
        for step in [2, 1, 1] {
            app.record(pages.iter().step_by(step).map(|page| (page.as_str(), "2026-03-01T00:00:00Z", 3))).await;
            app.refresh().await;
            assert_eq!(app.report_rows().await, model::report(&app.counts().await));
        }
    }

    async fn changed_title_reaches_the_report(app: TestApp) {
        const RECORD: &str = "mutation ($title: String) { recordPageViews(input: { increments: [
            { page: \"/a\", at: \"2026-01-01T00:00:00Z\", title: $title }, { page: \"/a\", at: \"2026-02-01T00:00:00Z\" }
        ] }) { views } }";
        app.data(RECORD, serde_json::json!({ "title": null })).await;
        app.refresh().await;
        assert_eq!(titles(&app).await, [None]);
        for title in ["first", "second"] {
            app.data(RECORD, serde_json::json!({ "title": title })).await;
            app.refresh().await;
            assert_eq!(titles(&app).await, [Some(title.to_owned())]);
        }
        app.data(RECORD, serde_json::json!({ "title": null })).await;
        app.refresh().await;
        assert_eq!(titles(&app).await[0].as_deref(), Some("second"), "an increment without a title keeps it");
        assert_eq!(app.marks().await, 0);
    }

    async fn failed_refresh_is_recorded_and_the_next_one_includes_its_hours(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 2)]).await;
        let good = app.refresh().await;
        app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
        // No refresh succeeds without the counts.
        let hide = "ALTER TABLE page_views RENAME TO hidden";
        let show = "ALTER TABLE hidden RENAME TO page_views";
        let view = app.test_database.rung == Rung::MaterializedView;
        let (hide, show) = if view {
            // A view follows a renamed table, so its unique index is dropped instead.
            ("DROP INDEX page_views_report_key", "CREATE UNIQUE INDEX page_views_report_key ON page_views_report (grain, date, name)")
        } else { (hide, show) };
        app.database.background.execute_unprepared(hide).await.unwrap();
        assert!(app.refresher.refresh(LockMode::Wait, None).await.is_err());
        let newest = report_refresh::newest(&app.database.readers).await.unwrap().unwrap();
        let message = newest.error.unwrap();
        assert!(message.contains("refused"), "{message}");
        assert!(!message.to_lowercase().contains("select"), "{message}");
        let failed = |known: &Freshness| known.status(std::time::Instant::now()) == RefreshStatus::Failed;
        app.until_freshness("the failed refresh in the feed", failed).await;
        let status = app.data("{ freshness { status error refreshId } }", serde_json::json!({})).await;
        assert_eq!(status["freshness"]["status"], "FAILED");
        assert_eq!(status["freshness"]["refreshId"], good.id.to_string(), "the report is still the last good one");
        assert!(app.marks().await > 0, "the marks stay");

        app.database.background.execute_unprepared(show).await.unwrap();
        app.refresh().await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }
}

/// A commit names the pages that it changed, unless they are too many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_name_at_most_ten_thousand_pages() {
    for (rung, count_names) in [(Rung::Table, "cardinality(names)"), (Rung::Sqlite, "json_array_length(names)")] {
        let app = TestApp::start(rung).await;
        let names = async || {
            let sql = format!("SELECT CAST(coalesce({count_names}, -1) AS bigint) FROM stale_hours ORDER BY 1 DESC");
            let statement = Statement::from_string(app.database.background.get_database_backend(), sql);
            let rows = app.database.background.query_all_raw(statement).await.unwrap();
            rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect::<Vec<i64>>()
        };
        app.record([
            ("/a", "2026-03-01T05:00:00Z", 1),
            ("/b", "2026-03-01T05:00:00Z", 1),
            ("/b", "2026-03-01T06:00:00Z", 1),
        ])
        .await;
        assert_eq!(names().await, [2, 1]);
        app.refresh().await;

        let (recorder, committer) = Recorder::new(&app.database, &exactly_once::SETTINGS);
        let _running = exactly_once::run(committer);
        let at = "2026-03-01T05:00:00Z".parse().unwrap();
        let request = |first: u32, pages: u32| {
            let increment = |page| crate::app::increment(&format!("/{page}"), at, 1);
            Request::new((first..first + pages).map(increment).collect(), None)
        };
        // While the first commit waits, the requests behind it gather. Two of the three are committed together in any case.
        let holder = app.database.writers.begin().await.unwrap();
        if rung != Rung::Sqlite {
            holder.execute_unprepared("LOCK TABLE page_views IN EXCLUSIVE MODE").await.unwrap();
        }
        let mut recording = Vec::new();
        for (first, pages) in [(0, 1), (10_000, 10_000), (20_000, 10_000)] {
            let mut recorded = Box::pin(recorder.record(request(first, pages)));
            assert!(poll_immediate(recorded.as_mut()).await.is_none(), "it waits for the lock");
            recording.push(recorded);
        }
        holder.commit().await.unwrap();
        for recorded in recording {
            recorded.await.unwrap();
        }
        assert!(names().await.contains(&-1), "more than 10,000 counts were changed together: {:?}", names().await);
        recorder.record(request(10_000, 10_000)).await.unwrap();
        assert!(names().await.contains(&10_000), "{:?}", names().await);
        app.refresh().await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }
}

/// A refresh whose progress was recorded in a transaction that is rolled back is not under way any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_that_fails_with_its_progress_is_recorded_as_failed() {
    for (rung, refuse) in [
        (Rung::Table, "ALTER TABLE report_changes ADD CONSTRAINT refused CHECK (content_version < 0) NOT VALID"),
        (
            Rung::Sqlite,
            "CREATE TRIGGER refused BEFORE INSERT ON report_changes BEGIN SELECT RAISE(ABORT, 'refused'); END",
        ),
    ] {
        let app = TestApp::start(rung).await;
        app.record([("/a", "2026-03-01T05:00:00Z", 1), ("/b", "2026-03-01T05:00:00Z", 1)]).await;
        app.refresh().await;
        app.record([("/a", "2026-03-02T05:00:00Z", 1), ("/a", "2026-03-03T05:00:00Z", 1)]).await;
        app.database.background.execute_unprepared(refuse).await.unwrap();
        let refused = app.refresher.clone().merging_at_most(1).refresh(LockMode::Wait, None).await;
        assert!(refused.is_err(), "{refused:?}");
        let rows = report_refresh::Entity::find().all(&app.database.background).await.unwrap();
        let under_way: Vec<_> = rows.iter().filter(|row| row.finished_at.is_none()).collect();
        assert!(under_way.is_empty(), "{under_way:?}");
        let newest = rows.iter().max_by_key(|row| row.id).unwrap();
        assert!(newest.error.is_some(), "{newest:?}");
    }
}

/// A future that is dropped while it begins a transaction leaves no connection in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_begin_leaves_no_transaction_open() {
    let app = TestApp::start(Rung::Table).await;
    let (readers, snapshots) = (
        &app.database.readers,
        Snapshots::new(&app.database.readers, &app.database.clock, entity::page_views_report::RELATION),
    );
    for polls in (1..=10).cycle().take(500) {
        let mut begins = Box::pin(snapshots.begin());
        for _ in 0..polls {
            if poll_immediate(begins.as_mut()).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begins);
        readers.execute_unprepared("SELECT 1").await.unwrap();
        snapshots.begin().await.unwrap().commit().await.unwrap();
    }
}

#[tokio::test]
async fn refresh_fails_when_the_report_table_lacks_rows() {
    let app = TestApp::start(Rung::Table).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    app.database
        .background
        .execute_unprepared("DELETE FROM page_views_report WHERE grain = 'month' AND name = '/a'")
        .await
        .unwrap();
    app.record([("/a", "2026-03-01T00:00:00Z", 2), ("/b", "2026-03-01T00:00:00Z", 4)]).await;
    let before = app.report_rows().await;
    assert!(app.refresher.refresh(LockMode::Wait, None).await.is_err());
    assert_eq!(app.report_rows().await, before, "none of it is done");
    let newest = report_refresh::newest(&app.database.readers).await.unwrap().unwrap();
    assert_eq!(newest.error.as_deref(), Some("the report lacks rows that it must have had; it has to be rebuilt"));
    app.refresher.rebuild(None, &|_, _| {}).await.unwrap();
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// Counts ten more views of the only page by a commit that is held open across a refresh. Returns the refresh, and the
/// `recordedAt` that a recorder would answer after the commit.
pub(crate) async fn commit_across_a_refresh(app: &TestApp) -> (Refreshed, DateTime<Utc>) {
    let mut other = cluster::connect(&app.test_database.url).await;
    // The recorder's own statements, by hand.
    other.execute("BEGIN").await.unwrap();
    other.execute("UPDATE page_views SET views = views + 10").await.unwrap();
    other.execute("INSERT INTO stale_hours (date, hour) VALUES ('2026-03-01', 0)").await.unwrap();
    let done = app.refresh().await;
    other.execute("COMMIT").await.unwrap();
    let now = app.database.clock.database_now(&app.database.readers).await.unwrap();
    let announced_at = entity::refresh_clock::read(&app.database.readers).await.unwrap().announced_at;
    (done, storage::clock::recorded_at(now, announced_at))
}

/// A commit that is held open across the reading of `as_of` is either in the report or recorded after it.
async fn as_of_excludes_a_commit_that_is_held_open(rung: Rung) {
    let app = TestApp::start(rung).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    let (done, recorded_at) = commit_across_a_refresh(&app).await;
    assert!(recorded_at > done.as_of.unwrap(), "a commit after the marks were read is not promised");
    assert_eq!(app.report_rows().await.values().max(), Some(&1));
    assert_eq!(app.marks().await, 1, "its mark is left for the next refresh");
    app.refresh().await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    assert_eq!(app.report_rows().await.values().max(), Some(&11));
}

#[tokio::test]
async fn as_of_excludes_a_commit_that_is_held_open_with_a_materialized_view() {
    as_of_excludes_a_commit_that_is_held_open(Rung::MaterializedView).await;
}

#[tokio::test]
async fn as_of_excludes_a_commit_that_is_held_open_with_a_table() {
    as_of_excludes_a_commit_that_is_held_open(Rung::Table).await;
}

#[tokio::test]
async fn other_wolves_stand_by_during_a_refresh() {
    let app = TestApp::start(Rung::Table).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    let mut other = cluster::connect(&app.test_database.url).await;
    other.execute("BEGIN").await.unwrap();
    other.execute("SELECT pg_advisory_xact_lock(x'776f6c66'::bigint)").await.unwrap();
    assert_eq!(app.refresher.refresh(LockMode::Try, None).await.unwrap(), Outcome::Standby);
    assert!(app.report_rows().await.is_empty());
    other.execute("COMMIT").await.unwrap();
    assert!(matches!(app.refresher.refresh(LockMode::Try, None).await.unwrap(), Outcome::Refreshed(_)));
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

#[tokio::test]
async fn converted_report_keeps_its_content() {
    let app = TestApp::start(Rung::MaterializedView).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1), ("/b", "2026-02-01T00:00:00Z", 2)]).await;
    app.refresh().await;
    for kind in [ReportKind::Table, ReportKind::MaterializedView, ReportKind::Table] {
        app.record([("/a", "2026-03-01T05:00:00Z", 1)]).await;
        assert!(app.refresher.ensure_kind(kind).await.unwrap());
        assert!(!app.refresher.ensure_kind(kind).await.unwrap(), "the report is of that kind already");
        app.refresh().await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }
}

#[tokio::test]
async fn concurrent_refreshes_of_two_processes_both_succeed() {
    let app = TestApp::start(Rung::Table).await;
    let others =
        [Refresher::new(&app.test_database.connect().await), Refresher::new(&app.test_database.connect().await)];
    for round in 0..10_i64 {
        let times: Vec<_> = (0..24).map(|hour| format!("2026-03-01T{hour:02}:00:00Z")).collect();
        app.record(times.iter().map(|at| ("/a", at.as_str(), 1 + round))).await;
        let (first, second) =
            tokio::join!(others[0].refresh(LockMode::Wait, None), others[1].refresh(LockMode::Wait, None));
        first.unwrap();
        second.unwrap();
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }
    let rows = report_refresh::Entity::find().all(&app.database.readers).await.unwrap();
    assert!(rows.windows(2).all(|pair| pair[0].as_of <= pair[1].as_of), "freshness never goes back");
}

/// Readers see by the newest row whether the report can have changed: during a merge that is the merge's own row,
/// whatever rows others insert in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newest_refresh_record_is_the_running_merges_while_it_changes_the_report() {
    let app = TestApp::start(Rung::Sqlite).await;
    let times: Vec<_> = (1..=28).map(|day| format!("2026-02-{day:02}T05:00:00Z")).collect();
    app.record(times.iter().map(|at| ("/a", at.as_str(), 1))).await;
    app.database
        .background
        .execute_unprepared(
            "CREATE TABLE newest_words (under_way integer);
             -- Each portion takes its marks first.
             CREATE TRIGGER portion AFTER DELETE ON stale_hours BEGIN
                 INSERT INTO newest_words SELECT finished_at IS NULL FROM report_refreshes ORDER BY id DESC LIMIT 1;
             END;
             -- Another process says something during the first portion.
             CREATE TRIGGER other AFTER INSERT ON page_views_report
             WHEN NOT EXISTS (SELECT 1 FROM report_refreshes WHERE finished_at IS NOT NULL) BEGIN
                 INSERT INTO report_refreshes (started_at, finished_at, content_version, error)
                 SELECT '2026-03-01T00:00:00+00:00', '2026-03-01T00:00:00+00:00', max(content_version), 'of another process'
                 FROM report_refreshes;
             END;",
        )
        .await
        .unwrap();
    app.refresh().await;
    let words = Statement::from_string(DbBackend::Sqlite, "SELECT under_way FROM newest_words");
    let words = app.database.readers.query_all_raw(words).await.unwrap();
    let under_way: Vec<i64> = words.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    assert_eq!(under_way, [1; 28]);
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}
