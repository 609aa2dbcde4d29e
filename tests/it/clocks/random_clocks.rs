//! Several processes record, refresh and read while their clocks and the database's jump both ways at any step: `asOf`
//! stays true and does not fall, and a key counts once for 24 hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Grain, idempotency_key, page_views_report as report};
use futures_util::future::join_all;
use increments::{Client, Committer, IdempotencyKey, Recorded, Recorder, Request};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use reports::freshness::Freshness;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use storage::{Database, snapshot::Snapshots};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wolf::{LockMode, Maintenance, Refresher, Schedule};

use crate::{
    app::{Rung, TestDatabase, increment},
    cluster::{Cluster, Machine},
    exactly_once::SETTINGS,
    machine_clock::MachineClock,
};

const PROCESSES: usize = 3;
const STEPS: usize = 40;
const KEYS: u8 = 5;
const KEY_COUNTS_ONCE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
enum Step {
    /// Sets a process's clock by a number of minutes.
    Set(usize, i64),
    /// Sets the database's clock: on SQLite that of all processes.
    SetDatabase(i64),
    /// Lets a number of minutes pass, for all.
    Pass(u32),
    Record(usize),
    /// The same request, with the same key, as often as this comes.
    Retry(usize, u8),
    Refresh(usize),
    /// A refresh that is cut off after so many microseconds, wherever it is then.
    Cut(usize, u64),
    Rebuild(usize),
    Maintain(usize),
    /// All processes record, refresh and read at once, and before each a clock is set by so many milliseconds.
    AtOnce(Vec<i64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = || 0..PROCESSES;
    // Mostly small jumps, as corrections are, and some of more than a day.
    let minutes = || prop_oneof![3 => -90..90_i64, 1 => -3_000..3_000_i64];
    let step = prop_oneof![
        3 => (process(), minutes()).prop_map(|(process, minutes)| Step::Set(process, minutes)),
        4 => minutes().prop_map(Step::SetDatabase),
        2 => (0..600_u32).prop_map(Step::Pass),
        4 => process().prop_map(Step::Record),
        5 => (process(), 0..KEYS).prop_map(|(process, key)| Step::Retry(process, key)),
        4 => process().prop_map(Step::Refresh),
        2 => (process(), 0..20_000_u64).prop_map(|(process, micros)| Step::Cut(process, micros)),
        1 => process().prop_map(Step::Rebuild),
        3 => process().prop_map(Step::Maintain),
        3 => prop::collection::vec(-5_000..5_000_i64, PROCESSES * 6).prop_map(Step::AtOnce),
    ];
    prop::collection::vec(step, STEPS)
}

/// Records, refreshes and reads, by clocks of its own.
struct Process {
    database: Database,
    recorder: Recorder,
    refresher: Refresher,
    _committing: JoinSet<()>,
}

/// The `asOf` of a report, and its pages.
struct Promise {
    as_of: DateTime<Utc>,
    pages: BTreeSet<String>,
}

impl Process {
    async fn start(database: &TestDatabase) -> Self {
        let database = database.connect().await;
        let (recorder, committer) = Recorder::new(&database, &SETTINGS);
        let mut committing = JoinSet::new();
        committing.spawn(Committer::run(committer, CancellationToken::new()));
        Self { refresher: Refresher::new(&database), database, recorder, _committing: committing }
    }

    async fn record(&self, page: &str, key: Option<IdempotencyKey>) -> Recorded {
        let increments = vec![increment(page, "2026-03-01T00:00:00Z".parse().unwrap(), 1)];
        self.recorder.record(Request::new(increments, key)).await.unwrap()
    }

    async fn refresh(&self) {
        let schedule: Schedule = "*/10 * * * * *".parse().unwrap();
        self.refresher.refresh(LockMode::Wait, Some(&schedule)).await.unwrap();
    }

    /// Reads both in one snapshot. None before the first refresh.
    async fn read(&self) -> Option<Promise> {
        let snapshot =
            Snapshots::new(&self.database.readers, &self.database.clock, entity::page_views_report::RELATION)
                .begin()
                .await
                .unwrap();
        let freshness = Freshness::read(&snapshot, &self.database.clock).await.unwrap();
        let rows = report::Entity::find().filter(report::Column::Grain.eq(Grain::Month)).all(&snapshot).await.unwrap();
        let staleness = freshness.staleness(Instant::now());
        assert!(staleness.is_none_or(|staleness| staleness >= TimeDelta::zero()), "{staleness:?}");
        Some(Promise { as_of: freshness.as_of?, pages: rows.into_iter().map(|row| row.name).collect() })
    }
}

struct Simulation<'a> {
    rung: Rung,
    processes: Vec<Process>,
    database_clock: Option<(&'a MachineClock, i64)>,
    pages: AtomicU32,
    recorded: Vec<(String, DateTime<Utc>)>,
    promises: Vec<Promise>,
    /// By key: when it was counted last, and how often.
    keys: BTreeMap<u8, (Duration, i64)>,
    passed: Duration,
}

impl<'a> Simulation<'a> {
    async fn new(database: &TestDatabase, rung: Rung, clock: Option<&'a MachineClock>) -> Self {
        let processes = join_all((0..PROCESSES).map(|_| Process::start(database))).await;
        Self {
            rung,
            processes,
            database_clock: clock.map(|clock| (clock, 0)),
            pages: AtomicU32::new(0),
            recorded: Vec::new(),
            promises: Vec::new(),
            keys: BTreeMap::new(),
            passed: Duration::ZERO,
        }
    }

    /// A page that was not recorded before.
    fn new_page(&self) -> String {
        format!("/{}", self.pages.fetch_add(1, Ordering::SeqCst))
    }

    fn set_database_clock(&mut self, by: TimeDelta) {
        match &mut self.database_clock {
            Some((clock, ahead_ms)) => {
                *ahead_ms += by.num_milliseconds();
                clock.set(*ahead_ms);
            }
            None => self.processes.iter().for_each(|process| process.database.clock.step(by)),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.passed += time;
        self.processes.iter().for_each(|process| process.database.clock.pass(time));
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Set(process, minutes) => self.processes[*process].database.clock.step(TimeDelta::minutes(*minutes)),
            Step::SetDatabase(minutes) => self.set_database_clock(TimeDelta::minutes(*minutes)),
            Step::Pass(minutes) => self.pass(Duration::from_secs(60 * u64::from(*minutes))),
            Step::Record(process) => {
                let page = self.new_page();
                let recorded = self.processes[*process].record(&page, None).await;
                self.recorded.push((page, recorded.recorded_at));
            }
            Step::Retry(process, key) => self.retry(*process, *key).await,
            Step::Refresh(process) => self.processes[*process].refresh().await,
            Step::Cut(process, micros) => {
                let refresh = self.processes[*process].refresh();
                drop(tokio::time::timeout(Duration::from_micros(*micros), refresh).await);
            }
            Step::Rebuild(process) => {
                self.processes[*process].refresher.rebuild(None, &|_, _| {}).await.unwrap();
            }
            Step::Maintain(process) => self.maintain(*process).await,
            Step::AtOnce(jumps_ms) => self.at_once(jumps_ms).await,
        }
    }

    async fn maintain(&self, process: usize) {
        Maintenance::new(&self.processes[process].database, None).run().await.unwrap();
    }

    async fn retry(&mut self, process: usize, key: u8) {
        let page = format!("/key/{key}");
        let sent = IdempotencyKey::of_client(format!("key {key}"), Client::anonymous()).unwrap();
        let recorded = self.processes[process].record(&page, Some(sent)).await;
        self.recorded.push((page, recorded.recorded_at));
        let known = self.keys.get(&key).copied();
        let since = known.map(|(counted_at, _)| self.passed - counted_at);
        if recorded.duplicate {
            assert!(since.is_some(), "{key} was never sent before");
        } else {
            assert!(since.is_none_or(|since| since >= KEY_COUNTS_ONCE_FOR), "{key} counts twice in {since:?}");
            self.keys.insert(key, (self.passed, known.map_or(1, |(_, times)| times + 1)));
        }
    }

    async fn at_once(&mut self, jumps_ms: &[i64]) {
        let simulation = &*self;
        let jump = |process: &Process, number: usize| {
            process.database.clock.step(TimeDelta::milliseconds(jumps_ms[number]));
            if let Some((clock, ahead_ms)) = &simulation.database_clock {
                clock.set(ahead_ms + jumps_ms[number]);
            }
        };
        let recording = simulation.processes.iter().enumerate().map(async |(first, process)| {
            let mut recorded = Vec::new();
            for number in 0..3 {
                jump(process, first * 6 + number);
                let page = simulation.new_page();
                let answer = process.record(&page, None).await;
                recorded.push((page, answer.recorded_at));
            }
            recorded
        });
        let refreshing = simulation.processes.iter().enumerate().map(async |(first, process)| {
            let mut promises = Vec::new();
            for number in 3..6 {
                jump(process, first * 6 + number);
                process.refresh().await;
                promises.extend(process.read().await);
            }
            promises
        });
        let reading = simulation.processes.iter().map(async |process| {
            let mut promises = Vec::new();
            for _ in 0..3 {
                promises.extend(process.read().await);
            }
            promises
        });
        let (recorded, refreshed, read) = tokio::join!(join_all(recording), join_all(refreshing), join_all(reading));
        let promises = refreshed.into_iter().chain(read);
        for promises in promises {
            // Each reads one report after the other.
            assert!(promises.is_sorted_by_key(|promise| promise.as_of), "a promise fell");
            self.promises.extend(promises);
        }
        self.recorded.extend(recorded.into_iter().flatten());
    }

    /// Checks that every report has all that was recorded by its `asOf`, and that no `asOf` falls.
    async fn check(&mut self, context: &str) {
        let last = self.promises.iter().map(|promise| promise.as_of).max();
        for process in &self.processes {
            let promise = process.read().await;
            assert!(promise.as_ref().map(|promise| promise.as_of) >= last, "a promise fell; {context}");
            self.promises.extend(promise);
        }
        for Promise { as_of, pages } in &self.promises {
            for (page, recorded_at) in &self.recorded {
                assert!(recorded_at > as_of || pages.contains(page), "{page} of {recorded_at} by {as_of}; {context}");
            }
        }
    }

    async fn check_the_end(&mut self, context: &str) {
        self.processes[0].refresh().await;
        let found = wolf::verify(&self.processes[0].database).await.unwrap();
        assert_eq!(found.differences, [], "{context}");
        let promise = self.processes[0].read().await.unwrap();
        assert!(self.recorded.iter().all(|(page, _)| promise.pages.contains(page)), "{context}");
        let counts = crate::app::counts(&self.processes[0].database).await;
        for (key, (_, times)) in &self.keys {
            let page = format!("/key/{key}");
            let counted: i64 = counts.iter().filter(|((name, ..), _)| *name == page).map(|(_, views)| views).sum();
            assert_eq!(counted, *times, "{page}; {context}");
        }
        // All keys are forgotten in the end.
        for minutes in [1, 25 * 60] {
            self.pass(Duration::from_secs(60 * minutes));
            self.processes[0].refresh().await;
        }
        self.maintain(0).await;
        let keys = idempotency_key::Entity::find().count(&self.processes[0].database.readers).await.unwrap();
        assert_eq!(keys, 0, "{context}");
        self.check(context).await;
    }
}

async fn as_of_holds_whatever_clocks_do(rung: Rung, database: &TestDatabase, clock: Option<&MachineClock>, seed: u8) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let steps = steps().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current();
    let mut simulation = Simulation::new(database, rung, clock).await;
    for (number, step) in steps.iter().enumerate() {
        simulation.step(step).await;
        let rung = simulation.rung;
        simulation.check(&format!("{rung:?}, seed {seed}, after step {number} of {steps:?}")).await;
    }
    simulation.check_the_end(&format!("{rung:?}, seed {seed}, at the end of {steps:?}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_holds_whatever_clocks_do_on_sqlite() {
    for seed in 0..8 {
        let database = TestDatabase::create(Rung::Sqlite).await;
        database.migrate().await.close().await.unwrap();
        as_of_holds_whatever_clocks_do(Rung::Sqlite, &database, None, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_holds_whatever_clocks_do_on_postgres() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let clock = MachineClock::new(folder.path(), "database");
    let cluster = Cluster::start_on(&Machine { clock: Some(&clock), ..Machine::default() }, |_data| {});
    for (seed, rung) in (0..).zip([Rung::Table, Rung::MaterializedView, Rung::Table, Rung::MaterializedView]) {
        let database = TestDatabase { rung, ..TestDatabase::create_in(&cluster).await };
        database.migrate().await.close().await.unwrap();
        clock.set(0);
        as_of_holds_whatever_clocks_do(rung, &database, Some(&clock), seed).await;
    }
}
