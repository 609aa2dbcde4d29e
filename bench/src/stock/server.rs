//! A server of the schema whose transport is async-graphql-axum's own, on all its defaults.

use anyhow::Context;
use api::graphql::StockExecutor;
use async_graphql_axum::{GraphQL, GraphQLSubscription};
use axum::{Router, routing::post_service};
use increments::Recorder;
use jobs::Jobs;
use reports::{ReportReader, Reports, freshness::FreshnessFeed};
use storage::Database;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{dataset::ServiceSettings, terminal};

/// Serves on a free port, which it prints, until it is asked to terminate.
pub(crate) async fn run(settings: &ServiceSettings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let database = Database::connect(&settings.database).await?;
    let (recorder, committer) = Recorder::new(&database, &settings.recorder);
    let (feed, listener) = FreshnessFeed::new(&database);
    let reader = ReportReader::new(&database, feed.clone(), &settings.reports);
    let executor = StockExecutor::new(Some((recorder, Jobs::new(&database))), Some(Reports { reader, feed }))
        .context("nothing to serve")?;
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run(Default::default()));
    tasks.spawn(listener.run(Default::default()));
    let graphql = post_service(GraphQL::new(executor.clone())).get_service(GraphQLSubscription::new(executor));
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    terminal::print(&format!("stock handlers on http://{}/", socket.local_addr()?));
    let served = axum::serve(socket, Router::new().route("/graphql", graphql));
    tokio::select! {
        served = async { served.await } => served?,
        _ = terminate.recv() => {}
    }
    tasks.shutdown().await;
    Ok(())
}
