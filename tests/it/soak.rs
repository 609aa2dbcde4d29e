//! Faults of all kinds together, for as long as one likes: `tests/soak`.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it shares its modules with the tests, and says that it can't go on by panicking"
)]

mod app;
mod cluster;
mod faults;
mod machine_clock;
mod model;
mod process;
mod proxy;
mod small_disk;
mod wait;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use faults::{BY_SERVICE, ONE_PROCESS, Plan, Variant};

/// So seldom a client records in a long run, that its keys of a day fit on the disk.
const PAUSE: Duration = Duration::from_millis(50);
const DISK_MB: u32 = 512;

/// Runs the service under random faults, and checks that nothing is lost or counted twice, and that no response is
/// wrong. Ends with 0 only if that is so.
#[derive(Debug, Parser)]
#[command(name = "tests/soak")]
struct Arguments {
    /// How long, in minutes
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// What brings a run back; a new one when left out
    #[arg(long)]
    seed: Option<u64>,
    /// The database
    #[arg(long, value_enum, default_value = "postgres")]
    database: Database,
    /// One process for all, and not several by service
    #[arg(long)]
    one_process: bool,
    /// The kinds of faults to draw, such as 'cut,kill'; all when left out
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Database {
    Postgres,
    Sqlite,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| u64::try_from(storage::clock::process_now().timestamp()).unwrap());
    println!("seed {seed}, {:?}, {} minutes", arguments.database, arguments.minutes);
    let variant = match arguments.database {
        Database::Postgres => Variant::Postgres,
        Database::Sqlite => Variant::Sqlite,
    };
    let mut kinds = variant.kinds();
    kinds.retain(|(name, ..)| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name));
    let plan = Plan {
        seed,
        variant,
        kinds,
        layout: if arguments.one_process { &ONE_PROCESS } else { &BY_SERVICE },
        time: Duration::from_secs(arguments.minutes * 60),
        pause: PAUSE,
        disk_mb: DISK_MB,
    };
    let summary = faults::run(&plan, &|line| println!("{line}")).await;
    println!("{summary}");
}
