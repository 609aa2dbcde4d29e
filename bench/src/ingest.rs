//! Recording: increments a second, and what they cost.

mod baseline;
pub(crate) mod bodies;
pub(crate) mod constant;
mod upserts;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use hyper::body::Bytes;

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

/// The part that records.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Recording {
    /// Sessions of PostgreSQL that each commit one increment after the other.
    Sessions,
    /// One client of PostgreSQL that writes large groups with plain SQL.
    Upserts,
    /// No part of this service: a server that reads the requests and answers a constant.
    Constant,
    /// The service.
    Service(Place),
}

/// What is sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Sending {
    /// Increments of pages that are viewed as pages are, over and over.
    Popular,
    /// Increments of new pages, each request once.
    NewNames,
}

/// What is sent, and to what.
#[derive(Copy, Clone, Debug)]
struct Plan {
    recording: Recording,
    sending: Sending,
    connections: usize,
    batch: usize,
    pace: Pace,
    duration: Duration,
    runs: u32,
}

/// The service on PostgreSQL.
const POSTGRES: Recording = Recording::Service(Place::Postgres);

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
    let programs: Vec<_> = settings.other.iter().cloned().chain([service::binary()?]).collect();
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
        let is_service = matches!(plan.recording, Recording::Service(_));
        let programs = if is_service { programs.as_slice() } else { &programs[programs.len() - 1..] };
        let measured = measure(&mut server, &plan, programs, &settings.serve, &progress).await?;
        if plan.batch == 1 && plan.connections == PACED_CONNECTIONS && plan.recording == POSTGRES {
            single_rate = single_rate.or(measured.last().map(|measured| measured.sent.per_second()));
        }
        for (program, measured) in programs.iter().zip(measured) {
            let is_other = settings.other.as_ref() == Some(program);
            progress.print(&measured.row(&if is_other { format!("{name}, the other build") } else { name.clone() }));
        }
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
            for measured in measure(server, &plan, &[service::binary()?], &serve, progress).await? {
                progress.print(&measured.row(&name));
            }
        }
    }
    Ok(())
}

fn plans(settings: &IngestSettings) -> Vec<(String, Plan)> {
    let mut plans = Vec::new();
    let mut plan = |name: &str, plan| plans.push((name.to_owned(), plan));
    let [single, thousand, ten_thousand] = [1, 1_000, 10_000].map(|batch| Plan::new(settings, batch));
    let alone = Plan { recording: Recording::Sessions, connections: BASELINE_SESSIONS, ..single };
    plan("(a) the database alone, 64 sessions", alone);
    let constant = Plan { recording: Recording::Constant, connections: PACED_CONNECTIONS, ..single };
    plan("(a) a constant answer: single, 256 connections", constant);
    let upserts = Plan { recording: Recording::Upserts, connections: 1, batch: upserts::GROUP, ..single };
    plan("(a) plain SQL: groups of 50,000, 1 client", upserts);
    plan("(a) plain SQL: groups of 8,000, 1 client", Plan { batch: upserts::GROUP_OF_BATCHES, ..upserts });
    for connections in [64, PACED_CONNECTIONS, 1_024] {
        plan(&format!("(b) single, {connections} connections"), Plan { connections, ..single });
    }
    let half = Plan { connections: PACED_CONNECTIONS, pace: Pace::PerSecond(0.0), ..single };
    plan("(b) single, 256 connections, half of that rate", half);
    plan("(c) batches of 1,000, 16 connections", thousand);
    plan("(c) batches of 10,000, 16 connections", ten_thousand);
    let longer = Plan { duration: thousand.duration * LONGER, runs: 1, ..thousand };
    plan("(c) batches of 1,000, ten times as long", longer);
    let new_names = Plan { sending: Sending::NewNames, ..thousand };
    plan("(c) batches of 1,000, new names", new_names);
    let overload = Plan { connections: OVERLOAD_CONNECTIONS, duration: OVERLOAD, runs: 1, ..single };
    plan("overload: single, 4,096 connections", overload);
    for (name, of) in [
        ("single, 256 connections", Plan { connections: PACED_CONNECTIONS, ..single }),
        ("batches of 1,000, 16 connections", thousand),
        ("batches of 10,000, 16 connections", ten_thousand),
        ("batches of 1,000, new names", new_names),
    ] {
        plan(&format!("(d) SQLite: {name}"), Plan { recording: Recording::Service(Place::Sqlite), ..of });
    }
    plans
}

impl Plan {
    fn new(settings: &IngestSettings, batch: usize) -> Self {
        Self {
            recording: POSTGRES,
            sending: Sending::Popular,
            connections: 16,
            batch,
            pace: Pace::AtOnce,
            duration: Duration::from_secs(settings.seconds),
            runs: settings.runs,
        }
    }

    fn bodies(&self) -> Arc<[Bytes]> {
        match self.sending {
            Sending::Popular => bodies::bodies(self.batch),
            Sending::NewNames => bodies::new_names(self.batch),
        }
    }
}

/// Measures each program in turns. Returns the run with the median rate of each.
async fn measure(
    server: &mut Server,
    plan: &Plan,
    programs: &[PathBuf],
    serve: &str,
    progress: &Progress,
) -> anyhow::Result<Vec<Measured>> {
    let bodies = plan.bodies();
    let mut measured: Vec<_> = programs.iter().map(|_| Vec::new()).collect();
    for run in 1..=plan.runs {
        progress.step(format!("run {run} of {}", plan.runs));
        for (program, measured) in programs.iter().zip(&mut measured) {
            measured.push(measure_once(server, plan, program, serve, &bodies).await?);
        }
    }
    let median = |runs| median_by(runs, |measured: &Measured| measured.sent.per_second());
    measured.into_iter().map(median).collect::<Option<_>>().context("nothing was measured")
}

async fn measure_once(
    server: &mut Server,
    plan: &Plan,
    program: &Path,
    serve: &str,
    bodies: &Arc<[Bytes]>,
) -> anyhow::Result<Measured> {
    let (name, url) = server.create_database().await?;
    let batch = plan.batch;
    let service = match plan.recording {
        Recording::Service(place) => {
            let mut arguments: Vec<_> = serve.split_whitespace().collect();
            if plan.sending == Sending::NewNames {
                // Refreshes of millions of new counts would be most of what is measured.
                arguments.extend(["--services", "increments"]);
            }
            Some(Service::start_build(program, server, place, &url, &arguments)?)
        }
        Recording::Constant => Some(Service::start_own("constant-server", server, &url)?),
        Recording::Sessions | Recording::Upserts => None,
    };
    let measured = if let Some(service) = service {
        let load = Load { address: service.address(), connections: plan.connections, pace: plan.pace };
        let usage = || service.usage();
        let sent = match plan.sending {
            Sending::Popular => load.run(Arc::clone(bodies), WARM_UP, plan.duration, usage).await?,
            Sending::NewNames => load.run_once(Arc::clone(bodies), usage).await?,
        };
        let memory_peak_bytes = Some(service.memory_peak_bytes()?);
        if plan.recording != Recording::Constant {
            let recorded = service.recorded().await?;
            // Without an answer nobody knows; everything else is certain.
            let requests = u64::try_from(batch)?;
            let certain = sent.acknowledged * requests..=(sent.acknowledged + sent.unknown) * requests;
            ensure!(certain.contains(&recorded), "{recorded} increments are recorded, {certain:?} were acknowledged");
        }
        service.stop()?;
        Measured { sent, batch, memory_peak_bytes }
    } else {
        let sent = match plan.recording {
            Recording::Upserts => upserts::run(server, &url, plan.duration, plan.batch).await?,
            _ => baseline::run(server, &url, plan).await?,
        };
        Measured { sent, batch, memory_peak_bytes: None }
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
