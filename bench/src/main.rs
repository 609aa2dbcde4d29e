//! The load and scale benchmarks: what they measure and what came out stands in `bench/RESULTS.md`.

mod bounds;
mod citus;
mod cli;
mod dashboard;
mod dataset;
mod figures;
mod groups;
mod import;
mod ingest;
mod latency;
mod load;
mod machine;
mod measure;
mod pages;
mod removal;
mod report;
mod scale;
mod server;
mod service;
mod stage;
mod stock;
mod subscribers;
mod terminal;
mod usage;
mod waiting;

use clap::Parser;
use cli::{Cli, Command, RefreshSettings};
use server::Server;

// The stock server is one of this program's processes: both that are compared have the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Thousands of connections are open at once.
    rlimit::increase_nofile_limit(u64::MAX)?;
    match Cli::parse().command {
        Command::Refresh(settings) => refresh(&settings).await,
        Command::Ingest(settings) => ingest::run(&settings).await,
        Command::Import(settings) => import::run(&settings).await,
        Command::Report(settings) => report::run(&settings).await,
        Command::Pages(settings) => pages::run(&settings).await,
        Command::Citus(settings) => citus::run(&settings).await,
        Command::Removal(settings) => removal::run(&settings).await,
        Command::Groups(settings) => groups::run(&settings).await,
        Command::Bounds => bounds::run().await,
        Command::Dashboard(settings) => dashboard::run(&settings).await,
        Command::Subscribers(settings) => subscribers::run(&settings).await,
        Command::Transport(settings) => stock::run(&settings).await,
        Command::ConstantServer => ingest::constant::serve().await,
        Command::StockServer(settings) => stock::server::run(&settings).await,
    }
}

async fn refresh(settings: &RefreshSettings) -> anyhow::Result<()> {
    let mut server = match &settings.postgres_url {
        Some(url) => Server::running(url)?,
        None => Server::start().await?,
    };
    machine::print_head(&server).await?;
    if settings.latency { latency::run(&mut server, settings).await } else { scale::run(&mut server, settings).await }
}
