//! Clocks that are set while the service runs, for whole processes: `asOf` stays true, refreshes continue, and no
//! idempotency key is forgotten early.

mod announcement_order;
mod random_clocks;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{refresh_clock, report_refresh};
use increments::{Client, IdempotencyKey, Request};
use serde_json::{Value, json};
use storage::clock;
use tempfile::TempDir;

use wolf::{LockMode, Maintenance, Refresher};

use crate::{
    app::{Rung, TestApp, TestDatabase, increment},
    cluster::{Cluster, Machine},
    machine_clock::MachineClock,
    on_all_databases,
    process::{self, Server},
    wait::eventually,
    websocket::WebSocket,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) {
    recordPageViews(input: $input) { recordedAt duplicate } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) {
    freshness { asOf lookedAt status stalenessSeconds } totals { views } } }";
const HOUR_MS: i64 = 3_600_000;

/// The machine whose clock is set.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Set {
    /// The machine of the service's processes; on SQLite there is no other.
    Services,
    /// The machine of PostgreSQL.
    Database,
}

/// A machine whose clock is set, and the service that uses it.
struct Fixture {
    set: Set,
    clock: MachineClock,
    database: TestDatabase,
    _cluster: Option<Cluster>,
    folder: TempDir,
}

impl Fixture {
    async fn new(rung: Rung, set: Set) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL's server runs as another user, and reads the clock's file.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let clock = MachineClock::new(folder.path(), "machine");
        let cluster = (set == Set::Database)
            .then(|| Cluster::start_on(&Machine { clock: Some(&clock), ..Machine::default() }, |_data| {}));
        let database = match &cluster {
            Some(cluster) => TestDatabase::create_in(cluster).await,
            None => TestDatabase::create(rung).await,
        };
        database.migrate().await.close().await.unwrap();
        Self { set, clock, database, _cluster: cluster, folder }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = process::analytics(&self.database, arguments);
        if self.set == Set::Services {
            command.envs(self.clock.environment());
        }
        command
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The log of the service.
    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    fn serve(&self) -> Server {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--refresh-cron", "* * * * * *"];
        let mut command = self.command(&arguments);
        command.stderr(File::options().create(true).append(true).open(self.log_file()).unwrap());
        Server::of(command)
    }

    /// Runs a command to its end.
    fn succeed(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "analytics {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

async fn record(server: &Server, page: &str, key: Option<&str>) -> (DateTime<Utc>, bool) {
    // At a time that no clock of these tests makes too late or too early.
    let increments = json!([{ "page": page, "at": "2026-03-01T00:00:00Z" }]);
    let input = json!({ "increments": increments, "idempotencyKey": key });
    let recorded = server.data(RECORD, json!({ "input": input })).await.unwrap()["recordPageViews"].take();
    (time(&recorded["recordedAt"]), recorded["duplicate"].as_bool().unwrap())
}

async fn report(server: &Server) -> Value {
    server.data(REPORT, json!({})).await.unwrap()["report"].take()
}

/// Waits until `asOf` is at or after `recorded_at`, when the report must have `views`. Until then no `asOf` may
/// be as late without them, and `asOf` does not fall.
async fn until_as_of(server: &Server, recorded_at: DateTime<Utc>, views: i64) -> Value {
    let mut last = None;
    let mut found = Value::Null;
    eventually("the report to have what was recorded", async || {
        found = report(server).await;
        let freshness = &found["freshness"];
        let as_of = freshness["asOf"].as_str().map(|_| time(&freshness["asOf"]));
        assert!(as_of >= last, "asOf fell from {last:?}: {found}");
        last = as_of;
        assert!(freshness["stalenessSeconds"].as_f64().is_none_or(|staleness| staleness >= 0.0), "{found}");
        let promised = as_of >= Some(recorded_at);
        assert!(
            !promised || found["totals"]["views"] == views,
            "asOf is after {recorded_at}, but the report lacks the views: {found}"
        );
        promised
    })
    .await;
    found
}

/// The step is longer than the test waits: no clock comes back to where it was.
async fn clock_set_back_stops_no_refresh(rung: Rung, set: Set) {
    let fixture = Fixture::new(rung, set).await;
    let server = fixture.serve();
    let (before, _) = record(&server, "/a", None).await;
    until_as_of(&server, before, 1).await;
    fixture.clock.set(-HOUR_MS);
    let (after, _) = record(&server, "/b", None).await;
    let found = until_as_of(&server, after, 2).await;
    assert_ne!(found["freshness"]["status"], "OVERDUE", "{found}");
    if rung == Rung::Sqlite || set == Set::Database {
        assert!(after > before, "{after} {before}");
        assert!(time(&found["freshness"]["lookedAt"]) < before - TimeDelta::minutes(59), "{found}");
        assert!(found["freshness"]["stalenessSeconds"].as_f64().unwrap() < 60.0, "{found}");
    }
    // The schedule continues, too.
    for views in 3..6 {
        let (recorded_at, _) = record(&server, "/c", None).await;
        until_as_of(&server, recorded_at, views).await;
    }
    let log = fixture.log();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("clock went back")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    let back_ms = warnings[0].split("clock.back_ms=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let back_ms: i64 = back_ms.parse().unwrap();
    assert!((HOUR_MS - 60_000..=HOUR_MS + 60_000).contains(&back_ms), "{log}");
    process::succeed(&fixture.database, &["verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_set_back_stops_no_refresh_on_sqlite() {
    clock_set_back_stops_no_refresh(Rung::Sqlite, Set::Services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_set_back_stops_no_refresh_on_postgres() {
    clock_set_back_stops_no_refresh(Rung::MaterializedView, Set::Services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_clock_set_back_stops_no_refresh() {
    clock_set_back_stops_no_refresh(Rung::Table, Set::Database).await;
}

/// A clock that was 25 hours ahead for a moment leaves only an `asOf` that is ahead.
async fn as_of_holds_after_the_clock_was_a_day_ahead(rung: Rung, set: Set) {
    let fixture = Fixture::new(rung, set).await;
    let server = fixture.serve();
    let (recorded_at, _) = record(&server, "/a", Some("key")).await;
    until_as_of(&server, recorded_at, 1).await;
    drop(server);

    fixture.clock.set(25 * HOUR_MS);
    // The maintenance at the start prunes old rows.
    let server = fixture.serve();
    let (ahead, _) = record(&server, "/b", None).await;
    let found = until_as_of(&server, ahead, 2).await;
    assert!(time(&found["freshness"]["asOf"]) > clock::process_now() + TimeDelta::hours(24), "{found}");
    assert!(record(&server, "/a", Some("key")).await.1, "the key is minutes old");
    drop(server);

    fixture.clock.set(0);
    let server = fixture.serve();
    let (recorded_at, duplicate) = record(&server, "/a", Some("key")).await;
    assert!(duplicate && recorded_at > ahead, "{recorded_at} {ahead}");
    let (recorded_at, _) = record(&server, "/c", None).await;
    let found = until_as_of(&server, recorded_at, 3).await;
    assert_eq!(found["freshness"]["status"], "FRESH", "{found}");
    assert!(time(&found["freshness"]["lookedAt"]) <= clock::process_now(), "{found}");
    assert!(found["freshness"]["stalenessSeconds"].as_f64().unwrap() < 60.0, "{found}");
    // One recorded, and one rebuilt without a schedule.
    drop(server);
    let server = fixture.serve();
    let (recorded_at, _) = record(&server, "/d", None).await;
    fixture.succeed(&["rebuild"]);
    until_as_of(&server, recorded_at, 4).await;
    process::succeed(&fixture.database, &["verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_holds_after_the_clock_was_a_day_ahead_on_sqlite() {
    as_of_holds_after_the_clock_was_a_day_ahead(Rung::Sqlite, Set::Services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_holds_after_the_clock_was_a_day_ahead_on_postgres() {
    as_of_holds_after_the_clock_was_a_day_ahead(Rung::MaterializedView, Set::Database).await;
}

/// Clocks of two machines differ by two hours: the Wolf's is ahead, and a reader's behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_does_not_depend_on_differences_between_machine_clocks() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    database.migrate().await.close().await.unwrap();
    let serve = |services: &str, offset_ms: i64| {
        let clock = MachineClock::new(database.folder.path(), services);
        clock.set(offset_ms);
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--services", services];
        let mut command = process::analytics(&database, &arguments);
        command.args(["--refresh-cron", "*/3 * * * * *"]).envs(clock.environment());
        Server::of(command)
    };
    let (reader, wolf) = (serve("reports", -HOUR_MS), serve("wolf", HOUR_MS));
    let freshness = async || report(&reader).await["freshness"].take();
    eventually("a refresh", async || freshness().await["status"] == "FRESH").await;
    let found = freshness().await;
    assert!(found["stalenessSeconds"].as_f64().unwrap() < 60.0, "{found}");
    drop(wolf);
    eventually("the report to be overdue", async || freshness().await["status"] == "OVERDUE").await;
}

/// Whatever the clock showed in between, a response is that of the present day: computed, cached, or by 304.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etag_and_response_cache_follow_the_clock() {
    let fixture = Fixture::new(Rung::Sqlite, Set::Services).await;
    fixture.succeed(&["refresh"]);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--services", "reports"];
    let server = Server::of(fixture.command(&arguments));
    let query = "{ report(filter: { interval: { period: TODAY } }) { interval { start end } freshness { asOf } } }";
    let get = async |tags: &str| {
        let request = server.client.get(server.url("/graphql")).query(&[("query", query)]);
        let response = request.header("if-none-match", tags).send().await.unwrap();
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        (response.status() == 304, tag, response.text().await.unwrap())
    };
    let mut answers = std::collections::BTreeMap::new();
    for days in [0, 1, 0, -1, 0, 1, -30, 0] {
        fixture.clock.set(days * 24 * HOUR_MS);
        let today = || (clock::process_now() + TimeDelta::days(days)).date_naive().to_string();
        let before = today();
        let (_, tag, answer) = get("\"none\"").await;
        assert!([before, today()].iter().any(|day| answer.contains(&format!("\"start\":\"{day}"))), "{days}: {answer}");
        assert_eq!(answers.entry(tag).or_insert_with(|| answer.clone()), &answer, "{days} days");
        let tags: Vec<_> = answers.keys().cloned().collect();
        let (not_modified, tag, _) = get(&tags.join(", ")).await;
        // The minute may have come at which an answer changes.
        assert!(!not_modified || answers[&tag] == answer || get("\"none\"").await.2 == answers[&tag], "{days} days");
    }
}

/// An event of a page that has not changed shows the day that it is, and which hours are over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_unchanged_page_follow_the_clock() {
    let fixture = Fixture::new(Rung::Sqlite, Set::Services).await;
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--refresh-cron", "0 0 0 1 1 *"];
    let server = Server::of(fixture.command(&arguments));
    record(&server, "/a", None).await;
    let report = "{ report(filter: { pages: { names: [\"/a\"] }, interval: { period: TODAY } }) {
        interval { start } series(granularity: HOUR) { start complete } freshness { refreshId } } }";
    let mut socket = WebSocket::connect(&server.address).await;
    socket.subscribe("1", &format!("subscription {report}")).await;
    let database = fixture.database.connect().await;
    // Not close to where another hour begins.
    let middle = 30 * 60_000 - clock::process_now().timestamp_millis() % HOUR_MS;
    for hours in [0, 24, 25, 60, 24, 48] {
        fixture.clock.set(middle + hours * HOUR_MS);
        fixture.succeed(&["refresh"]);
        let newest = report_refresh::newest(&database.readers).await.unwrap().unwrap().id.to_string();
        let refresh = |data: &Value| data["report"]["freshness"]["refreshId"] == newest;
        let mut expected = Value::Null;
        eventually("the refresh to be shown", async || {
            expected = server.data(report, json!({})).await.unwrap();
            refresh(&expected)
        })
        .await;
        let event = loop {
            let event = socket.next().await["payload"]["data"].take();
            if refresh(&event) {
                break event;
            }
        };
        assert_eq!(event, expected, "{hours} hours");
    }
}

/// So many minutes.
fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

on_all_databases! {
    async fn key_counts_once_for_24_hours_of_elapsed_time(app: TestApp) {
        let is_duplicate = async || {
            let key = IdempotencyKey::of_client("key".to_owned(), Client::anonymous()).unwrap();
            let increments = vec![increment("/a", "2026-03-01T00:00:00Z".parse().unwrap(), 1)];
            app.recorder.record(Request::new(increments, Some(key))).await.unwrap().duplicate
        };
        let refresh_and_maintain_after = async |passed| {
            app.database.clock.pass(passed);
            app.refresh().await;
            Maintenance::new(&app.database, None).run().await.unwrap();
        };
        app.refresh().await;
        // Three hours after the last refresh, so that the database does not know yet how much time has passed.
        app.database.clock.pass(minutes(3 * 60));
        assert!(!is_duplicate().await);
        for passed in [0, 12 * 60, 12 * 60 + 5] {
            refresh_and_maintain_after(minutes(passed)).await;
            assert!(is_duplicate().await, "{passed} minutes later");
        }
        // The wall clock does not matter. (On PostgreSQL this one is not read; tests above set the other.)
        for hours in [25, -50] {
            app.database.clock.step(TimeDelta::hours(hours));
            refresh_and_maintain_after(minutes(0)).await;
            assert!(is_duplicate().await, "the clock is set {hours} hours");
        }
        refresh_and_maintain_after(minutes(6)).await;
        assert!(!is_duplicate().await, "after 24 hours it counts again");
    }

    async fn elapsed_time_does_not_depend_on_the_number_of_wolves(app: TestApp) {
        const ROUNDS: u64 = 10;
        let other = app.test_database.connect().await;
        let other_refresher = Refresher::new(&other);
        let elapsed_ms = async || refresh_clock::read(&app.database.readers).await.unwrap().elapsed_ms;
        let begun = Instant::now();
        for _ in 0..=ROUNDS {
            app.refresh().await;
            other_refresher.refresh(LockMode::Wait, None).await.unwrap();
            [&app.database, &other].into_iter().for_each(|database| database.clock.pass(minutes(60)));
        }
        let rounds_ms = i64::try_from(minutes(60 * ROUNDS).as_millis()).unwrap();
        let really_ms = i64::try_from(begun.elapsed().as_millis()).unwrap();
        let passed_ms = elapsed_ms().await;
        assert!((rounds_ms..=rounds_ms + really_ms).contains(&passed_ms), "{passed_ms} of {rounds_ms}");
        // A new Wolf adds no time from before its start.
        Refresher::new(&app.test_database.connect().await).refresh(LockMode::Wait, None).await.unwrap();
        assert_eq!(elapsed_ms().await, passed_ms);
    }
}

/// Dropped hours do not come back, so a clock that has jumped ahead is only trusted after an hour of even progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_is_briefly_ahead_drops_no_hours() {
    let app = TestApp::start(Rung::Sqlite).await;
    let clock = &app.database.clock;
    let three_days_ago = (clock.now() - TimeDelta::days(3)).to_rfc3339();
    app.record([("/a", three_days_ago.as_str(), 1)]).await;
    let hours_after_maintenance = async || {
        app.refresh().await;
        Maintenance::new(&app.database, Some(24 * 5)).run().await.unwrap();
        app.counts().await.len()
    };
    assert_eq!(hours_after_maintenance().await, 1);
    clock.step(TimeDelta::days(10));
    assert_eq!(hours_after_maintenance().await, 1);
    clock.pass(minutes(59));
    assert_eq!(hours_after_maintenance().await, 1);
    clock.step(TimeDelta::days(-10));
    clock.pass(minutes(2));
    assert_eq!(hours_after_maintenance().await, 1, "it was wrong");
    clock.step(TimeDelta::days(10));
    assert_eq!(hours_after_maintenance().await, 1);
    clock.pass(minutes(61));
    assert_eq!(hours_after_maintenance().await, 0, "it stays there");
}
