//! `analytics serve`: starts the services of one process together, and stops them in order.

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, anyhow};
use api::{
    access::Access,
    http::{self, Services},
};
use futures_util::future::select_all;
use increments::Recorder;
use jobs::Jobs;
use reports::{ReportReader, Reports, freshness::FreshnessFeed};
use storage::{Database, DatabaseKind};
use tokio::{
    net::TcpSocket,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wolf::{Maintenance, RefreshRequests, StaleHours};

use crate::{
    cli::{ServeSettings, Service},
    database,
    follow::FollowMetrics,
    hangup::{self, Hangup},
    log_settings::LogFormat,
    metrics::Metrics,
    signals::Signals,
    terminal,
};

/// The most connections that wait to be accepted. The system's limit may be lower.
const BACKLOG: u32 = 4_096;
/// The port that errors propose: that of the default address.
const DEFAULT_PORT: u16 = 8_000;

/// Runs the services until SIGTERM or SIGINT.
///
/// They stop in this order: HTTP, so that no further requests come; the recorder, which commits and answers waiting
/// requests; the Wolf, which finishes a running refresh; the other tasks; the database. A second signal or
/// `--shutdown-timeout-ms` cuts this short.
///
/// # Errors
/// When the services can't be started, one of them ends by itself, or stopping is cut short.
pub(crate) async fn serve(settings: ServeSettings) -> anyhow::Result<()> {
    // Every connection is an open file, and the soft limit of open files is often much lower than the hard limit.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(error = &error as &dyn Error, "can't raise the limit of open files");
    }
    let runs = |service| settings.services.contains(&service);
    let answers_graphql = runs(Service::Increments) || runs(Service::Reports);
    let listen = settings.http.listen;
    let access = if answers_graphql { Access::new(&settings.http.access, listen)? } else { Access::deny_all() };
    settings.follow.check(runs(Service::Increments))?;
    let mut signals = Signals::new()?;
    let tokens_file = access.tokens_file_watch();
    let hangup = Hangup::new(tokens_file.is_some())?;
    // The address is bound before the database is opened, so that nothing is created or changed if it is taken. Until
    // the socket listens, connections are refused.
    let socket = bind(listen).map_err(|source| ListenFailed { address: listen, source })?;
    let metrics = Metrics::collect()?;
    let database = database::open(&settings.database, settings.migrate).await?;
    let wolf = match runs(Service::Wolf) {
        true => Some((
            settings.wolf.report_kind.refresher(&database).await?,
            Maintenance::new(&database, settings.wolf.keep_hours),
        )),
        false => None,
    };
    let listener = socket.listen(BACKLOG).map_err(|source| ListenFailed { address: listen, source })?;
    announce(settings.log.log_format, listener.local_addr()?, &database.url.to_string(), &settings.services);

    let readiness = database::readiness(&database, &settings.services);
    let (recorder, committer) = runs(Service::Increments).then(|| Recorder::new(&database, &settings.recorder)).unzip();
    let importer = settings.follow.importer(&database, recorder.as_ref()).await?;
    let stale_hours = wolf.is_some().then(|| StaleHours::new(&database));
    let followed = recorder.is_some().then(|| FollowMetrics::new(importer.as_ref()));
    let metrics_renderer = Some(metrics.metrics_renderer(&database, stale_hours, followed));
    let (feed, freshness_listener) = runs(Service::Reports).then(|| FreshnessFeed::new(&database)).unzip();
    let reports = feed.map(|feed| {
        let reader = ReportReader::new(&database, feed.clone(), &settings.reports);
        Reports { reader, feed }
    });

    // The tasks are in the order in which they stop.
    let mut tasks = Vec::new();
    let reader = reports.as_ref().map(|reports| reports.reader.clone());
    let jobs = recorder.is_some().then(|| Jobs::new(&database));
    let (services, http) =
        (Services { recorder, jobs, reports, readiness: readiness.clone(), metrics_renderer }, settings.http);
    tasks.push(ServiceTask::start("HTTP", |stop| async move {
        http::serve(listener, services, access, &http, stop).await;
        if let Some(reader) = reader {
            reader.finish().await;
        }
        Ok(())
    }));
    if let Some(importer) = importer {
        tasks.push(ServiceTask::start("the follower of logs", |stop| settings.follow.run(importer, stop)));
    }
    if let Some(committer) = committer {
        tasks.push(ServiceTask::start("the recorder", |stop| async move {
            committer.run(stop).await;
            Ok(())
        }));
    }
    if let Some((refresher, maintenance)) = wolf {
        let cron = settings.wolf.refresh_cron;
        let pause = Duration::from_millis(settings.wolf.requested_refresh_pause_ms);
        let requests = RefreshRequests::new(&database, pause);
        tasks.push(ServiceTask::start("the Wolf", |stop| async move {
            Ok(wolf::run(refresher, maintenance, cron, requests, stop).await?)
        }));
    }
    if let Some(freshness_listener) = freshness_listener {
        tasks.push(ServiceTask::start("the freshness feed", |stop| async move {
            freshness_listener.run(stop).await;
            Ok(())
        }));
    }

    tasks.push(ServiceTask::start("the metrics", |stop| async move {
        metrics.run_upkeep(stop).await;
        Ok(())
    }));

    tasks.push(ServiceTask::start("the watch over the file of tokens", |stop| async move {
        hangup::watch(tokens_file, hangup, stop).await;
        Ok(())
    }));

    if database.kind == DatabaseKind::Sqlite {
        let watched = database.clone();
        tasks.push(ServiceTask::start("the watch over the database file", |stop| async move {
            Ok(database::watch_file(watched, stop).await?)
        }));
    }

    let failed = tokio::select! {
        () = signals.next() => {
            // Load balancers learn from the readiness check that the process stops, before it refuses requests.
            readiness.stop();
            tokio::select! { () = sleep(Duration::from_millis(settings.shutdown_delay_ms)) => {} () = signals.next() => {} }
            None
        }
        failed = first_to_end(&mut tasks) => Some(failed),
    };
    let stopped = stop(tasks, database, Duration::from_millis(settings.shutdown_timeout_ms), &mut signals).await;
    match (failed, stopped) {
        (Some(failed), _) => Err(failed),
        (None, Err(cut_short)) => Err(anyhow!(cut_short)),
        (None, Ok(stopped)) => stopped.inspect(|()| info!("stopped")),
    }
}

/// Stops `tasks` in their order, and then closes the database.
///
/// After half of `limit`, connections to the database that may be dead are not waited for any more.
///
/// # Errors
/// The outer error is the reason why stopping was cut short; the inner one is that of a task or of the database.
async fn stop(
    tasks: Vec<ServiceTask>,
    database: Database,
    limit: Duration,
    signals: &mut Signals,
) -> Result<anyhow::Result<()>, String> {
    let stopping_database = database.clone();
    let hurry = async {
        sleep(limit / 2).await;
        stopping_database.hurry();
        std::future::pending::<Infallible>().await
    };
    let mut stopping = "nothing";
    let stopped = timeout(limit, async {
        for task in tasks {
            stopping = task.name;
            task.stop().await?;
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

/// A task of the process that runs until it is stopped.
struct ServiceTask {
    name: &'static str,
    stop: CancellationToken,
    /// The task. The set is empty once the task's result has been taken.
    task: JoinSet<anyhow::Result<()>>,
}

impl ServiceTask {
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

/// Waits until one of the tasks ends, and returns its error. A task that ends before it is stopped has failed.
async fn first_to_end(tasks: &mut [ServiceTask]) -> anyhow::Error {
    let ends = tasks.iter_mut().map(|task| {
        Box::pin(async {
            let ended = task.end().await;
            ended.err().unwrap_or_else(|| anyhow!("{} ended by itself", task.name))
        })
    });
    select_all(ends).await.0
}

/// The error that the address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}{}", listen_advice(source, *address))]
struct ListenFailed {
    address: SocketAddr,
    source: io::Error,
}

/// Returns what can be done about the error, in parentheses.
fn listen_advice(error: &io::Error, address: SocketAddr) -> String {
    let example = |ip: IpAddr, port| format!("for example --listen {}", SocketAddr::new(ip, port));
    let other_port = address.port().checked_add(1).unwrap_or(DEFAULT_PORT);
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(" (another process does; choose another port, {})", example(address.ip(), other_port))
        }
        io::ErrorKind::AddrNotAvailable => {
            let every: IpAddr =
                if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            format!(
                " (this machine has no such address; choose one of its own, or all, {})",
                example(every, address.port())
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(" (ports below 1024 may need privileges; choose another, {})", example(address.ip(), DEFAULT_PORT))
        }
        _ => String::new(),
    }
}

/// Binds a socket to the address, without listening yet.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The address can be bound even if connections of an ended process are still in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Announces the address: as text on standard output, or in the log if that is JSON.
fn announce(log_format: LogFormat, listen: SocketAddr, database: &str, services: &[Service]) {
    // The unspecified address can't be opened in a browser.
    let host = if listen.ip().is_unspecified() { format!("localhost:{}", listen.port()) } else { listen.to_string() };
    if log_format == LogFormat::Json {
        let names: Vec<_> = services.iter().map(|service| service.name()).collect();
        info!(version = crate::VERSION, %listen, url = %format_args!("http://{host}/"), services = names.join(", "), database, "serving");
    } else {
        terminal::print(&start_message(&host, database, services));
    }
}

/// Returns the text that is printed at the start.
fn start_message(host: &str, database: &str, services: &[Service]) -> String {
    let mut text = format!("Analytics Service {} on {database}\n\n", crate::VERSION);
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
