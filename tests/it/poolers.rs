//! A pooler between the service and PostgreSQL: what each way of pooling carries.

use entity::{Purpose, snapshot::Snapshots};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;

use crate::{
    app::{Rung, TestDatabase},
    freshness::{next, subscribe},
    pooler::Pooler,
    process::{self, Server},
};

const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { recordedAt } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
const EACH_SECOND: [&str; 2] = ["--refresh-cron", "* * * * * *"];

/// A migrated database, and the same through a pooler.
async fn pooled(mode: &str, more: &str) -> (TestDatabase, Pooler, TestDatabase) {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    database.migrate().await.close().await.unwrap();
    let pooler = Pooler::start(&database.server(), mode, more);
    let through = database.at(&pooler.address);
    (database, pooler, through)
}

/// Records a page view, waits until a subscriber learns that it is in the report, and finds it there.
async fn record_and_find(server: &Server, views: u64) {
    let mut socket = subscribe(&server.address).await;
    let recorded = server.data(RECORD, json!({})).await.unwrap();
    let recorded_at = recorded["recordPageViews"]["recordedAt"].as_str().unwrap();
    while next(&mut socket).await.unwrap()["asOf"].as_str().is_none_or(|as_of| as_of < recorded_at) {}
    let report = server.data(REPORT, json!({})).await.unwrap();
    assert_eq!(report["report"]["totals"]["views"], views);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_pooling_with_the_poolers_defaults_carries_everything() {
    let (database, _pooler, through) = pooled("session", "").await;
    let server = Server::start(&through, &EACH_SECOND);
    for views in 1..=3 {
        record_and_find(&server, views).await;
    }
    assert!(process::succeed(&through, &["migrate", "status"]).starts_with("applied"));
    process::succeed(&through, &["rebuild", "--as", "table"]);
    process::succeed(&through, &["refresh"]);
    process::succeed(&database, &["verify"]);
}

/// What a transaction needs is set in it, and nothing of it is left for whoever gets its connection next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_transaction_end_with_it() {
    const LIMITS: &str = "SELECT current_setting('statement_timeout') || ' ' ||
        current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('transaction_isolation') || ' ' ||
        current_setting('transaction_read_only')";
    let database = TestDatabase::create(Rung::MaterializedView).await;
    let database = database.migrate().await;
    async fn limits(db: &impl ConnectionTrait) -> String {
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, LIMITS)).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }
    let begun = Snapshots::for_queries(&database).begin().await.unwrap();
    assert_eq!(limits(&begun).await, "30s 10s repeatable read on");
    begun.rollback().await.unwrap();
    let begun = Snapshots::for_wolf(&database).begin().await.unwrap();
    assert_eq!(limits(&begun).await, "0 10s repeatable read on");
    begun.rollback().await.unwrap();
    let change = database.wolf.begin(Purpose::Change).await.unwrap();
    assert_eq!(limits(&change).await, "0 10s read committed off");
    change.rollback().await.unwrap();
    assert_eq!(limits(&database.readers).await, "30s 10s read committed on");
    for db in [&database.readers, &database.wolf] {
        // On the same connection, behind the transaction's end.
        let ended = db.begin(Purpose::Change).await.unwrap();
        ended.execute_unprepared("COMMIT").await.unwrap();
        assert_eq!(limits(&ended).await, "0 0 read committed off");
    }
}
