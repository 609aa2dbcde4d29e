//! The services of one process: started together, stopped in order.

use std::{convert::Infallible, error::Error, io, net::SocketAddr, time::Duration};

use anyhow::{Context, anyhow};
use api::{
    freshness::FreshnessFeed,
    http::{self, Reports, Services, access::Access},
    increments::Recorder,
    reports::ReportReader,
};
use entity::{Database, DatabaseKind, DatabaseSettings};
use futures_util::future::select_all;
use tokio::{
    net::TcpSocket,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wolf::{Maintenance, StaleHours};

use crate::{
    cli::{LogFormat, ServeSettings, Service},
    database,
    metrics::Metrics,
    terminal,
};

/// How many connections may wait to be accepted; the system may allow less.
const BACKLOG: u32 = 4_096;

/// Serves until SIGTERM or SIGINT.
///
/// Stopping goes from the outside in: first HTTP, so that nothing more comes; then the recorder, which commits and
/// answers what came; then the Wolf, whose running refresh ends; then the database. It is cut short by a second signal,
/// and when it takes too long.
pub(crate) async fn serve(
    settings: &DatabaseSettings,
    serve: ServeSettings,
    log_format: LogFormat,
) -> anyhow::Result<()> {
    // Every client is an open file; what the system allows is often less than what it would allow if asked.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(error = &error as &dyn Error, "can't raise the limit of open files");
    }
    let runs = |service| serve.services.contains(&service);
    let answers_graphql = runs(Service::Increments) || runs(Service::Reports);
    let listen = serve.http.listen;
    let access = if answers_graphql { Access::new(&serve.http.access, listen)? } else { Access::nobody() };
    let mut signals = Signals::new()?;
    // Before the database, so that nothing is made or changed where the address can't be had. Connections are refused until
    // there is somebody to serve them.
    let socket = bind(listen).with_context(|| format!("can't listen on {listen}"))?;
    let metrics = Metrics::collect()?;
    let database = database::open(settings, serve.migrate).await?;
    let wolf = match runs(Service::Wolf) {
        true => Some((
            serve.wolf.report_kind.refresher(&database).await?,
            Maintenance::new(&database, serve.wolf.keep_hours),
        )),
        false => None,
    };
    let listener = socket.listen(BACKLOG).with_context(|| format!("can't listen on {listen}"))?;
    tell(log_format, listener.local_addr()?, &database.url.to_string(), &serve.services);

    let readiness = database::readiness(&database, &serve.services);
    let metrics_renderer =
        Some(metrics.metrics_renderer(&database, wolf.is_some().then(|| StaleHours::new(&database))));
    let (recorder, committer) = runs(Service::Increments).then(|| Recorder::new(&database, &serve.recorder)).unzip();
    let (feed, tail) = runs(Service::Reports).then(|| FreshnessFeed::new(&database)).unzip();
    let reports = feed.map(|feed| {
        let reader = ReportReader::new(&database, feed.clone(), &serve.reports);
        Reports { reader, feed }
    });

    // In the order of stopping.
    let mut parts = Vec::new();
    let reader = reports.as_ref().map(|reports| reports.reader.clone());
    let (services, http) = (Services { recorder, reports, readiness: readiness.clone(), metrics_renderer }, serve.http);
    parts.push(Part::start("HTTP", |stop| async move {
        http::serve(listener, services, access, &http, stop).await;
        if let Some(reader) = reader {
            reader.finish().await;
        }
        Ok(())
    }));
    if let Some(committer) = committer {
        parts.push(Part::start("the recorder", |stop| async move {
            committer.run(stop).await;
            Ok(())
        }));
    }
    if let Some((refresher, maintenance)) = wolf {
        let cron = serve.wolf.refresh_cron;
        parts.push(Part::start(
            "the Wolf",
            |stop| async move { Ok(wolf::run(refresher, maintenance, cron, stop).await?) },
        ));
    }
    if let Some(tail) = tail {
        parts.push(Part::start("the freshness feed", |stop| async move {
            tail.run(stop).await;
            Ok(())
        }));
    }

    parts.push(Part::start("the metrics", |stop| async move {
        metrics.sum(stop).await;
        Ok(())
    }));

    if database.kind == DatabaseKind::Sqlite {
        let watched = database.clone();
        parts.push(Part::start("the watch over the database file", |stop| async move {
            Ok(database::watch_file(watched, stop).await?)
        }));
    }

    let failed = tokio::select! {
        () = signals.next() => {
            // Whoever sends requests here learns of it before it is true.
            readiness.stop();
            tokio::select! { () = sleep(Duration::from_millis(serve.shutdown_delay_ms)) => {} () = signals.next() => {} }
            None
        }
        failed = first_to_end(&mut parts) => Some(failed),
    };
    let stopped = stop(parts, database, Duration::from_millis(serve.shutdown_timeout_ms), &mut signals).await;
    match (failed, stopped) {
        (Some(failed), _) => Err(failed),
        (None, Err(cut_short)) => Err(anyhow!(cut_short)),
        (None, Ok(stopped)) => stopped.inspect(|()| info!("stopped")),
    }
}

/// Stops `parts` in their order, and then closes the database.
///
/// Half of `limit` is for what ends in order; after that nothing is waited for that may be dead.
///
/// # Errors
/// The reason, when it is cut short.
async fn stop(
    parts: Vec<Part>,
    database: Database,
    limit: Duration,
    signals: &mut Signals,
) -> Result<anyhow::Result<()>, String> {
    let hurried = database.clone();
    let hurry = async {
        sleep(limit / 2).await;
        hurried.hurry();
        std::future::pending::<Infallible>().await
    };
    let mut stopping = "nothing";
    let stopped = timeout(limit, async {
        for part in parts {
            stopping = part.name;
            part.stop().await?;
        }
        stopping = "the database";
        database.close().await.context("can't close the database")
    });
    let cut_short = tokio::select! {
        stopped = stopped => match stopped {
            Ok(stopped) => return Ok(stopped),
            Err(_elapsed) => format!("{} ms were not enough", limit.as_millis()),
        },
        () = signals.next() => "a second signal came".to_owned(),
        never = hurry => match never {},
    };
    Err(format!("cut short while {stopping} was to end: {cut_short}"))
}

/// The signals that ask to stop.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => info!("SIGTERM, stopping"),
            _ = self.interrupt.recv() => info!("SIGINT, stopping"),
        }
    }
}

/// What runs until it is told to stop.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    /// One task; none once it has been asked how it ended.
    task: JoinSet<anyhow::Result<()>>,
}

impl Part {
    fn start<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(run(stop.clone()));
        Self { name, stop, task }
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.end().await
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        let ended = self.task.join_next().await.unwrap_or(Ok(Ok(())));
        ended.map_err(anyhow::Error::from).flatten().with_context(|| format!("{} failed", self.name))
    }
}

/// Nothing ends by itself: what does has failed, and the others are to be stopped.
async fn first_to_end(parts: &mut [Part]) -> anyhow::Error {
    let ends = parts.iter_mut().map(|part| {
        Box::pin(async {
            let ended = part.end().await;
            ended.err().unwrap_or_else(|| anyhow!("{} ended by itself", part.name))
        })
    });
    select_all(ends).await.0
}

/// Takes the address, without listening on it yet.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What a process that has ended left of its connections does not stand in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Says where the process serves: to people, or to who reads its log as JSON.
fn tell(log_format: LogFormat, listen: SocketAddr, database: &str, services: &[Service]) {
    // On all addresses: that is none which anybody could open.
    let host = if listen.ip().is_unspecified() { format!("localhost:{}", listen.port()) } else { listen.to_string() };
    if log_format == LogFormat::Json {
        let names: Vec<_> = services.iter().map(|service| service.name()).collect();
        info!(%listen, url = %format_args!("http://{host}/"), services = names.join(", "), database, "serving");
    } else {
        terminal::print(&welcome(&host, database, services));
    }
}

fn welcome(host: &str, database: &str, services: &[Service]) -> String {
    let mut text = format!("Analytics Service on {database}\n\n");
    let mut line = |name: &str, rest: &str| text.push_str(&format!("  {name:8} http://{host}{rest}\n"));
    if services.contains(&Service::Reports) {
        line("open", "/");
    }
    if services.contains(&Service::Reports) || services.contains(&Service::Increments) {
        line("GraphiQL", "/graphiql");
        line("GraphQL", "/graphql (POST; subscriptions over WebSocket or as text/event-stream)");
    }
    line("health", "/health/ready");
    text.push('\n');
    text
}
