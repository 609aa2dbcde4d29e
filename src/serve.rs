//! All services in one process: started together, stopped in order.

use std::{convert::Infallible, error::Error, time::Duration};

use anyhow::{Context, anyhow};
use api::{
    freshness::FreshnessFeed,
    http::{self, Services, access::Access},
    increments::Recorder,
    reports::ReportReader,
};
use entity::DatabaseSettings;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::{JoinError, JoinHandle},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use wolf::Maintenance;

use crate::{cli::ServeSettings, database, metrics::Metrics, terminal};

/// How long what was accepted may take to be recorded once nothing more is accepted.
const RECORDER_DRAIN: Duration = Duration::from_secs(20);

/// Serves until SIGTERM or SIGINT.
///
/// Stopping goes from the outside in: first HTTP, so that nothing more comes; then the recorder, which commits and
/// answers what came; then the Wolf, whose running refresh ends; then the database.
pub(crate) async fn serve(settings: &DatabaseSettings, serve: ServeSettings) -> anyhow::Result<()> {
    // Every client is an open file; what the system allows is often less than what it would allow if asked.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(error = &error as &dyn Error, "can't raise the limit of open files");
    }
    let access = Access::new(&serve.http.access, serve.http.listen)?;
    let metrics = Metrics::collect()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let database = database::open(settings, serve.migrate).await?;
    let refresher = serve.wolf.report_kind.refresher(&database).await?;
    let maintenance = Maintenance::new(&database, serve.wolf.keep_hours);
    let listen = serve.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    terminal::print(&welcome(&listener.local_addr()?.to_string(), &database.url.to_string()));

    let (recorder, committer) = Recorder::new(&database, &serve.recorder);
    let (feed, tail) = FreshnessFeed::new(&database);
    let reader = ReportReader::new(&database, feed.clone(), &serve.reports);
    let exposition = Some(metrics.exposition(&database));
    let services = Services { recorder, reader: reader.clone(), feed, exposition };

    let tasks = TaskTracker::new();
    // In the order of stopping; each is told to stop when the one before it has.
    let stops = [(); 3].map(|()| CancellationToken::new());
    let [stop_http, stop_recorder, stop_rest] = stops.clone();
    let (http, cron, rest) = (serve.http, serve.wolf.refresh_cron, stop_rest.clone());
    let mut serving = tasks.spawn(async move { http::serve(listener, services, access, &http, stop_http).await });
    let mut committing = tasks.spawn(committer.run(stop_recorder));
    let mut refreshing = tasks.spawn(wolf::run(refresher, maintenance, cron, stop_rest));
    let mut tailing = tasks.spawn(tail.run(rest.clone()));
    let summing = tasks.spawn(metrics.sum(rest));
    tasks.close();

    // Nothing of this ends by itself: what does has failed, and the others are stopped.
    let ended = tokio::select! {
        _ = terminate.recv() => {
            info!("SIGTERM, stopping");
            Ok(())
        }
        _ = interrupt.recv() => {
            info!("SIGINT, stopping");
            Ok(())
        }
        served = &mut serving => flat(served, "HTTP"),
        refreshed = &mut refreshing => flat(refreshed, "the Wolf"),
        committed = &mut committing => flat(committed.map(Ok::<_, Infallible>), "the recorder"),
        tailed = &mut tailing => flat(tailed.map(Ok::<_, Infallible>), "the freshness feed"),
    };
    let [stop_http, stop_recorder, stop_rest] = stops;
    stop_http.cancel();
    finished(serving).await;
    reader.finish().await;
    stop_recorder.cancel();
    let recorded = timeout(RECORDER_DRAIN, finished(committing)).await;
    stop_rest.cancel();
    finished(refreshing).await;
    finished(tailing).await;
    finished(summing).await;
    let closed = database.close().await;
    info!("stopped");
    ended?;
    recorded.context("what was accepted could not be recorded in time")?;
    closed.context("can't close the database")
}

/// A part that ended although nobody told it to.
fn flat<E: Error + Send + Sync + 'static>(ended: Result<Result<(), E>, JoinError>, part: &str) -> anyhow::Result<()> {
    ended.with_context(|| format!("{part} failed"))?.with_context(|| format!("{part} failed"))?;
    Err(anyhow!("{part} ended by itself"))
}

/// Waits for a task that may have been waited for before.
async fn finished<T>(task: JoinHandle<T>) {
    if !task.is_finished() {
        // How it ended was asked by whoever watched it.
        drop(task.await);
    }
}

fn welcome(address: &str, database: &str) -> String {
    format!(
        "Analytics Service on {database}\n\
         \n\
         \x20 open     http://{address}/\n\
         \x20 GraphiQL http://{address}/graphiql\n\
         \x20 GraphQL  http://{address}/graphql (POST; subscriptions over WebSocket or as text/event-stream)\n\
         \n"
    )
}
