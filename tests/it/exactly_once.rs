//! Idempotency keys: whatever happens to a request and its response, its increments count once.

use chrono::{DateTime, Utc};
use increments::{Client, Committer, IdempotencyKey, Recorded, Recorder, RecorderSettings, Request};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use sqlx::Executor;
use storage::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Rung, TestApp, TestDatabase, increment},
    cluster, on_all_databases,
    process::Server,
    proxy::Proxy,
    wait::eventually,
};

const RECORD: &str = "mutation ($page: String!, $key: String!) {
    recordPageViews(input: { increments: [{ page: $page, views: 3 }], idempotencyKey: $key }) { recordedAt duplicate }
}";

pub(crate) const SETTINGS: RecorderSettings =
    RecorderSettings { queue_increments: 200_000, committers: 1, record_timeout_ms: 30_000 };

/// One view under a key.
fn keyed(page: &str, key: &str) -> Request {
    let increments = vec![increment(page, "2026-03-01T00:00:00Z".parse().unwrap(), 1)];
    Request::new(increments, Some(IdempotencyKey::of_client(key.to_owned(), Client::anonymous()).unwrap()))
}

pub(crate) fn run(committer: Committer) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run(CancellationToken::new()));
    tasks
}

/// Waits until `count` other transactions wait for a lock.
pub(crate) async fn until_blocked(database: &Database, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()";
    let waiting = Statement::from_string(DbBackend::Postgres, waiting);
    eventually("transactions to wait for a lock", async || {
        let row = database.readers.query_one_raw(waiting.clone()).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap() == count
    })
    .await;
}

/// Sends each key to both processes at once, and returns both responses.
async fn send_to_both(recorders: [Recorder; 2], keys: usize) -> Vec<[Recorded; 2]> {
    let mut answers = Vec::new();
    for number in 0..keys {
        let key = format!("key {number}");
        let mut sending: Vec<_> = Vec::new();
        for recorder in recorders.clone() {
            let mut one = JoinSet::new();
            let request = keyed("/once", &key);
            one.spawn(async move { recorder.record(request).await.unwrap() });
            sending.push(one);
        }
        let [mut first, mut second] = <[_; 2]>::try_from(sending).unwrap();
        let pair = tokio::join!(first.join_next(), second.join_next());
        answers.push([pair.0.unwrap().unwrap(), pair.1.unwrap().unwrap()]);
    }
    answers
}

on_all_databases! {
    async fn key_sent_to_two_processes_concurrently_counts_once(app: TestApp) {
        const KEYS: usize = 100;
        let other = app.test_database.connect().await;
        let (recorder, committer) = Recorder::new(&other, &SETTINGS);
        let _running = run(committer);
        let mut sending = JoinSet::new();
        sending.spawn(send_to_both([app.recorder.clone(), recorder], KEYS));
        // Refreshes run meanwhile.
        let mut promises: Vec<(DateTime<Utc>, i64)> = Vec::new();
        let answers = loop {
            let as_of = app.refresh().await.as_of.unwrap();
            let rows = app.report_rows().await;
            let site = rows.iter().filter(|((grain, name, ..), _)| *grain == "month" && name.is_empty());
            promises.push((as_of, site.map(|(_, views)| views).sum()));
            if let Some(answers) = sending.try_join_next() {
                break answers.unwrap();
            }
        };
        assert!(answers.iter().all(|[first, second]| first.duplicate != second.duplicate), "one of two counts");
        assert_eq!(app.counts().await.values().sum::<i64>(), i64::try_from(KEYS).unwrap());
        for (as_of, reported) in promises {
            // Either response counts as acknowledgement.
            let promised = answers.iter().filter(|pair| pair.iter().any(|answer| answer.recorded_at <= as_of)).count();
            assert!(i64::try_from(promised).unwrap() <= reported, "{promised} were promised by {as_of}, {reported} are there");
        }
    }
}

async fn key_counts_once_across_restarts(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        // Killed when it is dropped.
        let server = Server::start(&database, &[]);
        let answer = server.data(RECORD, json!({ "page": "/a", "key": "key" })).await.unwrap();
        answers.push(answer["recordPageViews"]["duplicate"].as_bool().unwrap());
        let refused = server.data(RECORD, json!({ "page": "/b", "key": "key" })).await.unwrap_err();
        assert!(refused.contains("BAD_USER_INPUT"), "other increments: {refused}");
    }
    assert_eq!(answers, [false, true, true]);
    assert_eq!(crate::app::counts(&connection).await.values().sum::<i64>(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_counts_once_across_restarts_on_sqlite() {
    key_counts_once_across_restarts(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_counts_once_across_restarts_on_postgres() {
    key_counts_once_across_restarts(Rung::Table).await;
}

/// The second request waits for the first, and its `recordedAt` is not before the first commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicate_is_answered_after_the_first_request_commits() {
    let app = TestApp::start(Rung::Table).await;
    app.record([("/once", "2026-03-01T00:00:00Z", 1)]).await;
    let other = app.test_database.connect().await;
    let (recorder, committer) = Recorder::new(&other, &SETTINGS);
    let _running = run(committer);
    let mut holder = cluster::connect(&app.test_database.url).await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT * FROM page_views FOR UPDATE").await.unwrap();

    let mut sending = JoinSet::new();
    for (waiting, recorder) in (1..).zip([app.recorder.clone(), recorder]) {
        sending.spawn(async move { recorder.record(keyed("/once", "key")).await.unwrap() });
        until_blocked(&app.database, waiting).await;
    }
    // Neither request is committed, so this refresh does not promise them.
    let promised = app.refresh().await.as_of.unwrap();
    assert_eq!(app.counts().await.values().sum::<i64>(), 1);
    holder.execute("COMMIT").await.unwrap();
    let answers = sending.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.duplicate).count(), 1);
    assert!(answers.iter().all(|answer| answer.recorded_at > promised), "{answers:?} after {promised}");
    assert_eq!(app.counts().await.values().sum::<i64>(), 2);
}

/// The commit succeeds and its response is lost: the error is retryable, and the retry counts nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_commit_response_is_unavailable_and_its_retry_a_duplicate() {
    let database = TestDatabase::create(Rung::Table).await;
    let direct = database.migrate().await;
    let proxy = Proxy::start(database.server()).await;
    let app = TestApp::serve(database.through(&proxy), |settings| settings.recorder = SETTINGS).await;
    for number in 0..5 {
        let variables = json!({ "page": "/lost", "key": format!("key {number}") });
        proxy.lose_next_commit();
        let answer = app.execute(RECORD, variables.clone()).await;
        let extensions = json!({ "code": "UNAVAILABLE", "retryable": true });
        assert_eq!(answer["errors"][0]["extensions"], extensions, "{answer}");
        assert!(proxy.has_lost_commit());
        let counted = crate::app::counts(&direct).await.values().sum::<i64>();
        assert_eq!(counted, 3 * (number + 1), "it is committed all the same");

        let before = direct.clock.database_now(&direct.readers).await.unwrap();
        let retried = app.data(RECORD, variables).await["recordPageViews"].take();
        assert_eq!(retried["duplicate"], true);
        let recorded_at: DateTime<Utc> = retried["recordedAt"].as_str().unwrap().parse().unwrap();
        assert!(recorded_at > before, "the promise is the second commit's, which is later");
        let refused = app.execute(RECORD, json!({ "page": "/other", "key": format!("key {number}") })).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{refused}");
        assert_eq!(refused["data"], Value::Null);
    }
    assert_eq!(crate::app::counts(&direct).await.values().sum::<i64>(), 15);
}
