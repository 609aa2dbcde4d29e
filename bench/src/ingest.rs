//! Recording: increments a second, and what they cost.

mod baseline;
mod bodies;
mod import;
mod load;
mod service;
mod usage;

use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;

use crate::{
    cli::IngestSettings,
    figures::{self, median_by},
    machine,
    server::Server,
    terminal::Progress,
};
use bodies::Bodies;
use load::{Load, Pace};
use service::{Place, Service};
use usage::Usage;

/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// How many sessions do the database's work without a service.
const BASELINE_SESSIONS: usize = 64;
/// Single increments are also sent at half of the rate that this many connections reach.
const PACED_CONNECTIONS: usize = 256;
/// Too many, for a minute.
const OVERLOAD_CONNECTIONS: usize = 4_096;
const OVERLOAD: Duration = Duration::from_secs(60);
/// Greater latencies are counted as this one, in microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 3;
/// How much longer batches are sent to see whether memory grows.
const LONGER: u32 = 10;

/// What is sent, and to what.
#[derive(Copy, Clone, Debug)]
struct Plan {
    place: Place,
    connections: usize,
    batch: usize,
    pace: Pace,
    duration: Duration,
    runs: u32,
}

/// What came out of one run.
#[derive(Debug)]
struct Measured {
    increments_per_s: f64,
    /// From the request, or from when it was due, to the answer, in microseconds; of what was accepted.
    latency: Histogram<u64>,
    refused: u64,
    usage: Usage,
    increments: u64,
    memory_peak_bytes: Option<u64>,
}

/// Measures each load and prints the table.
pub(crate) async fn run(settings: &IngestSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    progress.print(&format!("\n{}\n{}", Measured::HEAD, Measured::RULE));
    if !settings.committers.is_empty() {
        return committers(&mut server, settings, &progress).await;
    }
    let mut single_rate = None;
    for (name, plan) in plans(settings) {
        if !settings.only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            continue;
        }
        // A load at half of the maximum needs the maximum.
        let plan = match plan.pace {
            Pace::PerSecond(_) => Plan { pace: Pace::PerSecond(single_rate.unwrap_or(10_000.0) / 2.0), ..plan },
            Pace::AtOnce => plan,
        };
        progress.part(&name);
        let measured = measure(&mut server, &plan, &settings.serve, &progress).await?;
        if plan.batch == 1 && plan.connections == PACED_CONNECTIONS && plan.place == Place::Postgres {
            single_rate = single_rate.or(Some(measured.increments_per_s));
        }
        progress.print(&measured.row(&name));
    }
    if settings.only.as_ref().is_none_or(|only| only == "import") {
        import::run(&mut server, settings.runs, &progress).await?;
    }
    Ok(())
}

async fn committers(server: &mut Server, settings: &IngestSettings, progress: &Progress) -> anyhow::Result<()> {
    for committers in &settings.committers {
        for (connections, batch) in [(256, 1), (16, 1_000)] {
            let plan = Plan { connections, ..Plan::new(settings, batch) };
            let name = format!("{committers} committers, {connections} connections, {batch} each");
            progress.part(&name);
            let serve = format!("--committers {committers} {}", settings.serve);
            progress.print(&measure(server, &plan, &serve, progress).await?.row(&name));
        }
    }
    Ok(())
}

fn plans(settings: &IngestSettings) -> Vec<(String, Plan)> {
    let mut plans = Vec::new();
    let mut plan = |name: &str, plan| plans.push((name.to_owned(), plan));
    let [single, thousand, ten_thousand] = [1, 1_000, 10_000].map(|batch| Plan::new(settings, batch));
    let alone = Plan { place: Place::Alone, connections: BASELINE_SESSIONS, ..single };
    plan("(a) the database alone, 64 sessions", alone);
    for connections in [64, PACED_CONNECTIONS, 1_024] {
        plan(&format!("(b) single, {connections} connections"), Plan { connections, ..single });
    }
    let half = Plan { connections: PACED_CONNECTIONS, pace: Pace::PerSecond(0.0), ..single };
    plan("(b) single, 256 connections, half of that rate", half);
    plan("(c) batches of 1,000, 16 connections", thousand);
    plan("(c) batches of 10,000, 16 connections", ten_thousand);
    let longer = Plan { duration: thousand.duration * LONGER, runs: 1, ..thousand };
    plan("(c) batches of 1,000, ten times as long", longer);
    let overload = Plan { connections: OVERLOAD_CONNECTIONS, duration: OVERLOAD, runs: 1, ..single };
    plan("overload: single, 4,096 connections", overload);
    for (name, of) in [
        ("single, 256 connections", Plan { connections: PACED_CONNECTIONS, ..single }),
        ("batches of 1,000, 16 connections", thousand),
        ("batches of 10,000, 16 connections", ten_thousand),
    ] {
        plan(&format!("(d) SQLite: {name}"), Plan { place: Place::Sqlite, ..of });
    }
    plans
}

impl Plan {
    fn new(settings: &IngestSettings, batch: usize) -> Self {
        Self {
            place: Place::Postgres,
            connections: 16,
            batch,
            pace: Pace::AtOnce,
            duration: Duration::from_secs(settings.seconds),
            runs: settings.runs,
        }
    }
}

/// The run with the median rate.
async fn measure(server: &mut Server, plan: &Plan, serve: &str, progress: &Progress) -> anyhow::Result<Measured> {
    let mut runs = Vec::new();
    for run in 1..=plan.runs {
        progress.step(format!("run {run} of {}", plan.runs));
        runs.push(measure_once(server, plan, serve).await?);
    }
    median_by(runs, |measured| measured.increments_per_s).ok_or_else(|| anyhow::anyhow!("nothing was measured"))
}

async fn measure_once(server: &mut Server, plan: &Plan, serve: &str) -> anyhow::Result<Measured> {
    let (name, url) = server.create_database().await?;
    let measured = if plan.place == Place::Alone {
        baseline::run(server, &url, plan).await?
    } else {
        let service = Service::start(server, plan.place, &url, serve).await?;
        let load = Load { address: service.address(), connections: plan.connections, pace: plan.pace };
        let sent = load.run(Bodies::new(plan.batch), WARM_UP, plan.duration, || service.usage()).await?;
        let memory_peak_bytes = Some(service.memory_peak_bytes()?);
        let recorded = service.recorded().await?;
        // Without an answer nobody knows; everything else is certain.
        let certain = sent.acknowledged..=sent.acknowledged + sent.unknown;
        ensure!(certain.contains(&recorded), "{recorded} increments are recorded, {certain:?} were acknowledged");
        service.stop()?;
        Measured { memory_peak_bytes, ..sent.measured }
    };
    server.drop_database(&name).await?;
    Ok(measured)
}

impl Measured {
    /// Of requests with `batch` increments each, those accepted within `duration`.
    fn new(latency: Histogram<u64>, batch: u64, refused: u64, usage: Usage, duration: Duration) -> Self {
        let increments = latency.len() * batch;
        #[expect(clippy::cast_precision_loss, reason = "a rate, rounded when it is printed")]
        let increments_per_s = increments as f64 / duration.as_secs_f64();
        Self { increments_per_s, latency, refused, usage, increments, memory_peak_bytes: None }
    }

    const HEAD: &str = "| load | increments/s | p50 ms | p99 ms | refused | CPU s per million: server | database | load generator | peak memory of the server, MiB |";
    const RULE: &str = "| --- | --: | --: | --: | --: | --: | --: | --: | --: |";

    fn row(&self, name: &str) -> String {
        let ms = |quantile| figures::ms(Duration::from_micros(self.latency.value_at_quantile(quantile)));
        #[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
        let millions = self.increments as f64 / 1e6;
        let cpu = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), |s| format!("{:.2}", s / millions));
        let memory = self.memory_peak_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            figures::count(format!("{:.0}", self.increments_per_s)),
            ms(0.5),
            ms(0.99),
            figures::count(self.refused),
            cpu(self.usage.service_s),
            cpu(Some(self.usage.database_s)),
            cpu(Some(self.usage.own_s)),
            memory.map_or_else(|| "–".to_owned(), figures::mib),
        )
    }
}
