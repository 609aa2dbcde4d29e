//! All services in one process: started together, stopped in order.

use std::time::Duration;

use anyhow::Context;
use api::{freshness::FreshnessFeed, http, increments::Recorder, reports::ReportReader, schema};
use entity::DatabaseSettings;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;
use wolf::Refresher;

use crate::{cli::ServeSettings, database, terminal};

/// How long what was accepted may take to be recorded once nothing more is accepted.
const RECORDER_DRAIN: Duration = Duration::from_secs(20);

/// Serves until SIGTERM or SIGINT.
///
/// Stopping goes from the outside in: first HTTP, so that nothing more comes; then the recorder, which commits and
/// answers what came; then the Wolf, whose running refresh ends; then the database.
pub(crate) async fn serve(settings: &DatabaseSettings, serve: ServeSettings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let database = database::open(settings, serve.migrate).await?;
    let refresher = Refresher::new(&database);
    if let Some(kind) = serve.wolf.report_kind.pinned() {
        refresher.ensure_kind(kind).await?;
    }
    let listen = serve.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    terminal::print(&welcome(&listener.local_addr()?.to_string(), &database.url.to_string()));

    let (recorder, committer) = Recorder::new(&database, &serve.recorder);
    let (feed, tail) = FreshnessFeed::new(&database);
    let schema = schema::schema(recorder, ReportReader::new(&database), feed.clone());

    let stop = CancellationToken::new();
    let stop_inner = CancellationToken::new();
    let tasks = TaskTracker::new();
    let committing = tasks.spawn(committer.run());
    let tailing = tasks.spawn(tail.run(stop_inner.clone()));
    let mut refreshing = tasks.spawn(wolf::run(refresher, serve.wolf.refresh_cron, stop_inner.clone()));
    let http = serve.http;
    let stop_http = stop.clone();
    let mut serving = tasks.spawn(async move { http::serve(listener, schema, feed, &http, stop_http).await });

    tokio::select! {
        served = &mut serving => served?.context("can't serve")?,
        refreshed = &mut refreshing => refreshed?.context("the Wolf can't work")?,
        _ = terminate.recv() => info!("SIGTERM, stopping"),
        _ = interrupt.recv() => info!("SIGINT, stopping"),
    }
    stop.cancel();
    if !serving.is_finished() {
        serving.await?.context("can't serve")?;
    }
    // The schema went with the server, and with it the last recorder.
    timeout(RECORDER_DRAIN, committing).await.context("what was accepted could not be recorded in time")??;
    stop_inner.cancel();
    if !refreshing.is_finished() {
        refreshing.await?.context("the Wolf can't work")?;
    }
    tailing.await?;
    database.close().await.context("can't close the database")?;
    info!("stopped");
    Ok(())
}

fn welcome(address: &str, database: &str) -> String {
    format!(
        "Analytics Service on {database}\n\
         \n\
         \x20 open     http://{address}/\n\
         \x20 GraphiQL http://{address}/graphiql\n\
         \x20 GraphQL  http://{address}/graphql (POST; subscriptions over WebSocket)\n\
         \n"
    )
}
