//! Recording on a Citus cluster: each node commits the counts of its pages.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;
use wolf::Maintenance;

use super::*;
use crate::cluster::Cluster;

/// The address of the worker that has a page.
async fn worker_of(app: &TestApp, page: &str) -> String {
    let sql = "SELECT nodename || ':' || nodeport FROM pg_dist_shard_placement
               WHERE shardid = get_shard_id_for_distribution_column('pages', $1::text)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [page.into()]);
    let row = app.database.background.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// A request that changes rows of one node is committed there, without the others and without a second phase.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_that_is_lost_stops_the_recording_of_its_pages_only() {
    let mut citus = Citus::start();
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    let mut expected = 0;
    for page in 0..CLIENTS {
        app.recorder.record(single(at, page)).await.unwrap();
        expected += PAGES;
    }
    citus.workers[0].stop_immediately();
    let (mut lost, mut others) = (0, 0);
    for page in 0..3 * CLIENTS {
        let is_lost = worker_of(&app, &format!("/{page}")).await == citus.workers[0].address();
        match app.recorder.record(single(at, page)).await {
            Ok(_) if !is_lost => (others, expected) = (others + 1, expected + PAGES),
            Err(RecordError::Unavailable(_)) if is_lost => lost += 1,
            answer => panic!("/{page}, whose worker is lost: {is_lost}: {answer:?}"),
        }
    }
    assert!(lost > 0 && others > 0, "{lost} and {others} pages");
    citus.workers[0].start_again();
    for page in 0..3 * CLIENTS {
        eventually("a page to be recorded again", async || app.recorder.record(single(at, page)).await.is_ok()).await;
        expected += PAGES;
    }
    eventually("the report", async || {
        drop(app.refresher.refresh(LockMode::Wait, None).await);
        reported(&app).await == Some(expected)
    })
    .await;
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// No node is asked to prepare what it can commit alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_are_committed_by_their_nodes_in_one_phase() {
    let mut citus = Citus::start();
    let mut proxies = Vec::new();
    for worker in 0..citus.workers.len() {
        proxies.push(Proxy::start(citus.workers[worker].address()).await);
        citus.reach_by(worker, &proxies[worker]);
    }
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    proxies.iter().for_each(Proxy::lose_next_prepared);
    for page in 0..3 * CLIENTS {
        app.recorder.record(single(at, page)).await.unwrap();
    }
    assert!(!proxies.iter().any(Proxy::has_lost_prepared), "a commit of one page was prepared");
    app.recorder.record(request(at)).await.unwrap();
    assert!(!proxies.iter().any(Proxy::has_lost_prepared), "a part of a request was prepared");
    app.recorder.record(keyed(at)).await.unwrap();
    assert!(!proxies.iter().any(Proxy::has_lost_prepared), "a part of a request with a key was prepared");
}

/// A request without a key that is cut in the middle is told so, and must not be sent again. Once it is known that a node is lost,
/// requests of its pages are recorded as a whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_without_a_key_that_is_cut_in_the_middle_is_told_to_be_partly_recorded() {
    const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
    let mut citus = Citus::start();
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    app.recorder.record(request(at)).await.unwrap();
    citus.workers[0].stop_immediately();
    let increments: Vec<_> =
        (0..PAGES).map(|page| json!({ "page": format!("/{page}"), "views": 1, "at": at })).collect();
    let answer = app.execute(RECORD, json!({ "input": { "increments": increments } })).await;
    assert_eq!(answer["data"], json!(null), "{answer}");
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(*extensions, json!({ "code": "PARTLY_RECORDED", "retryable": false }), "{answer}");
    for _ in 0..2 {
        let whole = app.recorder.record(request(at)).await;
        assert!(matches!(whole, Err(RecordError::Unavailable(_))), "{whole:?}");
    }
    citus.workers[0].start_again();
    eventually("a refresh", async || app.refresher.refresh(LockMode::Wait, None).await.is_ok()).await;
    for page in 0..PAGES {
        let page = format!("/{page}");
        let of_lost = worker_of(&app, &page).await == citus.workers[0].address();
        let counted: i64 = app.counts().await.iter().filter(|(count, _)| count.0 == page).map(|(_, views)| views).sum();
        assert_eq!(counted, if of_lost { 1 } else { 2 }, "{page}");
    }
    // The coordinator keeps a row for each node that it had prepare, until it knows that the node has committed.
    let prepared = "SELECT count(*) FROM pg_dist_transaction";
    eventually("nodes to commit again", async || {
        app.database.background.execute_unprepared("SELECT recover_prepared_transactions()").await.unwrap();
        app.recorder.record(request(at)).await.unwrap();
        let row = app.database.background.query_one_raw(Statement::from_string(DbBackend::Postgres, prepared)).await;
        row.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap() == 0
    })
    .await;
}

/// Moves the shard that has a page to another worker.
async fn move_shard(citus: &Citus, app: &TestApp, page: &str) {
    let from = worker_of(app, page).await;
    let to = citus.workers.iter().map(Cluster::address).find(|to| *to != from).unwrap();
    let [from, to] = [&from, &to].map(|address| {
        let (host, port) = address.rsplit_once(':').unwrap();
        format!("'{host}', {port}")
    });
    let sql = format!(
        "SELECT citus_move_shard_placement(
             get_shard_id_for_distribution_column('page_views', '{page}'), {from}, {to}, 'force_logical')"
    );
    app.database.background.execute_unprepared(&sql).await.unwrap();
}

/// Shards are moved from worker to worker while clients record: no view is lost, and none goes to where a shard was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_shards_are_moved() {
    const MOVES: usize = 4;
    let citus = Citus::start();
    let app = start(&citus).await;
    let at: DateTime<Utc> = "2026-03-01T05:00:00Z".parse().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let mut recording = JoinSet::new();
    for client in 0..CLIENTS {
        let (recorder, stop) = (app.recorder.clone(), stop.clone());
        recording.spawn(async move {
            let mut acknowledged = Acknowledged::new();
            while !stop.is_cancelled() {
                let request = [request(at), single(at, client), keyed(at)][client % 3].clone();
                acknowledged.push((recorder.record(request).await.unwrap().recorded_at, PAGES));
            }
            acknowledged
        });
    }
    for page in 0..MOVES {
        move_shard(&citus, &app, &format!("/{page}")).await;
        app.refresh().await;
    }
    stop.cancel();
    let acknowledged: Acknowledged = recording.join_all().await.into_iter().flatten().collect();
    assert!(refresh_and_check(&app, &acknowledged).await, "all is promised");
    let recorded: i64 = acknowledged.iter().map(|(_, views)| views).sum();
    assert_eq!(app.counts().await.values().sum::<i64>(), recorded);
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// The views that are counted.
async fn counted(app: &TestApp) -> i64 {
    app.counts().await.values().sum()
}

/// A part that is counted is known by the number of the claim, wherever its shard is moved, until the key is old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_with_a_key_is_counted_once_by_its_nodes() {
    let citus = Citus::start();
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    app.refresh().await;
    let first = with_key("a", 0..PAGES, at);
    assert!(!app.recorder.record(first.clone()).await.unwrap().duplicate);
    // Several at once, too, of which none is the first.
    let again = (0..3).map(|_| app.recorder.record(first.clone()));
    for recorded in futures_util::future::join_all(again).await {
        assert!(recorded.unwrap().duplicate);
    }
    let other = with_key("a", PAGES..2 * PAGES, at);
    assert!(matches!(app.recorder.record(other).await, Err(RecordError::KeyReused)));
    assert_eq!(counted(&app).await, PAGES);

    move_shard(&citus, &app, "/0").await;
    assert!(app.recorder.record(first.clone()).await.unwrap().duplicate);
    assert_eq!(counted(&app).await, PAGES);

    // A day later the same key is that of another request.
    let parts = async || {
        let sql = "SELECT count(*) FROM counted_parts";
        let row = app.database.background.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        row.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap()
    };
    for minutes in [1, 25 * 60] {
        app.database.clock.pass(Duration::from_secs(60 * minutes));
        app.refresh().await;
    }
    app.recorder.record(keyed(at)).await.unwrap();
    let before = parts().await;
    Maintenance::new(&app.database, None).run().await.unwrap();
    assert_eq!(parts().await * 2, before, "the parts of one of two keys are left");
    assert!(!app.recorder.record(first).await.unwrap().duplicate);
    assert_eq!(counted(&app).await, 3 * PAGES);
}

/// Nodes that have counted their parts do not count them again, and the others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_with_a_key_that_is_cut_in_the_middle_is_completed_by_a_retry() {
    let mut citus = Citus::start();
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    app.recorder.record(keyed(at)).await.unwrap();
    citus.workers[0].stop_immediately();
    let cut = keyed(at);
    for _ in 0..2 {
        let recorded = app.recorder.record(cut.clone()).await;
        assert!(matches!(recorded, Err(RecordError::Unavailable(_))), "{recorded:?}");
    }
    citus.workers[0].start_again();
    let mut first = None;
    eventually("the request to be counted", async || {
        first = app.recorder.record(cut.clone()).await.ok();
        first.is_some()
    })
    .await;
    assert!(!first.unwrap().duplicate, "a part was counted only now");
    assert!(app.recorder.record(cut).await.unwrap().duplicate);
    assert_eq!(counted(&app).await, 2 * PAGES);
}

/// A key that the coordinator has counted as a whole is known to the nodes, and one that nodes have counted to the coordinator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_known_whoever_commits() {
    let citus = Citus::start();
    let app = start_without_nodes(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    let whole = keyed(at);
    assert!(!app.recorder.record(whole.clone()).await.unwrap().duplicate);
    let sync = "SELECT start_metadata_sync_to_node(nodename, nodeport) FROM pg_dist_node WHERE groupid <> 0";
    app.database.background.execute_unprepared(sync).await.unwrap();
    let app = TestApp::serve(app.test_database.again(), |_settings| {}).await;
    assert!(app.recorder.record(whole).await.unwrap().duplicate);
    let in_parts = keyed(at);
    assert!(!app.recorder.record(in_parts.clone()).await.unwrap().duplicate);
    let stop = "SELECT stop_metadata_sync_to_node(nodename, nodeport) FROM pg_dist_node WHERE groupid <> 0";
    app.database.background.execute_unprepared(stop).await.unwrap();
    let app = TestApp::serve(app.test_database.again(), |_settings| {}).await;
    // Whether all parts are counted only the nodes know.
    let unknown = app.recorder.record(in_parts).await;
    assert!(matches!(unknown, Err(RecordError::Unavailable(_))), "{unknown:?}");
    assert_eq!(counted(&app).await, 2 * PAGES);
}

/// Without the coordinator's clock nothing can be acknowledged, so nodes do not count what they could: a retry would count it twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_counted_while_the_coordinator_is_lost() {
    let mut citus = Citus::start();
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    app.recorder.record(request(at)).await.unwrap();
    citus.coordinator.stop_immediately();
    for lost in [request(at), single(at, 0)] {
        let recorded = app.recorder.record(lost).await;
        assert!(matches!(recorded, Err(RecordError::Unavailable(_))), "{recorded:?}");
    }
    citus.coordinator.start_again();
    eventually("a refresh", async || app.refresher.refresh(LockMode::Wait, None).await.is_ok()).await;
    assert_eq!(counted(&app).await, PAGES);
}

/// A node that does not answer at all is no better than one that is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_whose_part_is_not_answered_in_time_is_told_to_be_partly_recorded() {
    let mut citus = Citus::start();
    let proxy = Proxy::start(citus.workers[0].address()).await;
    citus.reach_by(0, &proxy);
    let app = start(&citus).await;
    let at = "2026-03-01T05:00:00Z".parse().unwrap();
    app.recorder.record(request(at)).await.unwrap();
    proxy.stall();
    let recorded = app.recorder.record(request(at)).await;
    assert!(matches!(recorded, Err(RecordError::PartlyRecorded)), "{recorded:?}");
    eventually("requests to be recorded as a whole or not at all", async || {
        matches!(app.recorder.record(request(at)).await, Err(RecordError::Unavailable(_)))
    })
    .await;
    proxy.resume();
}
