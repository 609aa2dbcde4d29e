//! A Citus cluster: a coordinator and three workers, each a PostgreSQL cluster with the extension.

use std::{fs::File, io::Write, path::Path};

use sqlx::{AssertSqlSafe, Executor};

use super::{Cluster, connect};

/// What each node's configuration has besides. Few shards, so that a test is not mostly about making them; moving shards
/// needs logical decoding.
const CONFIGURATION: &str = "
shared_preload_libraries = 'citus'
wal_level = logical
citus.shard_count = 8
max_worker_processes = 64
citus.recover_2pc_interval = '5s'
citus.node_conninfo = 'sslmode=disable'
";
const WORKERS: usize = 3;

/// A coordinator and its workers.
pub(crate) struct Citus {
    pub(crate) coordinator: Cluster,
    pub(crate) workers: Vec<Cluster>,
    /// Where the workers are reached.
    ports: Vec<u16>,
}

impl Citus {
    pub(crate) fn start() -> Self {
        let node = || Cluster::start_with(configure);
        let workers: Vec<_> = (0..WORKERS).map(|_| node()).collect();
        Self { coordinator: node(), ports: workers.iter().map(|worker| worker.port).collect(), workers }
    }

    /// Lets the other nodes of databases that are made from now on reach a worker through `proxy`.
    #[cfg(feature = "citus-tests")]
    pub(crate) fn reach_by(&mut self, worker: usize, proxy: &crate::proxy::Proxy) {
        let (_, port) = proxy.address.rsplit_once(':').unwrap();
        self.ports[worker] = port.parse().unwrap();
    }

    /// Creates an empty database on every node, with the extension, and returns its address on the coordinator.
    pub(crate) async fn create_database(&self) -> String {
        let url = self.coordinator.create_database().await;
        let (_, name) = url.rsplit_once('/').unwrap();
        for worker in &self.workers {
            let sql = format!("CREATE DATABASE {name}");
            connect(&worker.url("postgres")).await.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        for node in std::iter::once(&self.coordinator).chain(&self.workers) {
            connect(&node.url(name)).await.execute("CREATE EXTENSION citus").await.unwrap();
        }
        let mut coordinator = connect(&self.coordinator.url(name)).await;
        let own = format!("SELECT citus_set_coordinator_host('127.0.0.1', {})", self.coordinator.port);
        coordinator.execute(AssertSqlSafe(own)).await.unwrap();
        for port in &self.ports {
            let add = format!("SELECT citus_add_node('127.0.0.1', {port})");
            coordinator.execute(AssertSqlSafe(add)).await.unwrap();
        }
        url
    }
}

fn configure(data: &Path) {
    let mut file = File::options().append(true).open(data.join("postgresql.conf")).unwrap();
    file.write_all(CONFIGURATION.as_bytes()).unwrap();
}
