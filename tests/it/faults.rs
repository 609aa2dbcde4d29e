//! Random faults of network, database, disk, clocks and processes while clients record and read: nothing acknowledged
//! is lost, nothing counts twice, and no response is wrong.

pub(crate) mod background;
pub(crate) mod clients;
pub(crate) mod expectations;
pub(crate) mod fixture;
pub(crate) mod plan;
pub(crate) mod readers;
pub(crate) mod service;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use entity::kept_day;
use sea_orm::EntityTrait;
use storage::Database;
use tokio::task::{JoinError, JoinSet};

use crate::{
    app::{counts, report_rows},
    model::{self, Counts, Rows},
    process,
};
use fixture::Fixture;
use plan::{Kind, Rng};
use readers::Reader;

const CLIENTS_WITH_KEYS: u64 = 12;
const CLIENTS_WITHOUT: u64 = 12;
const PAUSE: Duration = Duration::from_millis(2);
const DISK_MB: u32 = 256;
/// The series of the seed from which faults are drawn.
const FAULTS_SERIES: u64 = 1_000;
/// The first series from which readers draw.
const READERS_SERIES: u64 = 2_000;
pub(crate) const ONE_PROCESS: Layout = Layout { processes: &["increments,reports,wolf"], arguments: &[] };
pub(crate) const BY_SERVICE: Layout = Layout {
    processes: &["increments", "increments", "reports", "wolf", "wolf"],
    arguments: &["--committers", "2", "--keep-hours", "48"],
};

/// Where the service runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Postgres,
    Sqlite,
}

/// How the service is divided into processes.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The services of each process.
    pub(crate) processes: &'static [&'static str],
    /// Arguments of every process.
    pub(crate) arguments: &'static [&'static str],
}

/// One run of faults.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) variant: Variant,
    /// The kinds of faults to draw from.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) layout: &'static Layout,
    /// How long, and until there was a fault of each kind at least.
    pub(crate) time: Duration,
    /// How long clients pause after a response: the data of a long run has to fit on the disk.
    pub(crate) pause: Duration,
    pub(crate) disk_mb: u32,
}

/// The figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) faults: BTreeMap<&'static str, usize>,
    pub(crate) acknowledged: u64,
    pub(crate) errors: u64,
    pub(crate) duplicates: usize,
    pub(crate) unknown: usize,
    /// How often a connection was ended in the middle of its commit.
    pub(crate) commits_ended: usize,
    pub(crate) refreshes: usize,
    pub(crate) checks: u64,
    pub(crate) not_modified: u64,
    pub(crate) fresh_enough: u64,
    /// The longest time to recover from a fault.
    pub(crate) recovery: Duration,
    /// The output of `verify`.
    pub(crate) verified: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|(kind, times)| format!("{times} {kind}")).collect();
        writeln!(f, "faults:    {} ({})", self.faults.values().sum::<usize>(), faults.join(", "))?;
        writeln!(
            f,
            "recording: {} acknowledged, of them {} duplicates; {} not recorded, {} of unknown fate; {} commits ended in \
             the middle",
            self.acknowledged, self.duplicates, self.errors, self.unknown, self.commits_ended
        )?;
        writeln!(
            f,
            "reading:   {} refreshes seen; {} answers checked, of them {} not modified and {} as fresh as required; whole again \
             after {:.1?} at most",
            self.refreshes, self.checks, self.not_modified, self.fresh_enough, self.recovery
        )?;
        write!(f, "verify:    {}", self.verified.trim_end())
    }
}

impl Variant {
    /// Returns the kinds of faults that there are.
    pub(crate) fn kinds(self) -> Vec<Kind> {
        match self {
            Self::Postgres => plan::postgres(),
            Self::Sqlite => plan::sqlite(),
        }
    }
}

/// Runs the service and its clients while faults are injected, and checks everything. Calls `log` with a line for each
/// fault.
pub(crate) async fn run(plan: &Plan, log: &dyn Fn(&str)) -> Summary {
    let mut fixture = Fixture::new(plan).await;
    let workload = Arc::clone(&fixture.workload);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS_WITH_KEYS {
        clients.spawn(Arc::clone(&workload).record_with_keys(client, Rng::new(plan.seed, 1 + client)));
    }
    for client in 0..CLIENTS_WITHOUT {
        clients.spawn(Arc::clone(&workload).record_without_keys(client, client % 3 != 0));
    }
    for number in 0..fixture.readers.known.len() {
        let rng = Rng::new(plan.seed, READERS_SERIES + u64::try_from(number).unwrap());
        clients.spawn(Reader::new(&workload, &fixture.readers, number, rng).run());
    }
    let mut summary = Summary::default();
    tokio::select! {
        () = inject_faults(plan, &mut fixture, &mut summary, log) => {}
        // A client that ends before the run is stopped has failed an assertion.
        ended = clients.join_next() => unwrap(ended.unwrap()),
    }
    workload.stop.cancel();
    while let Some(client) = clients.join_next().await {
        unwrap(client);
    }
    fixture.end().await;
    check_end(&fixture, &mut summary).await;
    summary
}

/// A failed assertion of a client is one of the whole run.
fn unwrap(client: Result<(), JoinError>) {
    if let Err(error) = client {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn inject_faults(plan: &Plan, fixture: &mut Fixture, summary: &mut Summary, log: &dyn Fn(&str)) {
    let (mut rng, begun) = (Rng::new(plan.seed, 0), Instant::now());
    fixture.until_recovered().await;
    for (number, fault) in Rng::new(plan.seed, FAULTS_SERIES).faults(&plan.kinds).enumerate() {
        if number >= plan.kinds.len() && begun.elapsed() >= plan.time {
            break;
        }
        // The service has recovered by itself each time.
        fixture.until_acknowledged(rng.draw(1..300)).await;
        log(&format!("{:8.1} s  {fault:?}", begun.elapsed().as_secs_f64()));
        *summary.faults.entry(fault.kind()).or_default() += 1;
        let errors = fixture.workload.errors();
        fixture.inject(&fault).await;
        // Others follow at once, so that several faults are there together.
        if rng.draw(0..3) == 0 || fault.needs_recovery() {
            let recovery = fixture.until_recovered().await;
            log(&format!("            {} errors, whole after {recovery:.1?}", fixture.workload.errors() - errors));
            summary.recovery = summary.recovery.max(recovery);
        }
    }
    fixture.until_recovered().await;
}

/// Compares the counts, the report, and the responses that clients got.
async fn check_end(fixture: &Fixture, summary: &mut Summary) {
    let refreshed = process::succeed(&fixture.database, &["refresh"]);
    summary.verified = process::succeed(&fixture.database, &["verify"]);
    let database = fixture.database.connect().await;
    let as_of = reports::freshness::Freshness::read(&database.readers, &database.clock).await.unwrap().as_of.unwrap();
    let (counts, days) = (counts(&database).await, counts_of_days(&database).await);
    let report = report_rows(&database).await;
    database.close().await.unwrap();
    let without_hours = |rows: Rows| -> Rows { rows.into_iter().filter(|((grain, ..), _)| *grain != "hour").collect() };
    assert_eq!(without_hours(report.clone()), without_hours(model::report(&days)), "{refreshed}");
    if !fixture.drops_hours() {
        assert_eq!(report, model::report(&counts), "{refreshed}");
    }
    let expectations = fixture.workload.expectations();
    if !summary.faults.contains_key("set-clock") {
        expectations.check_promised(as_of);
    }
    expectations.check_counts(&days, as_of);
    summary.acknowledged = fixture.workload.acknowledged();
    summary.errors = fixture.workload.errors();
    summary.duplicates = expectations.duplicates;
    summary.unknown = usize::try_from(expectations.unknown.values().sum::<i64>()).unwrap();
    summary.refreshes = expectations.refreshes.len();
    summary.commits_ended = fixture.commits_ended;
    summary.checks = fixture.readers.checks.load(Ordering::Relaxed);
    summary.not_modified = fixture.readers.not_modified.load(Ordering::Relaxed);
    summary.fresh_enough = fixture.readers.fresh_enough.load(Ordering::Relaxed);
}

/// Returns the counts by page and day, also of days whose hours were dropped.
pub(crate) async fn counts_of_days(database: &Database) -> Counts {
    let kept = kept_day::Entity::find().all(&database.readers).await.unwrap();
    let kept = kept.into_iter().map(|row| ((row.name, row.date), row.views));
    let hourly = counts(database).await.into_iter().map(|((page, date, _), views)| ((page, date), views));
    let mut days = Counts::new();
    for ((page, date), views) in hourly.chain(kept) {
        *days.entry((page, date, 0)).or_default() += views;
    }
    days
}

/// Runs one fault of each kind with a new seed, which it prints.
#[expect(clippy::print_stderr, reason = "a seed brings a failure back")]
async fn run_new_seed(variant: Variant, layout: &'static Layout) {
    let kinds = variant.kinds();
    let seed = u64::try_from(storage::clock::process_now().timestamp_micros()).unwrap();
    eprintln!("seed {seed}, {variant:?}, {layout:?}");
    let plan = Plan { seed, variant, kinds, layout, time: Duration::ZERO, pause: PAUSE, disk_mb: DISK_MB };
    let summary = run(&plan, &|line| eprintln!("{line}")).await;
    eprintln!("{summary}");
    let figures = [summary.duplicates, summary.unknown].map(|count| u64::try_from(count).unwrap());
    let checked = [summary.checks, summary.fresh_enough];
    assert!(figures.into_iter().chain(checked).all(|count| count > 0), "the faults did nothing: {summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_increments_survive_every_fault_and_count_once_on_postgres() {
    run_new_seed(Variant::Postgres, &ONE_PROCESS).await;
    run_new_seed(Variant::Postgres, &BY_SERVICE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_increments_survive_every_fault_and_count_once_on_sqlite() {
    run_new_seed(Variant::Sqlite, &ONE_PROCESS).await;
    run_new_seed(Variant::Sqlite, &BY_SERVICE).await;
}
