//! Everything that can fail does, at random, while clients record: nothing that was acknowledged is lost, and nothing is
//! counted twice.

pub(crate) mod clients;
pub(crate) mod plan;

use std::sync::{Arc, atomic::Ordering};

use sqlx::Executor;
use tokio::task::JoinSet;

use crate::{
    app::{TestDatabase, counts, eventually, report_rows},
    cluster::{self, Cluster},
    model,
    process::{self, Server},
    proxy::Proxy,
};
use clients::World;
use plan::{Dice, Fault};

/// Beside a new seed of each run.
const SEEDS: [u64; 3] = [1, 2, 3];
const FAULTS: usize = 24;
const CLIENTS_WITH_KEYS: u64 = 12;
const CLIENTS_WITHOUT: u64 = 12;
const ARGUMENTS: [&str; 8] = [
    "--record-timeout-ms",
    "1000",
    "--database-timeout-ms",
    "1000",
    "--refresh-cron",
    "* * * * * *",
    "--queue-increments",
    "10000",
];

/// The service, what it stands on, and what can happen to it.
struct Ground<'a> {
    cluster: &'a mut Cluster,
    /// Past the proxy.
    database: TestDatabase,
    through: TestDatabase,
    proxy: Proxy,
    servers: Vec<Server>,
    world: Arc<World>,
    /// How often a connection was ended in the middle of its commit.
    commits_ended: usize,
}

impl<'a> Ground<'a> {
    async fn new(cluster: &'a mut Cluster, servers: usize) -> Self {
        let database = TestDatabase::create_in(cluster).await;
        database.migrate().await.close().await.unwrap();
        let proxy = Proxy::start(database.server()).await;
        let through = database.through(&proxy);
        let servers: Vec<_> = (0..servers).map(|_| Server::start(&through, &ARGUMENTS)).collect();
        let world = World::new(servers.iter().map(|server| server.address.clone()).collect());
        Self { cluster, database, through, proxy, servers, world: Arc::new(world), commits_ended: 0 }
    }

    async fn until_acknowledged(&self, more: u64) {
        let goal = self.world.acknowledged.load(Ordering::Relaxed) + more;
        let what = "requests to be acknowledged: the service does not come back";
        eventually(what, async || self.world.acknowledged.load(Ordering::Relaxed) >= goal).await;
    }

    async fn until_told(&self, more: u64) {
        let goal = self.world.told.load(Ordering::Relaxed) + more;
        let what = "clients to be told that it can't be recorded";
        eventually(what, async || self.world.told.load(Ordering::Relaxed) >= goal).await;
    }

    /// Lets it happen, and makes an end of what does not end by itself.
    async fn suffer(&mut self, fault: &Fault) {
        match fault {
            Fault::Cut => self.proxy.cut(),
            Fault::LoseCommit => {
                self.proxy.lose_next_commit();
                eventually("a commit to be lost", async || self.proxy.has_lost_commit()).await;
            }
            Fault::Stall { told, cut } => {
                self.proxy.stall();
                self.until_told(*told).await;
                if *cut {
                    self.proxy.cut();
                }
                self.proxy.resume();
            }
            Fault::Terminate { committing } => self.terminate(*committing).await,
            Fault::StopDatabase { told, kill } => {
                self.cluster.stop_immediately();
                if let Some(server) = kill {
                    self.kill(*server);
                } else {
                    self.until_told(*told).await;
                }
                self.cluster.start_again();
                drop(cluster::connect(&self.database.url).await);
                if let Some(server) = kill {
                    self.restart(*server);
                }
            }
            Fault::Kill(server) => {
                self.kill(*server);
                self.restart(*server);
            }
        }
    }

    /// Ends connections of the service, wherever they are: in the middle of a commit, if one is caught there.
    async fn terminate(&mut self, committing: bool) {
        const TRIES: u32 = 300;
        let mut admin = cluster::connect(&self.database.url).await;
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        if committing {
            let commits = format!("{others} AND query LIKE 'COMMIT%' AND state = 'active'");
            for _ in 0..TRIES {
                let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(commits.as_str()));
                if query.fetch_one(&mut admin).await.unwrap() > 0 {
                    self.commits_ended += 1;
                    return;
                }
            }
        }
        admin.execute(others).await.unwrap();
    }

    fn kill(&mut self, server: usize) {
        let server = server % self.servers.len();
        self.servers[server].child.kill().unwrap();
        self.servers[server].child.wait().unwrap();
    }

    fn restart(&mut self, server: usize) {
        let server = server % self.servers.len();
        self.servers[server] = Server::start(&self.through, &ARGUMENTS);
        self.world.addresses.lock().unwrap()[server] = self.servers[server].address.clone();
    }

    /// Stops the servers in order, and waits until the database has no other work.
    async fn end(&mut self) {
        for server in &mut self.servers {
            server.signal("TERM");
            assert_eq!(server.child.wait().unwrap().code(), Some(0), "it ends in order, after all that");
        }
        let mut admin = cluster::connect(&self.database.url).await;
        let others =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        eventually("the last connection to end", async || {
            sqlx::query_scalar::<_, i64>(others).fetch_one(&mut admin).await.unwrap() == 0
        })
        .await;
    }
}

/// Returns how many retries were told that they were duplicates, how many requests without a key have an unknown fate, and
/// how many connections were ended in the middle of a commit.
async fn survive(cluster: &mut Cluster, seed: u64, servers: usize) -> [usize; 3] {
    let mut dice = Dice::new(seed, 0);
    let mut ground = Ground::new(cluster, servers).await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS_WITH_KEYS {
        clients.spawn(Arc::clone(&ground.world).record_with_keys(client, Dice::new(seed, 1 + client)));
    }
    for client in 0..CLIENTS_WITHOUT {
        clients.spawn(Arc::clone(&ground.world).record_without_keys(client));
    }
    for _ in 0..FAULTS {
        // Each time the service has come back by itself.
        ground.until_acknowledged(dice.draw(1..300)).await;
        let fault = dice.fault();
        ground.suffer(&fault).await;
    }
    ground.until_acknowledged(100).await;
    ground.world.stop.cancel();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    ground.end().await;

    let refreshed = process::succeed(&ground.database, &["refresh"]);
    process::succeed(&ground.database, &["verify"]);
    let database = ground.database.connect().await;
    let as_of = api::freshness::Freshness::read(&database.readers, &database.clock).await.unwrap().as_of.unwrap();
    let counts = counts(&database).await;
    let report = report_rows(&database).await;
    database.close().await.unwrap();
    assert_eq!(report, model::report(&counts), "{refreshed}");
    let [duplicates, unknown] = ground.world.told_the_truth(&counts, as_of);
    [duplicates, unknown, ground.commits_ended]
}

#[expect(clippy::print_stderr, reason = "a seed brings a failure back")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_every_fault_and_counts_once() {
    let mut cluster = Cluster::start();
    let fresh = u64::try_from(entity::clock::process_now().timestamp_micros()).unwrap();
    let mut happened = [0; 3];
    for (seed, servers) in SEEDS.into_iter().chain([fresh]).zip([1, 2, 1, 2]) {
        eprintln!("seed {seed}, {servers} processes of the service");
        let more = survive(&mut cluster, seed, servers).await;
        happened.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    eprintln!("{happened:?} duplicates, unknown fates, commits ended in the middle");
    assert!(happened.iter().all(|times| *times > 0), "the faults did nothing: {happened:?}");
}
