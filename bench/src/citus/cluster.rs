//! A coordinator and its workers, all on this machine.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::server::Server;

/// What the extension needs, besides the settings of every server. The rest is its default, such as 32 shards a table.
const SETTINGS: [&str; 2] = ["shared_preload_libraries=citus", "citus.node_conninfo=sslmode=disable"];
/// How many workers there are.
pub(super) const WORKERS: usize = 3;

/// The servers of a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) coordinator: Server,
    pub(super) workers: Vec<Server>,
}

impl Cluster {
    /// Starts the servers, with the programs in `programs`.
    pub(super) async fn start(programs: &Path) -> anyhow::Result<Self> {
        let coordinator = Server::start_from(programs, &SETTINGS).await?;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(Server::start_from(programs, &SETTINGS).await?);
        }
        Ok(Self { coordinator, workers })
    }

    /// All servers, the coordinator first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.coordinator).chain(&self.workers)
    }

    /// Creates an empty database on the coordinator and on so many workers, as `docs/citus.md` says. Returns its name, and its
    /// address on the coordinator.
    pub(super) async fn create_database(&mut self, workers: usize) -> anyhow::Result<(String, String)> {
        let (name, url) = self.coordinator.create_database().await?;
        for worker in &self.workers[..workers] {
            worker.execute(format!("CREATE DATABASE {name}")).await?;
        }
        for node in self.nodes().take(1 + workers) {
            PgConnection::connect(&node.url(&name)).await?.execute("CREATE EXTENSION citus").await?;
        }
        let mut coordinator = PgConnection::connect(&url).await?;
        let own = format!("SELECT citus_set_coordinator_host('127.0.0.1', {})", self.coordinator.port());
        coordinator.execute(AssertSqlSafe(own)).await?;
        for worker in &self.workers[..workers] {
            let add = format!("SELECT citus_add_node('127.0.0.1', {})", worker.port());
            coordinator.execute(AssertSqlSafe(add)).await?;
        }
        coordinator.close().await?;
        Ok((name, url))
    }

    /// The extension's version, and what decides the figures.
    pub(super) async fn description(&self) -> anyhow::Result<String> {
        let mut connection = self.coordinator.connect().await?;
        let version: String =
            sqlx::query_scalar("SELECT default_version FROM pg_available_extensions WHERE name = 'citus'")
                .fetch_one(&mut connection)
                .await?;
        let shards: String = sqlx::query_scalar("SHOW citus.shard_count").fetch_one(&mut connection).await?;
        Ok(format!("Citus {version}, a coordinator and {WORKERS} workers, {shards} shards a table"))
    }
}
