//! Transactions that fail: a request that the database refuses fails alone, and conflicts are retried.

use futures_util::future::join_all;
use increments::{RecordError, Recorder, Request};
use sea_orm::ConnectionTrait;
use sqlx::Executor;
use storage::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Rung, TestApp, increment},
    cluster,
    exactly_once::{SETTINGS, until_blocked},
    on_all_databases,
};

const AT: &str = "2026-03-01T00:00:00Z";
/// How often a conflict is retried.
const RETRIES: u32 = 4;

fn one_view(page: &str) -> Request {
    Request::new(vec![increment(page, AT.parse().unwrap(), 1)], None)
}

/// Returns the results of requests that are committed as one group.
async fn record_together(database: &Database, requests: Vec<Request>) -> Vec<Result<(), RecordError>> {
    let (recorder, committer) = Recorder::new(database, &SETTINGS);
    let mut answers = std::pin::pin!(join_all(requests.into_iter().map(|request| recorder.record(request))));
    assert!(futures_util::poll!(&mut answers).is_pending(), "nothing commits yet");
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run(CancellationToken::new()));
    answers.await.into_iter().map(|answer| answer.map(|_| ())).collect()
}

/// Makes the database fail the next `times` transactions of increments with serialization failures.
async fn refuse(app: &TestApp, times: u32) {
    let sql = format!(
        "CREATE SEQUENCE IF NOT EXISTS refusals;
         ALTER SEQUENCE refusals RESTART;
         CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             -- A sequence counts on when its transaction is rolled back.
             IF nextval('refusals') <= {times} THEN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure'; END IF;
             RETURN NULL;
         END $$;
         CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON page_views EXECUTE FUNCTION refuse()"
    );
    app.database.background.execute_unprepared(&sql).await.unwrap();
}

on_all_databases! {
    async fn request_refused_by_the_database_fails_alone(app: TestApp) {
        const REQUESTS: usize = 64;
        for poisoned in [0, 21, 63] {
            let page = |index: usize| if index == poisoned { "/full".to_owned() } else { format!("/{poisoned}/{index}") };
            app.record([("/full", AT, 1)]).await;
            let full = format!("UPDATE page_views SET views = {} WHERE name = '/full'", i64::MAX);
            app.database.background.execute_unprepared(&full).await.unwrap();
            let marks = app.marks().await;
            let answers = record_together(&app.database, (0..REQUESTS).map(|index| one_view(&page(index))).collect()).await;
            for (index, answer) in answers.iter().enumerate() {
                let refused = matches!(answer, Err(RecordError::Refused(_)));
                assert!(if index == poisoned { refused } else { answer.is_ok() }, "{index}: {answer:?}");
            }
            let counts = app.counts().await;
            for index in (0..REQUESTS).filter(|index| *index != poisoned) {
                assert_eq!(counts.iter().find(|((name, ..), _)| *name == page(index)).map(|(_, views)| *views), Some(1));
            }
            // Each commit marks its hour: 32 requests were committed together, then 16, 8, 4, 2 and 1. On a cluster each count
            // has a mark.
            let expected = if app.is_on_a_cluster() { REQUESTS as u64 - 1 } else { u64::from(REQUESTS.ilog2()) };
            assert_eq!(app.marks().await - marks, expected, "the group was halved");
            let empty = "UPDATE page_views SET views = 0 WHERE name = '/full'";
            app.database.background.execute_unprepared(empty).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serialization_conflict_is_retried_before_the_client_gets_an_error() {
    let app = TestApp::start(Rung::Table).await;
    refuse(&app, RETRIES).await;
    app.recorder.record(one_view("/a")).await.unwrap();
    assert_eq!(app.counts().await.values().sum::<i64>(), 1);
    refuse(&app, RETRIES + 1).await;
    let error = app.recorder.record(one_view("/a")).await;
    assert!(matches!(error, Err(RecordError::Unavailable(_))), "{error:?}");
    assert_eq!(app.counts().await.values().sum::<i64>(), 1, "nothing was committed in part");
    app.recorder.record(one_view("/a")).await.unwrap();
    assert_eq!(app.counts().await.values().sum::<i64>(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlock_victim_is_retried() {
    let app = TestApp::start(Rung::Table).await;
    let mut other = cluster::connect(&app.test_database.url).await;
    // A session that waits looks for a deadlock after deadlock_timeout, and is its victim: the recorder, never the
    // other one.
    let database = app.test_database.url.rsplit_once('/').unwrap().1;
    let recorders = format!("ALTER DATABASE {database} SET deadlock_timeout = '6s'");
    app.database.background.execute_unprepared(&recorders).await.unwrap();
    other.execute("SET deadlock_timeout = '1h'").await.unwrap();
    app.record([("/a", AT, 1), ("/b", AT, 1)]).await;
    other.execute("BEGIN").await.unwrap();
    other.execute("UPDATE page_views SET views = views + 10 WHERE name = '/b'").await.unwrap();
    let mut recording = JoinSet::new();
    let (recorder, at) = (app.recorder.clone(), AT.parse().unwrap());
    let both = Request::new(vec![increment("/a", at, 1), increment("/b", at, 1)], None);
    recording.spawn(async move { recorder.record(both).await });
    // It has /a and waits for /b.
    until_blocked(&app.database, 1).await;
    other.execute("UPDATE page_views SET views = views + 10 WHERE name = '/a'").await.unwrap();
    other.execute("COMMIT").await.unwrap();
    recording.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(app.counts().await.into_values().collect::<Vec<_>>(), [12, 12]);
}
