//! This service's transport beside the stock handlers of async-graphql-axum: the same schema, database, allocator and
//! machine, in turns.

pub(crate) mod server;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use hyper::body::Bytes;
use serde_json::json;

use crate::{
    cli::TransportSettings,
    dataset::{Dataset, PAGES},
    figures::{self, median},
    ingest::{WARM_UP, bodies::bodies},
    load::{self, Load, Pace},
    machine,
    server::Server,
    service::{self, Place, Service},
    subscribers::{Audience, FRESHNESS, SERVE},
    terminal::Progress,
};

/// How many connections send requests.
const CONNECTIONS: usize = 16;

/// One of the servers that are compared.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Transport {
    Stock,
    Ours,
    /// Ours without its cache of responses, which the stock handlers have not.
    Uncached,
}

/// What is sent, and to which servers.
struct Work {
    name: &'static str,
    bodies: Arc<[Bytes]>,
    transports: &'static [Transport],
}

/// What one server did with one load.
#[derive(Copy, Clone, Debug)]
struct Rate {
    per_second: f64,
    /// Microseconds of a processor for each request.
    cpu_us: f64,
}

/// What subscribers took, and when the last one was told of a refresh, in the mean of a run's refreshes.
#[derive(Copy, Clone, Debug)]
struct Watched {
    bytes_each: u64,
    last: Duration,
}

impl Transport {
    async fn start(self, server: &Server, url: &str) -> anyhow::Result<Service> {
        match self {
            Self::Stock => Service::start_stock(server, url),
            Self::Ours => Service::start(server, Place::Postgres, url, &SERVE).await,
            Self::Uncached => {
                let arguments = [SERVE.as_slice(), &["--response-cache-bytes", "0"]].concat();
                Service::start(server, Place::Postgres, url, &arguments).await
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Ours => "ours",
            Self::Uncached => "ours, no response cache",
        }
    }
}

/// Measures requests and subscribers, and prints a table of each.
pub(crate) async fn run(settings: &TransportSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    let mut dataset = Dataset::create(&mut server, u64::from(PAGES) * 24, &progress).await?;
    dataset.convert_to_table().await?;
    dataset.refresher.refresh(wolf::LockMode::Wait, None).await?;
    progress.print(
        "\n| request | server | requests/s | of stock | CPU \u{b5}s each | of stock |\n| --- | --- | --: | --: | --: | --: |",
    );
    for work in works() {
        progress.part(work.name);
        measure_requests(&work, &server, &dataset.url, settings, &progress).await?;
    }
    progress.part("subscribers");
    progress.print(&format!(
        "\n{} subscribers of the freshness over WebSocket, {} runs of {} refreshes:\n\n\
         | server | KiB each | of stock | last one told after ms, mean | of stock |\n| --- | --: | --: | --: | --: |",
        figures::count(settings.subscribers),
        settings.runs,
        settings.refreshes,
    ));
    measure_subscribers(&server, &mut dataset, settings, &progress).await?;
    dataset.drop(&server).await
}

fn works() -> Vec<Work> {
    let query = |text: &str| std::iter::once(Bytes::from(json!({ "query": text }).to_string())).collect();
    let queries = &[Transport::Stock, Transport::Ours, Transport::Uncached];
    let mutations = &[Transport::Stock, Transport::Ours];
    vec![
        Work { name: "total", bodies: query("{ report { totals { views } } }"), transports: queries },
        Work { name: "freshness", bodies: query("{ freshness { refreshId status asOf } }"), transports: queries },
        Work { name: "1 increment", bodies: bodies(1), transports: mutations },
        Work { name: "100 increments", bodies: bodies(100), transports: mutations },
    ]
}

/// Sends the work to one server after the other, and again in each run.
async fn measure_requests(
    work: &Work,
    server: &Server,
    url: &str,
    settings: &TransportSettings,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut rates = vec![Vec::new(); work.transports.len()];
    for run in 1..=settings.runs {
        for (transport, rates) in work.transports.iter().zip(&mut rates) {
            progress.step(format!("{}, run {run} of {}", transport.name(), settings.runs));
            let service = transport.start(server, url).await?;
            let load = Load { address: service.address(), connections: CONNECTIONS, pace: Pace::AtOnce };
            let duration = Duration::from_secs(settings.seconds);
            let sent = load.run(Arc::clone(&work.bodies), WARM_UP, duration, || service.usage()).await?;
            let per_second = sent.per_second();
            let cpu_s = sent.usage.service_s.context("the service has no process")?;
            rates.push(Rate { per_second, cpu_us: cpu_s * 1e6 / (per_second * duration.as_secs_f64()) });
            service.stop()?;
        }
    }
    let rates: Vec<_> = rates.iter().map(|rates| Rate::median(rates)).collect();
    for (transport, rate) in work.transports.iter().zip(&rates) {
        progress.print(&format!(
            "| {} | {} | {} | {:.2} | {:.1} | {:.2} |",
            work.name,
            transport.name(),
            figures::count(format!("{:.0}", rate.per_second)),
            rate.per_second / rates[0].per_second,
            rate.cpu_us,
            rate.cpu_us / rates[0].cpu_us,
        ));
    }
    Ok(())
}

/// Each run is of a new process, whose memory nothing has used before.
async fn measure_subscribers(
    server: &Server,
    dataset: &mut Dataset,
    settings: &TransportSettings,
    progress: &Progress,
) -> anyhow::Result<()> {
    let transports = [Transport::Stock, Transport::Ours];
    let mut watched = [const { Vec::new() }; 2];
    for run in 1..=settings.runs {
        for (transport, watched) in transports.iter().zip(&mut watched) {
            progress.step(format!("{}, run {run} of {}", transport.name(), settings.runs));
            let service = transport.start(server, &dataset.url).await?;
            let audience = Audience::gather(&service, |_| FRESHNESS.to_owned(), settings.subscribers).await?;
            let (mut latency, mut last) = (load::latencies()?, Duration::ZERO);
            for _ in 0..settings.refreshes {
                dataset.change_one().await?;
                last += audience.refresh(dataset, &mut latency).await?;
            }
            watched.push(Watched { bytes_each: audience.bytes_each, last: last / settings.refreshes });
            audience.leave().await;
            service.stop()?;
        }
    }
    let watched = watched.map(|runs| Watched::median(&runs));
    for (transport, of) in transports.iter().zip(&watched) {
        #[expect(clippy::cast_precision_loss, reason = "printed with a digit")]
        let [kib, kib_stock] = [of.bytes_each, watched[0].bytes_each].map(|bytes| bytes as f64 / 1_024.0);
        progress.print(&format!(
            "| {} | {kib:.1} | {:.2} | {} | {:.2} |",
            transport.name(),
            kib / kib_stock,
            figures::ms(of.last),
            figures::ratio(of.last, watched[0].last),
        ));
    }
    Ok(())
}

impl Rate {
    fn median(rates: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rates.iter().map(figure)).unwrap_or_default();
        Self { per_second: of(|rate| rate.per_second), cpu_us: of(|rate| rate.cpu_us) }
    }
}

impl Watched {
    fn median(runs: &[Self]) -> Self {
        Self {
            bytes_each: median(runs.iter().map(|run| run.bytes_each)).unwrap_or_default(),
            last: median(runs.iter().map(|run| run.last)).unwrap_or_default(),
        }
    }
}
