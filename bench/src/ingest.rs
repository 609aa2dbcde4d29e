//! Recording: increments a second, and what they cost.

mod baseline;
pub(crate) mod bodies;

use std::time::Duration;

use anyhow::ensure;

use crate::{
    cli::IngestSettings,
    figures::{self, median_by},
    load::{Load, Pace, Sent, quantile_ms},
    machine,
    server::Server,
    service::{self, Place, Service},
    terminal::Progress,
};

/// How long a load runs before it is measured.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);
/// How many sessions do the database's work without a service.
const BASELINE_SESSIONS: usize = 64;
/// Single increments are also sent at half of the rate that this many connections reach.
const PACED_CONNECTIONS: usize = 256;
/// Too many, for a minute.
const OVERLOAD_CONNECTIONS: usize = 4_096;
const OVERLOAD: Duration = Duration::from_secs(60);
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
    sent: Sent,
    batch: usize,
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
            single_rate = single_rate.or(Some(measured.sent.per_second()));
        }
        progress.print(&measured.row(&name));
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
    median_by(runs, |measured| measured.sent.per_second()).ok_or_else(|| anyhow::anyhow!("nothing was measured"))
}

async fn measure_once(server: &mut Server, plan: &Plan, serve: &str) -> anyhow::Result<Measured> {
    let (name, url) = server.create_database().await?;
    let batch = plan.batch;
    let measured = if plan.place == Place::Alone {
        Measured { sent: baseline::run(server, &url, plan).await?, batch, memory_peak_bytes: None }
    } else {
        let service = Service::start(server, plan.place, &url, &serve.split_whitespace().collect::<Vec<_>>()).await?;
        let load = Load { address: service.address(), connections: plan.connections, pace: plan.pace };
        let sent = load.run(bodies::bodies(batch), WARM_UP, plan.duration, || service.usage()).await?;
        let memory_peak_bytes = Some(service.memory_peak_bytes()?);
        let recorded = service.recorded().await?;
        // Without an answer nobody knows; everything else is certain.
        let requests = u64::try_from(batch)?;
        let certain = sent.acknowledged * requests..=(sent.acknowledged + sent.unknown) * requests;
        ensure!(certain.contains(&recorded), "{recorded} increments are recorded, {certain:?} were acknowledged");
        service.stop()?;
        Measured { sent, batch, memory_peak_bytes }
    };
    server.drop_database(&name).await?;
    Ok(measured)
}

impl Measured {
    const HEAD: &str = "| load | increments/s | p50 ms | p99 ms | refused | CPU s per million: server | database | load generator | peak memory of the server, MiB |";
    const RULE: &str = "| --- | --: | --: | --: | --: | --: | --: | --: | --: |";

    fn row(&self, name: &str) -> String {
        let Sent { latency, refused, usage, duration, .. } = &self.sent;
        #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
        let increments_per_s = self.sent.per_second() * self.batch as f64;
        let millions = increments_per_s * duration.as_secs_f64() / 1e6;
        let cpu = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), |s| format!("{:.2}", s / millions));
        let memory = self.memory_peak_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            figures::count(format!("{increments_per_s:.0}")),
            quantile_ms(latency, 0.5),
            quantile_ms(latency, 0.99),
            figures::count(refused),
            cpu(usage.service_s),
            cpu(Some(usage.database_s)),
            cpu(Some(usage.own_s)),
            memory.map_or_else(|| "–".to_owned(), figures::mib),
        )
    }
}
