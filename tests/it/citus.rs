//! What is special about a Citus cluster: commits that are cut in the middle, and nodes that are lost. Every other test of a
//! report that is a table runs on a cluster, too: see `tests/citus`.

mod recording;
mod report;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use increments::{Client, IdempotencyKey, RecordError, Request};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use storage::snapshot::Snapshots;
use tempfile::TempDir;
use tokio::task::JoinSet;
use wolf::{LockMode, Outcome};

use crate::{
    app::{Rung, TestApp, TestDatabase, increment},
    cluster::Citus,
    model,
    proxy::Proxy,
    wait::eventually,
};

/// How often a node is killed: the workers in turn, and then the coordinator.
const KILLS: usize = 8;
/// How many clients record at once.
const CLIENTS: usize = 8;
/// The pages of a request: enough that most requests change rows of each worker.
const PAGES: i64 = 20;

/// Acknowledged views, by when they were recorded.
type Acknowledged = Vec<(DateTime<Utc>, i64)>;

async fn start(citus: &Citus) -> TestApp {
    let database =
        TestDatabase { url: citus.create_database().await, rung: Rung::Table, folder: TempDir::new().unwrap() };
    database.migrate().await.close().await.unwrap();
    TestApp::serve(database, |_settings| {}).await
}

/// One view of each of some pages, in the hour of `at`. Its nodes commit it each for itself.
fn request(at: DateTime<Utc>) -> Request {
    Request::new((0..PAGES).map(|page| increment(&format!("/{page}"), at, 1)).collect(), None)
}

/// A cluster whose nodes take no commits of their own: the coordinator commits everything, in two phases.
async fn start_without_nodes(citus: &Citus) -> TestApp {
    let app = start(citus).await;
    let stop = "SELECT stop_metadata_sync_to_node(nodename, nodeport) FROM pg_dist_node WHERE groupid <> 0";
    app.database.background.execute_unprepared(stop).await.unwrap();
    app
}

/// The same with a key of its own.
fn keyed(at: DateTime<Utc>) -> Request {
    static KEYS: AtomicU64 = AtomicU64::new(0);
    with_key(&format!("key {}", KEYS.fetch_add(1, Ordering::Relaxed)), 0..PAGES, at)
}

/// One view of each of `pages`, with a key.
fn with_key(key: &str, pages: Range<i64>, at: DateTime<Utc>) -> Request {
    let increments = pages.map(|page| increment(&format!("/{page}"), at, 1)).collect();
    Request::new(increments, Some(IdempotencyKey::of_client(key.to_owned(), Client::anonymous()).unwrap()))
}

/// The views in the report, of the whole site and by page, read as a query reads them. `None` while the report can't be read.
async fn reported(app: &TestApp) -> Option<i64> {
    let snapshots = Snapshots::new(&app.database.readers, &app.database.clock, "page_views_report");
    let transaction = snapshots.begin().await.ok()?;
    let mut sums = Vec::new();
    for rows in ["name = ''", "name <> ''"] {
        let sql =
            format!("SELECT coalesce(sum(views), 0)::bigint FROM page_views_report WHERE grain = 'month' AND {rows}");
        let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.ok()??;
        sums.push(row.try_get_by_index::<i64>(0).ok()?);
    }
    if !transaction.is_consistent().await.ok()? {
        return None;
    }
    assert_eq!(sums[0], sums[1], "the site's sum is that of its pages");
    Some(sums[0])
}

/// Refreshes. Whatever is promised by then has to be in the report.
async fn refresh_and_check(app: &TestApp, acknowledged: &Acknowledged) -> bool {
    let Ok(Outcome::Refreshed(done)) = app.refresher.refresh(LockMode::Wait, None).await else { return false };
    let as_of = done.as_of.unwrap();
    let promised: i64 = acknowledged.iter().filter(|(at, _)| *at <= as_of).map(|(_, views)| views).sum();
    let Some(reported) = reported(app).await else { return false };
    assert!(reported >= promised, "{reported} views are reported as of {as_of}, of {promised} that are promised");
    promised == acknowledged.iter().map(|(_, views)| views).sum::<i64>()
}

/// The coordinator commits, and a worker never hears of it: the mutation is acknowledged, and its views are not visible before
/// the worker's part is recovered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_whose_last_phase_is_lost_is_not_promised_before_it_is_visible() {
    let mut citus = Citus::start();
    let proxy = Proxy::start(citus.workers[0].address()).await;
    citus.reach_by(0, &proxy);
    let app = start_without_nodes(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    let mut acknowledged = Acknowledged::new();
    for _ in 0..3 {
        proxy.lose_next_prepared();
        let recorded = app.recorder.record(keyed(at)).await.unwrap();
        assert!(proxy.has_lost_prepared(), "no commit was cut");
        acknowledged.push((recorded.recorded_at, PAGES));
        refresh_and_check(&app, &acknowledged).await;
    }
    eventually("all views to be promised", async || refresh_and_check(&app, &acknowledged).await).await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// The same for a merge: its version is not read before its rows can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_whose_last_phase_is_lost_is_not_read_before_it_is_visible() {
    let mut citus = Citus::start();
    let proxy = Proxy::start(citus.workers[0].address()).await;
    citus.reach_by(0, &proxy);
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    let mut expected = 0;
    for _ in 0..3 {
        app.recorder.record(request(at)).await.unwrap();
        let before = expected;
        expected += PAGES;
        proxy.lose_next_prepared();
        drop(app.refresher.refresh(LockMode::Wait, None).await);
        assert!(proxy.has_lost_prepared(), "no commit was cut");
        if let Some(views) = reported(&app).await {
            assert!(views == before || views == expected, "a part of a merge was read: {views}");
        }
        eventually("the whole merge", async || {
            drop(app.refresher.refresh(LockMode::Wait, None).await);
            reported(&app).await == Some(expected)
        })
        .await;
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }
}

/// Nodes are killed one after the other while clients record on several nodes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_missing_from_as_of_while_nodes_are_killed() {
    kill_nodes(|at, _client| keyed(at), Retries::UntilCounted).await;
}

/// The same for requests that several nodes commit each for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_nodes_acknowledged_is_missing_from_as_of_while_nodes_are_killed() {
    kill_nodes(|at, _client| request(at), Retries::None).await;
}

/// The same for increments that one node commits alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_one_node_acknowledged_is_missing_from_as_of_while_nodes_are_killed() {
    kill_nodes(single, Retries::None).await;
}

/// Views of one page.
fn single(at: DateTime<Utc>, page: usize) -> Request {
    Request::new(vec![increment(&format!("/{page}"), at, PAGES)], None)
}

/// What clients do after a failure.
#[derive(PartialEq, Eq)]
enum Retries {
    None,
    /// They send the request again until it is counted: it has a key.
    UntilCounted,
}

/// Kills nodes while clients send requests of [`PAGES`] views each.
async fn kill_nodes(request: fn(DateTime<Utc>, usize) -> Request, retries: Retries) {
    let mut citus = Citus::start();
    let app = start(&citus).await;
    let at: DateTime<Utc> = "2026-03-01T05:00:00Z".parse().unwrap();
    let (mut acknowledged, mut unknown, mut failed) = (Acknowledged::new(), 0, Vec::new());
    for kill in 0..KILLS {
        let mut recording = JoinSet::new();
        for client in 0..CLIENTS {
            let recorder = app.recorder.clone();
            let request = request(at, client);
            recording.spawn(async move { (recorder.record(request.clone()).await, request) });
        }
        let mut answers = Vec::new();
        if kill % 2 == 0 {
            answers.push(recording.join_next().await.unwrap().unwrap());
        }
        let Citus { workers, coordinator, .. } = &mut citus;
        let node = kill % (workers.len() + 1);
        let node = workers.get_mut(node).unwrap_or(coordinator);
        node.stop_immediately();
        assert!(app.refresher.refresh(LockMode::Wait, None).await.is_err(), "a node is lost");
        node.start_again();
        answers.extend(recording.join_all().await);
        for (recorded, request) in answers {
            match recorded {
                Err(RecordError::Unavailable(_)) if retries == Retries::UntilCounted => failed.push(request),
                Ok(recorded) => acknowledged.push((recorded.recorded_at, PAGES)),
                Err(RecordError::Unavailable(_) | RecordError::PartlyRecorded) => unknown += PAGES,
                Err(error) => panic!("{error}: a lost node is no reason to refuse"),
            }
        }
        refresh_and_check(&app, &acknowledged).await;
    }
    for request in failed {
        eventually("a request to be counted", async || {
            let recorded = app.recorder.record(request.clone()).await;
            recorded.map(|recorded| acknowledged.push((recorded.recorded_at, PAGES))).is_ok()
        })
        .await;
    }
    eventually("all views to be promised", async || refresh_and_check(&app, &acknowledged).await).await;
    let counted: i64 = app.counts().await.values().sum();
    let recorded: i64 = acknowledged.iter().map(|(_, views)| views).sum();
    assert!((recorded..=recorded + unknown).contains(&counted), "{counted} views are counted, {recorded} acknowledged");
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// How many rows of `page_views` the nodes have looked up by an index, as their statistics say.
async fn counts_looked_up(app: &TestApp) -> i64 {
    let sql = "SELECT sum(result::bigint)::bigint FROM run_command_on_shards(
                   'page_views', $$SELECT idx_scan FROM pg_stat_user_tables WHERE relid = '%s'::regclass$$)";
    let row = app.database.background.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    row.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// A merge reads the counts that are marked, and not all that a node has. No statistics tell how many those are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_looks_up_the_counts_that_are_marked() {
    const COUNTS: i64 = 5_000;
    let citus = Citus::start();
    let app = start(&citus).await;
    let at: DateTime<Utc> = "2026-03-01T05:00:00Z".parse().unwrap();
    for hour in 0..2 {
        let at = at + chrono::TimeDelta::hours(hour);
        let increments = (0..COUNTS).map(|page| increment(&format!("/{page}"), at, 1)).collect();
        app.recorder.record(Request::new(increments, None)).await.unwrap();
        app.refresh().await;
    }
    // Once as each was recorded, to see whether it was there, and once by the merge.
    eventually("each marked count to be looked up", async || counts_looked_up(&app).await >= 2 * 2 * COUNTS).await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}
