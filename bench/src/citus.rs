//! A Citus cluster beside one plain server, in turns and on the same machine: so its figures are ratios.

mod cluster;
mod recording;
mod refreshing;
mod statements;

use anyhow::Context;

use self::cluster::Cluster;
use crate::{
    cli::{CitusPart, CitusSettings},
    machine,
    server::Server,
    service,
    terminal::Progress,
};

/// Measures the parts and prints their tables.
pub(crate) async fn run(settings: &CitusSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut plain = Server::start_from(&settings.postgres, &[]).await?;
    machine::print_head(&plain).await?;
    let mut cluster = Cluster::start(&settings.postgres).await.context("can't start the cluster")?;
    let progress = Progress::new();
    progress.print(&format!("* Cluster: {}", cluster.description().await?));
    for part in &settings.parts {
        match part {
            CitusPart::Recording => recording::run(&mut plain, &mut cluster, settings, &progress).await?,
            CitusPart::Statements => statements::run(&mut cluster, &progress).await?,
            CitusPart::Refreshing => refreshing::run(&mut plain, &mut cluster, settings, &progress).await?,
        }
    }
    Ok(())
}
