//! Links to PostgreSQL that are dead without a reset: statements that wait on one are given up and retried on another,
//! and slow statements on live links are not.

use std::time::Duration;

use entity::report_refresh;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement, TransactionTrait};
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use storage::{Database, Purpose};
use tokio::task::JoinSet;
use wolf::{LockMode, Outcome, Refresher};

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    cluster,
    exactly_once::until_blocked,
    model,
    process::Server,
    proxy::Proxy,
    wait::eventually,
    websocket::WebSocket,
};

const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { recordedAt } }";
/// With another page each time, so that no result is cached.
const REPORT: &str = "query ($pages: PageFilter) { report(filter: { pages: $pages }) { totals { views } } }";
const LOCK: &str = "BEGIN; LOCK TABLE page_views_report IN ACCESS EXCLUSIVE MODE";
/// Short, because tests wait for it.
const LINK_CHECK_MS: u32 = 400;
const ARGUMENTS: [&str; 8] = [
    "--link-check-ms",
    "400",
    "--record-timeout-ms",
    "2000",
    "--database-timeout-ms",
    "2000",
    "--refresh-cron",
    "* * * * * *",
];

/// A migrated database, the proxy before it, and the same database behind that.
async fn database_behind_proxy() -> (TestDatabase, Database, Proxy, TestDatabase) {
    let database = TestDatabase::create(Rung::Table).await;
    let direct = database.migrate().await;
    let proxy = Proxy::start(database.server()).await;
    let through = database.through(&proxy);
    (database, direct, proxy, through)
}

/// Connections of this process that check their links early.
async fn connect(through: &TestDatabase) -> Database {
    let mut settings = through.settings();
    settings.connection.link_check_ms = LINK_CHECK_MS;
    settings.connection.database_timeout_ms = 2_000;
    Database::connect(&settings).await.unwrap()
}

/// Records until it is acknowledged, and returns `recordedAt`.
async fn record(server: &Server) -> String {
    let mut recorded_at = None;
    eventually("an increment to be recorded", async || {
        recorded_at = server.data(RECORD, json!({})).await.ok();
        recorded_at.is_some()
    })
    .await;
    recorded_at.unwrap()["recordPageViews"]["recordedAt"].as_str().unwrap().to_owned()
}

/// Reads events until `asOf` is at or after `recorded_at`.
async fn until_as_of(socket: &mut WebSocket, recorded_at: &str) {
    socket.freshness_that(|freshness| freshness["asOf"].as_str().is_some_and(|as_of| as_of >= recorded_at)).await;
}

async fn report(server: &Server, page: &str) -> Result<Value, String> {
    server.data(REPORT, json!({ "pages": { "names": [page] } })).await
}

/// Checks that the report equals the model.
async fn assert_exact(direct: &Database) {
    assert!(matches!(Refresher::new(direct).refresh(LockMode::Wait, None).await.unwrap(), Outcome::Refreshed(_)));
    assert_eq!(report_rows(direct).await, model::report(&counts(direct).await));
}

/// How many sessions of the database stand in an open transaction.
async fn open_transactions(direct: &Database) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND state LIKE 'idle in transaction%'";
    let row = direct.readers.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// A connection with a lock on the report, for which readers wait.
async fn lock_report(url: &str) -> PgConnection {
    let mut holder = cluster::connect(url).await;
    holder.execute(LOCK).await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorder_wolf_readers_and_feed_replace_dead_idle_connections() {
    let (_database, direct, proxy, through) = database_behind_proxy().await;
    let server = Server::start(&through, &ARGUMENTS);
    let mut socket = WebSocket::subscribed_to_freshness(&server.address).await;
    for round in 0..3 {
        let recorded_at = record(&server).await;
        until_as_of(&mut socket, &recorded_at).await;
        eventually("a report", async || report(&server, "/a").await.is_ok()).await;
        // All open connections, the listener's too.
        proxy.freeze();
        let recorded_at = record(&server).await;
        until_as_of(&mut socket, &recorded_at).await;
        eventually("a report", async || report(&server, &format!("/{round}")).await.is_ok()).await;
        let status = async || server.client.get(server.url("/health/ready")).send().await.unwrap().status();
        eventually("the process to be ready", async || status().await == 200).await;
        let scrape = server.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(scrape.contains("analytics_stale_hour_backlog"), "{scrape}");
    }
    drop(server);
    assert_exact(&direct).await;
}

/// During a refresh, while one Wolf waits for a lock and another stands by: both continue, and nothing is left of
/// the transaction whose link died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wolves_continue_after_a_link_dies_during_a_refresh() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let behind = Server::start(&through, &ARGUMENTS);
    let mut socket = WebSocket::subscribed_to_freshness(&behind.address).await;
    until_as_of(&mut socket, &record(&behind).await).await;
    let mut holder = cluster::connect(&database.url).await;
    holder.execute("BEGIN; LOCK TABLE page_views_report IN EXCLUSIVE MODE").await.unwrap();
    record(&behind).await;
    until_blocked(&direct, 1).await;
    let beside = Server::start(&database, &ARGUMENTS);
    proxy.freeze();
    holder.execute("COMMIT").await.unwrap();
    // A subscriber of the first process gets the refresh of the other one, too.
    let recorded_at = record(&beside).await;
    until_as_of(&mut socket, &recorded_at).await;
    drop(beside);
    until_as_of(&mut socket, &record(&behind).await).await;
    drop(behind);
    assert_exact(&direct).await;
}

/// A Wolf whose host is gone for good: its transaction, with the lock that only one Wolf has, is ended by the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standby_wolf_takes_over_when_the_first_is_cut_off_in_a_transaction() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let gone = connect(&through).await;
    let transaction = gone.background.begin(Purpose::Change).await.unwrap();
    // The lock of wolf/src/turn.rs.
    transaction.execute_unprepared("SELECT pg_advisory_xact_lock(x'776f6c66'::bigint)").await.unwrap();
    proxy.stall();
    let beside = Server::start(&database, &ARGUMENTS);
    let mut socket = WebSocket::subscribed_to_freshness(&beside.address).await;
    until_as_of(&mut socket, &record(&beside).await).await;
    drop(beside);
    proxy.resume();
    assert!(transaction.commit().await.is_err(), "it was ended");
    gone.close().await.unwrap();
    assert_exact(&direct).await;
}

/// Before the commit arrives, and after it was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_refresh_includes_what_a_commit_lost_on_a_dead_link_left() {
    let (_database, direct, proxy, through) = database_behind_proxy().await;
    let connections = connect(&through).await;
    let refresher = Refresher::new(&connections);
    for round in 0..4 {
        let mark = "INSERT INTO pages (name, first_seen_at) VALUES ('/a', now()) ON CONFLICT DO NOTHING;
            INSERT INTO page_views VALUES ('/a', '2026-03-01', 0, 1, now())
                ON CONFLICT (name, date, hour) DO UPDATE SET views = page_views.views + 1;
            INSERT INTO stale_hours (date, hour) VALUES ('2026-03-01', 0)";
        direct.background.execute_unprepared(mark).await.unwrap();
        if round % 2 == 0 {
            proxy.freeze_before_next_commit();
        } else {
            proxy.freeze_next_commit();
        }
        assert!(refresher.refresh(LockMode::Wait, None).await.is_err(), "its first commit was lost");
        assert!(if round % 2 == 0 { proxy.has_frozen_before_commit() } else { proxy.has_frozen_commit() });
        assert!(matches!(refresher.refresh(LockMode::Wait, None).await.unwrap(), Outcome::Refreshed(_)));
        assert_eq!(open_transactions(&direct).await, 0, "nothing is left of it");
        assert_exact(&direct).await;
    }
    connections.close().await.unwrap();
}

/// More often than there are connections, in the middle of statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_on_dead_links_do_not_exhaust_the_reader_pool() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let connections = connect(&through).await;
    let query = "SELECT count(*) FROM page_views_report";
    let query = Statement::from_string(DbBackend::Postgres, query);
    for _ in 0..2 {
        let mut holder = lock_report(&database.url).await;
        let mut asking = JoinSet::new();
        // As many as the pool has connections.
        for _ in 0..2 {
            let (readers, query) = (connections.readers.clone(), query.clone());
            asking.spawn(async move { readers.query_one_raw(query).await });
        }
        until_blocked(&direct, 2).await;
        proxy.freeze();
        holder.execute("COMMIT").await.unwrap();
        while let Some(asked) = asking.join_next().await {
            let error = asked.unwrap().unwrap_err().to_string();
            assert!(error.contains("the connection is dead"), "{error}");
        }
        assert!(connections.readers.query_one_raw(query.clone()).await.is_ok());
        eventually("nothing to be left of them", async || open_transactions(&direct).await == 0).await;
    }
    connections.close().await.unwrap();
}

/// The queries are cancelled before their connections are known to be dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_statements_on_dead_links_release_their_connections() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let connections = connect(&through).await;
    let query = Statement::from_string(DbBackend::Postgres, "SELECT count(*) FROM page_views_report");
    let mut holder = lock_report(&database.url).await;
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let (readers, query) = (connections.readers.clone(), query.clone());
        asking.spawn(async move { readers.query_one_raw(query).await });
    }
    until_blocked(&direct, 2).await;
    asking.shutdown().await;
    proxy.freeze();
    holder.execute("COMMIT").await.unwrap();
    eventually("a connection", async || connections.readers.query_one_raw(query.clone()).await.is_ok()).await;
    connections.close().await.unwrap();
}

/// Statements that take longer than many checks, waiting for a lock or working, end on the connection on which they
/// began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_statements_on_live_links_are_not_cancelled() {
    let (database, direct, _proxy, through) = database_behind_proxy().await;
    let mut settings = through.settings();
    settings.connection.link_check_ms = 100;
    let connections = Database::connect(&settings).await.unwrap();
    let mut holder = lock_report(&database.url).await;
    let refreshing = Refresher::new(&connections);
    let mut tasks = JoinSet::new();
    direct
        .background
        .execute_unprepared("INSERT INTO stale_hours (date, hour) VALUES ('2026-03-01', 0)")
        .await
        .unwrap();
    tasks.spawn(
        async move { refreshing.refresh(LockMode::Wait, None).await.map(drop).map_err(|error| error.to_string()) },
    );
    let (readers, wolf) = (connections.readers.clone(), connections.background.clone());
    let slow = "SELECT pg_sleep(2)";
    tasks.spawn(async move { readers.execute_unprepared(slow).await.map(drop).map_err(|error| error.to_string()) });
    tasks.spawn(async move { wolf.execute_unprepared(slow).await.map(drop).map_err(|error| error.to_string()) });
    until_blocked(&direct, 1).await;
    holder.execute("SELECT pg_sleep(2)").await.unwrap();
    holder.execute("COMMIT").await.unwrap();
    while let Some(ended) = tasks.join_next().await {
        assert_eq!(ended.unwrap(), Ok(()));
    }
    connections.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migration_on_a_dead_link_fails_and_changes_nothing() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let connections = connect(&through).await;
    let mut holder = cluster::connect(&database.url).await;
    holder.execute("BEGIN; LOCK TABLE pages IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let migrated = connections.migrate(async |db| {
            let transaction = db.begin().await?;
            transaction.execute_unprepared("ALTER TABLE pages ADD COLUMN new text").await?;
            transaction.commit().await
        });
        migrated.await.map_err(|error: DbErr| error.to_string())
    });
    until_blocked(&direct, 1).await;
    proxy.freeze();
    holder.execute("COMMIT").await.unwrap();
    let error = tasks.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(error.contains("the connection is dead"), "{error}");
    let left = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'pages'::regclass AND attname = 'new'";
    let row = direct.readers.query_one_raw(Statement::from_string(DbBackend::Postgres, left)).await.unwrap().unwrap();
    assert_eq!((row.try_get_by_index::<i64>(0).unwrap(), open_transactions(&direct).await), (0, 0));
}

/// The link of the listener is dead, and the clock alone makes the report overdue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriber_gets_overdue_when_the_link_to_the_database_is_dead() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let wolf = Server::start(&database, &[&ARGUMENTS[..], &["--services", "wolf"]].concat());
    let reports = Server::start(&through, &[&ARGUMENTS[..], &["--services", "reports"]].concat());
    let mut socket = WebSocket::subscribed_to_freshness(&reports.address).await;
    socket.freshness_that(|freshness| freshness["status"] == "FRESH").await;
    proxy.stall();
    socket.freshness_that(|freshness| freshness["status"] == "OVERDUE").await;
    proxy.freeze();
    proxy.resume();
    socket.freshness_that(|freshness| freshness["status"] == "FRESH").await;
    drop((wolf, reports));
    assert!(report_refresh::Entity::find().all(&direct.readers).await.unwrap().len() > 1);
}

/// All links are dead, new ones too, amid a refresh, a query and a recording.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_with_dead_links_shuts_down_within_its_timeout() {
    let (database, direct, proxy, through) = database_behind_proxy().await;
    let arguments = [&ARGUMENTS[..], &["--shutdown-timeout-ms", "12000"]].concat();
    let mut server = Server::start(&through, &arguments);
    let mut socket = WebSocket::subscribed_to_freshness(&server.address).await;
    until_as_of(&mut socket, &record(&server).await).await;
    let holder = lock_report(&database.url).await;
    record(&server).await;
    let mut asking = JoinSet::new();
    let (client, url) = (server.client.clone(), server.url("/graphql"));
    for query in [RECORD, "{ report(filter: { interval: { period: TODAY } }) { totals { views } } }"] {
        let asked = client.post(&url).json(&json!({ "query": query })).timeout(Duration::from_secs(60)).send();
        asking.spawn(asked);
    }
    until_blocked(&direct, 2).await;
    proxy.stall();
    drop(holder);
    let recording = client.post(&url).json(&json!({ "query": RECORD })).timeout(Duration::from_secs(60));
    asking.spawn(recording.send());
    server.signal("TERM");
    let status = tokio::task::spawn_blocking(move || server.child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    proxy.resume();
    asking.shutdown().await;
    assert_exact(&direct).await;
}
