//! Faults, drawn from a seed.

use std::ops::Range;

use proptest::{
    prelude::*,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// More than the day for which an idempotency key counts.
const OFFSET_MAX_MS: i64 = 26 * HOUR_MS;

/// A fault of the service or its surroundings, or work in its background.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Every connection to the database is reset.
    Cut,
    /// A commit succeeds, and its connection is reset before the response arrives.
    LoseCommit,
    /// The network takes everything and delivers nothing, until `errors` requests got an error. Then it
    /// delivers what it has, or resets the connections.
    Stall { errors: u64, cut: bool },
    /// The open connections never deliver anything again and never end; new ones neither, until `errors` requests got
    /// an error. A process may be restarted meanwhile.
    HalfOpen { errors: u64, new_too: bool, restart: Option<usize> },
    /// A commit succeeds, and its connection never delivers anything again and never ends.
    FreezeCommit,
    /// The database ends connections: one that is committing, or all.
    Terminate { committing: bool },
    /// The database crashes; it is started again when `errors` requests got an error, or when a process of
    /// the service was killed too.
    StopDatabase { errors: u64, kill: Option<usize> },
    /// The disk of the database is full, until `errors` requests got an error. A process of the service may be
    /// killed meanwhile.
    FillDisk { errors: u64, kill: Option<usize> },
    /// The clock of a process's machine is set, or that of the database's.
    SetClock { machine: Option<usize>, offset_ms: i64 },
    /// A command runs beside the service.
    Run(&'static [&'static str]),
    /// A backup of the SQLite file runs beside the service.
    BackUp,
    /// A transaction holds a snapshot of the report, as a dump does.
    HoldReport { millis: u64 },
    /// A connection holds the lock of the SQLite file, until `errors` requests got an error.
    HoldLock { errors: u64 },
    /// A process of the service stands still for some time, as on a machine that sleeps.
    Pause { process: usize, millis: u64 },
    /// A process of the service is killed.
    Kill(usize),
    /// A process of the service gets SIGTERM, and is started again.
    Restart(usize),
}

/// A kind of fault: its name, how often it is drawn against the others, and which of its kind.
pub(crate) type Kind = (&'static str, u32, BoxedStrategy<Fault>);

impl Fault {
    /// Returns the name of its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::LoseCommit => "lose-commit",
            Self::Stall { .. } => "stall",
            Self::HalfOpen { .. } => "half-open",
            Self::FreezeCommit => "freeze-commit",
            Self::Terminate { .. } => "terminate",
            Self::StopDatabase { .. } => "stop-database",
            Self::FillDisk { .. } => "fill-disk",
            Self::SetClock { .. } => "set-clock",
            Self::Run(_) => "command",
            Self::BackUp => "back-up",
            Self::HoldReport { .. } => "hold-report",
            Self::HoldLock { .. } => "hold-lock",
            Self::Pause { .. } => "pause",
            Self::Kill(_) => "kill",
            Self::Restart(_) => "restart",
        }
    }

    /// Whether commands may fail because of it.
    pub(crate) fn disturbs_commands(&self) -> bool {
        !matches!(
            self,
            Self::SetClock { machine: Some(_), .. } | Self::Run(_) | Self::BackUp | Self::Kill(_) | Self::Restart(_)
        )
    }

    /// Whether the next fault has to wait until the service has recovered. Locks of a frozen connection are released
    /// by PostgreSQL's own timeouts, which are wrong when its clock is set back meanwhile.
    pub(crate) fn needs_recovery(&self) -> bool {
        matches!(self, Self::HalfOpen { .. } | Self::FreezeCommit | Self::FillDisk { .. })
    }
}

/// Returns the faults on PostgreSQL.
pub(crate) fn postgres() -> Vec<Kind> {
    const COMMANDS: [&[&str]; 5] = [
        &["refresh"],
        &["verify"],
        &["rebuild"],
        &["rebuild", "--as", "table"],
        &["rebuild", "--as", "materialized-view"],
    ];
    let errors = || 1..40_u64;
    // Frozen connections give errors only to the requests that wait on them.
    let half_open = (1..8_u64, any::<bool>(), prop::option::of(process()))
        .prop_map(|(errors, new_too, restart)| Fault::HalfOpen { errors, new_too, restart });
    let stop = (errors(), prop::option::of(process())).prop_map(|(errors, kill)| Fault::StopDatabase { errors, kill });
    let mut kinds = everywhere();
    kinds.extend([
        ("cut", 2, Just(Fault::Cut).boxed()),
        ("lose-commit", 3, Just(Fault::LoseCommit).boxed()),
        ("stall", 2, (errors(), any::<bool>()).prop_map(|(errors, cut)| Fault::Stall { errors, cut }).boxed()),
        ("half-open", 2, half_open.boxed()),
        ("freeze-commit", 2, Just(Fault::FreezeCommit).boxed()),
        ("terminate", 4, any::<bool>().prop_map(|committing| Fault::Terminate { committing }).boxed()),
        ("stop-database", 2, stop.boxed()),
        ("command", 3, prop::sample::select(&COMMANDS[..]).prop_map(Fault::Run).boxed()),
    ]);
    kinds
}

/// Returns the faults on an SQLite file.
pub(crate) fn sqlite() -> Vec<Kind> {
    const COMMANDS: [&[&str]; 3] = [&["refresh"], &["verify"], &["rebuild"]];
    let mut kinds = everywhere();
    kinds.extend([
        ("command", 3, prop::sample::select(&COMMANDS[..]).prop_map(Fault::Run).boxed()),
        ("back-up", 2, Just(Fault::BackUp).boxed()),
        ("hold-lock", 2, (1..20_u64).prop_map(|errors| Fault::HoldLock { errors }).boxed()),
    ]);
    kinds
}

fn everywhere() -> Vec<Kind> {
    let clock = (prop::option::of(process()), offset_ms());
    let fill = (1..20_u64, prop::option::of(process()));
    let pause = (process(), 100..6_000_u64);
    vec![
        ("fill-disk", 2, fill.prop_map(|(errors, kill)| Fault::FillDisk { errors, kill }).boxed()),
        ("set-clock", 4, clock.prop_map(|(machine, offset_ms)| Fault::SetClock { machine, offset_ms }).boxed()),
        ("hold-report", 2, (100..3_000_u64).prop_map(|millis| Fault::HoldReport { millis }).boxed()),
        ("pause", 2, pause.prop_map(|(process, millis)| Fault::Pause { process, millis }).boxed()),
        ("kill", 2, process().prop_map(Fault::Kill).boxed()),
        ("restart", 2, process().prop_map(Fault::Restart).boxed()),
    ]
}

/// The number of a process, modulo the number of processes.
fn process() -> Range<usize> {
    0..60
}

/// From milliseconds to hours, both ways; the right time once in a while.
fn offset_ms() -> impl Strategy<Value = i64> + Clone {
    let size = prop_oneof![1..1_000_i64, 1_000..60_000_i64, 60_000..HOUR_MS, HOUR_MS..OFFSET_MAX_MS];
    let offset = (size, any::<bool>()).prop_map(|(size, back)| if back { -size } else { size });
    prop_oneof![1 => Just(0), 5 => offset]
}

/// A random number generator with the same numbers for the same seed.
pub(crate) struct Rng(TestRunner);

impl Rng {
    /// Another series of the seed's for each `series`.
    pub(crate) fn new(seed: u64, series: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&series.to_le_bytes());
        Self(TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)))
    }

    pub(crate) fn draw(&mut self, range: Range<u64>) -> u64 {
        self.value(&range)
    }

    /// Draws faults without end: one of each of `kinds` first, then as often as their weights say.
    pub(crate) fn faults(mut self, kinds: &[Kind]) -> impl Iterator<Item = Fault> {
        let each = self.value(&Just(kinds.iter().map(|(.., kind)| kind.clone()).collect::<Vec<_>>()).prop_shuffle());
        let any = Union::new_weighted(kinds.iter().map(|(_, weight, kind)| (*weight, kind.clone())).collect()).boxed();
        each.into_iter().chain(std::iter::repeat(any)).map(move |kind| self.value(&kind))
    }

    fn value<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        strategy.new_tree(&mut self.0).unwrap().current()
    }
}
