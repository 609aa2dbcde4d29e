//! Recording over HTTP, on the cluster and on the plain server in turns.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use hyper::body::Bytes;

use super::cluster::{Cluster, WORKERS};
use crate::{
    cli::CitusSettings,
    figures::{self, median_by},
    ingest::{WARM_UP, bodies},
    load::{Load, Pace, Sent, quantile_ms},
    server::Server,
    service::{self, Place, Service},
    terminal::Progress,
    usage::Usage,
};

/// What is recorded: its name, the connections, and the increments of a request.
const LOADS: [(&str, usize, usize); 2] =
    [("single, 256 connections", 256, 1), ("batches of 1,000, 16 connections", 16, 1_000)];

/// What came out of one run.
#[derive(Debug)]
struct Measured {
    sent: Sent,
    /// Seconds on a processor of the coordinator or of the plain server, and of all workers.
    node_s: [f64; 2],
}

/// Measures each load and prints the table.
pub(super) async fn run(
    plain: &mut Server,
    cluster: &mut Cluster,
    settings: &CitusSettings,
    progress: &Progress,
) -> anyhow::Result<()> {
    progress.print(
        "\n| recording | plain increments/s | cluster increments/s | cluster / plain | p50 ms: plain | cluster | \
         CPU s per million, plain: program | database | cluster: program | coordinator | workers |\n\
         | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    );
    let (_, plain_url) = plain.create_database().await?;
    let (_, cluster_url) = cluster.create_database(WORKERS).await?;
    for (name, connections, batch) in LOADS {
        progress.part(name);
        let bodies = bodies::bodies(batch);
        let (mut on_plain, mut on_cluster) = (Vec::new(), Vec::new());
        for run in 1..=settings.runs {
            progress.step(format!("run {run} of {}", settings.runs));
            let duration = Duration::from_secs(settings.seconds);
            on_plain.push(measure(&[plain], &plain_url, connections, batch, &bodies, duration).await?);
            let nodes: Vec<_> = cluster.nodes().collect();
            on_cluster.push(measure(&nodes, &cluster_url, connections, batch, &bodies, duration).await?);
        }
        let median = |runs| median_by(runs, |measured: &Measured| measured.sent.per_second());
        let (on_plain, on_cluster) = median(on_plain).zip(median(on_cluster)).context("nothing was measured")?;
        progress.print(&row(name, batch, &on_plain, &on_cluster));
    }
    Ok(())
}

/// Measures the program with the database at `url`, which is on `nodes`.
async fn measure(
    nodes: &[&Server],
    url: &str,
    connections: usize,
    batch: usize,
    bodies: &Arc<[Bytes]>,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let first = *nodes.first().context("no server")?;
    let arguments = ["--services", "increments"];
    let service = Service::start_build(&service::binary()?, first, Place::Postgres, url, &arguments)?;
    let before = service.recorded().await?;
    let load = Load { address: service.address(), connections, pace: Pace::AtOnce };
    let of_workers = || -> anyhow::Result<f64> {
        let used = |node: &&Server| Ok(Usage::now(None, node.main_process()?)?.database_s);
        nodes.iter().skip(1).map(used).sum()
    };
    // Of the warm-up too, so its share is taken off.
    let workers_before = of_workers()?;
    let sent = load.run(Arc::clone(bodies), WARM_UP, duration, || service.usage()).await?;
    let share = duration.as_secs_f64() / (WARM_UP + duration).as_secs_f64();
    let workers_s = (of_workers()? - workers_before) * share;
    let recorded = service.recorded().await? - before;
    service.stop()?;
    let requests = u64::try_from(batch)?;
    let certain = sent.acknowledged * requests..=(sent.acknowledged + sent.unknown) * requests;
    ensure!(certain.contains(&recorded), "{recorded} increments are recorded, {certain:?} were acknowledged");
    let node_s = [sent.usage.database_s, workers_s];
    Ok(Measured { sent, node_s })
}

fn row(name: &str, batch: usize, plain: &Measured, cluster: &Measured) -> String {
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let rate = |measured: &Measured| measured.sent.per_second() * batch as f64;
    let millions = |measured: &Measured| rate(measured) * measured.sent.duration.as_secs_f64() / 1e6;
    let program = |measured: &Measured| measured.sent.usage.service_s.unwrap_or_default() / millions(measured);
    let database = |measured: &Measured, node: usize| measured.node_s[node] / millions(measured);
    format!(
        "| {name} | {} | {} | {:.2} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
        figures::count(format!("{:.0}", rate(plain))),
        figures::count(format!("{:.0}", rate(cluster))),
        rate(cluster) / rate(plain),
        quantile_ms(&plain.sent.latency, 0.5),
        quantile_ms(&cluster.sent.latency, 0.5),
        program(plain),
        database(plain, 0),
        program(cluster),
        database(cluster, 0),
        database(cluster, 1),
    )
}
