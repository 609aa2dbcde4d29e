//! The order in which a refresh announces and reads stale hours, and a recorder commits and reads the announcement:
//! each waits for a lock at the step where another order would break the promise, while PostgreSQL's clock goes back.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use increments::{Recorded, Request};
use sqlx::{Executor, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use wolf::{LockMode, Outcome, Refreshed};

use super::HOUR_MS;
use crate::{
    app::{TestApp, TestDatabase, increment},
    cluster::{self, Cluster, Machine},
    exactly_once::until_blocked,
    machine_clock::MachineClock,
};

/// The service on a PostgreSQL with a clock of its own, and a connection that holds locks.
struct Fixture {
    app: TestApp,
    holder: PgConnection,
    clock: MachineClock,
    _cluster: Cluster,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server runs as another user, and reads the clock's file.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let clock = MachineClock::new(folder.path(), "database");
        let cluster = Cluster::start_on(&Machine { clock: Some(&clock), ..Machine::default() }, |_data| {});
        let database = TestDatabase::create_in(&cluster).await;
        database.migrate().await.close().await.unwrap();
        let holder = cluster::connect(&database.url).await;
        Self { app: TestApp::serve(database, |_| {}).await, holder, clock, _cluster: cluster, _folder: folder }
    }

    /// Holds the rows of a table until the next `release`.
    async fn hold(&mut self, rows: &'static str) {
        self.holder.execute("BEGIN").await.unwrap();
        self.holder.execute(rows).await.unwrap();
    }

    async fn release(&mut self) {
        self.holder.execute("COMMIT").await.unwrap();
    }

    fn record(&self, page: &str) -> JoinSet<Recorded> {
        let recorder = self.app.recorder.clone();
        let request = Request::new(vec![increment(page, "2026-03-01T00:00:00Z".parse().unwrap(), 1)], None);
        let mut recording = JoinSet::new();
        recording.spawn(async move { recorder.record(request).await.unwrap() });
        recording
    }

    fn refresh(&self) -> JoinSet<Refreshed> {
        let refresher = self.app.refresher.clone();
        let mut refreshing = JoinSet::new();
        refreshing.spawn(async move {
            match refresher.refresh(LockMode::Wait, None).await.unwrap() {
                Outcome::Refreshed(done) => done,
                Outcome::Standby => panic!("a refresh that waits for its lock stood by"),
            }
        });
        refreshing
    }

    async fn reported_views(&self) -> i64 {
        let rows = self.app.report_rows().await;
        rows.iter().filter(|((grain, name, ..), _)| *grain == "month" && name.is_empty()).map(|(_, views)| views).sum()
    }
}

/// Lets each commit that marks an hour wait for an advisory lock.
const WAITING_COMMITS: &str = "
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON stale_hours DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait()";

async fn end<T: 'static>(mut task: JoinSet<T>) -> T {
    task.join_next().await.unwrap().unwrap()
}

/// A refresh that read stale hours before its announcement was committed would promise increments that it has not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_reads_stale_hours_after_its_announcement() {
    let mut fixture = Fixture::new().await;
    fixture.hold("SELECT FROM refresh_clock FOR UPDATE").await;
    let refreshing = fixture.refresh();
    // The refresh has read the clock, and waits to announce.
    until_blocked(&fixture.app.database, 1).await;
    fixture.clock.set(-HOUR_MS);
    let recorded = end(fixture.record("/a")).await;
    fixture.release().await;
    let as_of = end(refreshing).await.as_of.unwrap();
    assert!(recorded.recorded_at <= as_of, "asOf promises it: {} {as_of}", recorded.recorded_at);
    assert_eq!(fixture.reported_views().await, 1, "so the report has it");
}

/// A recorder that read the announcement before its commit would return a time that an earlier refresh promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorder_reads_the_announcement_after_its_commit() {
    let mut fixture = Fixture::new().await;
    end(fixture.record("/a")).await;
    fixture.holder.execute(WAITING_COMMITS).await.unwrap();
    fixture.hold("SELECT pg_advisory_xact_lock(1)").await;
    let recording = fixture.record("/a");
    // All rows are written, and the commit waits.
    until_blocked(&fixture.app.database, 1).await;
    let as_of = end(fixture.refresh()).await.as_of.unwrap();
    fixture.clock.set(-HOUR_MS);
    fixture.release().await;
    let recorded = end(recording).await;
    assert!(recorded.recorded_at > as_of, "{} {as_of}", recorded.recorded_at);
    assert_eq!(fixture.reported_views().await, 1);
    let as_of = end(fixture.refresh()).await.as_of.unwrap();
    assert!(recorded.recorded_at <= as_of, "the next refresh promises it");
    assert_eq!(fixture.reported_views().await, 2);
}
