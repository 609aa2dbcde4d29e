//! The load and scale benchmarks: what they measure and what came out stands in `bench/RESULTS.md`.

mod cli;
mod covering;
mod dataset;
mod figures;
mod latency;
mod machine;
mod measure;
mod scale;
mod server;
mod stage;
mod terminal;

use clap::Parser;
use cli::{Cli, Command};
use server::Server;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Refresh(settings) = Cli::parse().command;
    let mut server = match &settings.postgres_url {
        Some(url) => Server::running(url)?,
        None => Server::start().await?,
    };
    machine::print_head(&server).await?;
    if settings.latency { latency::run(&mut server, &settings).await } else { scale::run(&mut server, &settings).await }
}
