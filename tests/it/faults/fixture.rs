//! The service with its database, network, disk and clocks, and the faults that these can have.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::{
    Plan, Variant,
    background::BackgroundWork,
    clients::Workload,
    plan::Fault,
    readers::{READER_KINDS, Readers},
    service::{Slot, addresses, update_addresses},
};
use crate::{
    app::{Rung, TestDatabase},
    cluster::{self, Cluster, Machine},
    machine_clock::MachineClock,
    process,
    proxy::Proxy,
    small_disk::SmallDisk,
    wait::{eventually, pace},
};

/// A full disk or a held lock may cause no error, where the room that is left is enough. After this many acknowledged
/// requests the fault ends all the same.
const ACKNOWLEDGED_INSTEAD: u64 = 3_000;
/// Without recycled segments each new one needs room on the disk.
const POSTGRES_CONFIGURATION: &str = "wal_recycle = off\nmax_wal_size = 32MB\n";
const OTHERS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// The service, its database, and its clients.
pub(crate) struct Fixture {
    background: BackgroundWork,
    slots: Vec<Slot>,
    /// The database as the service reaches it: through the proxy.
    through: TestDatabase,
    /// The database past the proxy.
    pub(crate) database: TestDatabase,
    store: Store,
    folder: Option<TempDir>,
    pub(crate) workload: Arc<Workload>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) commits_ended: usize,
}

/// The database, and what can fail of it.
enum Store {
    Postgres { proxy: Proxy, cluster: Box<Cluster>, clock: MachineClock },
    Sqlite { disk: SmallDisk },
}

impl Fixture {
    pub(crate) async fn new(plan: &Plan) -> Self {
        let folder = tempfile::Builder::new().prefix("analytics-faults-").tempdir().unwrap();
        let (store, database, through) = match plan.variant {
            Variant::Postgres => postgres(plan, folder.path()).await,
            Variant::Sqlite => sqlite(plan, folder.path()).await,
        };
        process::succeed(&database, &["migrate"]);
        if database.rung == Rung::Table {
            process::succeed(&database, &["rebuild", "--as", "table"]);
        }
        let slots = plan.layout.processes.iter().enumerate();
        let mut slots: Vec<_> =
            slots.map(|(number, services)| Slot::new(folder.path(), number, services, plan.layout.arguments)).collect();
        for slot in &mut slots {
            slot.start(&through).await;
        }
        let reporters = addresses(&slots, "reports");
        let readers = Readers::new(reporters.len() * READER_KINDS.len());
        let workload = Workload::new(addresses(&slots, "increments"), reporters, plan.pause);
        Self {
            background: BackgroundWork::default(),
            slots,
            through,
            database,
            store,
            folder: Some(folder),
            workload: Arc::new(workload),
            readers: Arc::new(readers),
            commits_ended: 0,
        }
    }

    /// Whether hourly rows of old days are dropped.
    pub(crate) fn drops_hours(&self) -> bool {
        self.slots.iter().any(Slot::drops_hours)
    }

    pub(crate) async fn until_acknowledged(&self, more: u64) {
        let goal = self.workload.acknowledged() + more;
        let what = "requests to be acknowledged: the service does not come back";
        eventually(what, async || self.workload.acknowledged() >= goal).await;
    }

    async fn until_errors(&self, more: u64) {
        let (errors, acknowledged) =
            (self.workload.errors() + more, self.workload.acknowledged() + ACKNOWLEDGED_INSTEAD);
        let what = "requests to get errors";
        eventually(what, async || self.workload.errors() >= errors || self.workload.acknowledged() >= acknowledged)
            .await;
    }

    /// Waits until every process records again, and every reader knows of a refresh that is newer than all that are
    /// known now. Returns how long that took.
    pub(crate) async fn until_recovered(&self) -> Duration {
        let (begun, workload) = (Instant::now(), &self.workload);
        let newest = workload.expectations().refreshes.last_key_value().map_or(0, |(id, _)| *id);
        for (process, acknowledged) in workload.acknowledged.iter().enumerate() {
            let before = acknowledged.load(Ordering::Relaxed);
            let what = format!("process {process} of those that record to do so again");
            eventually(&what, async || acknowledged.load(Ordering::Relaxed) > before).await;
        }
        for (reader, known) in self.readers.known.iter().enumerate() {
            let what = format!(
                "reader {reader} ({:?}) to know of a refresh after {newest}",
                READER_KINDS[reader % READER_KINDS.len()]
            );
            eventually(&what, async || known.load(Ordering::Relaxed) > newest).await;
        }
        begun.elapsed()
    }

    /// Injects a fault, and ends it where it does not end by itself.
    pub(crate) async fn inject(&mut self, fault: &Fault) {
        self.background.check();
        if fault.disturbs_commands() {
            self.background.disturb();
        }
        match fault {
            Fault::Cut => self.proxy().cut(),
            Fault::LoseCommit => {
                self.proxy().lose_next_commit();
                eventually("a commit to be lost", async || self.proxy().has_lost_commit()).await;
            }
            Fault::Stall { errors, cut } => {
                self.proxy().stall();
                self.until_errors(*errors).await;
                if *cut {
                    self.proxy().cut();
                }
                self.proxy().resume();
            }
            Fault::HalfOpen { errors, new_too, restart } => {
                if *new_too {
                    self.proxy().stall();
                }
                self.proxy().freeze();
                self.until_errors(*errors).await;
                if let Some(number) = restart {
                    self.terminate_process(*number).await;
                }
                self.proxy().resume();
                if let Some(number) = restart {
                    self.start(*number).await;
                }
            }
            Fault::FreezeCommit => {
                self.proxy().freeze_next_commit();
                eventually("a commit to be frozen", async || self.proxy().has_frozen_commit()).await;
            }
            Fault::Terminate { committing } => self.terminate(*committing).await,
            Fault::StopDatabase { errors, kill } => self.stop_database(*errors, *kill).await,
            Fault::FillDisk { errors, kill } => self.fill_disk(*errors, *kill).await,
            Fault::SetClock { machine, offset_ms } => {
                let is_of_database = machine.is_none() || matches!(self.store, Store::Sqlite { .. });
                self.workload.expectations().is_clock_set |= is_of_database;
                match (machine, &self.store) {
                    (Some(number), _) => self.slots[number % self.slots.len()].clock.set(*offset_ms),
                    (None, Store::Postgres { clock, .. }) => clock.set(*offset_ms),
                    // All processes of an SQLite file are on its machine.
                    (None, Store::Sqlite { .. }) => self.slots.iter().for_each(|slot| slot.clock.set(*offset_ms)),
                }
            }
            Fault::Run(arguments) => self.background.run(&self.through, arguments),
            Fault::BackUp => self.background.back_up(&self.database, &self.workload),
            Fault::HoldReport { millis } => self.background.hold_report(&self.database, Duration::from_millis(*millis)),
            Fault::HoldLock { errors } => {
                let mut holder = SqliteConnection::connect(&self.database.url).await.unwrap();
                eventually("the file's lock to be had", async || holder.execute("BEGIN IMMEDIATE").await.is_ok()).await;
                self.until_errors(*errors).await;
                holder.execute("ROLLBACK").await.unwrap();
            }
            Fault::Kill(number) => {
                self.kill(*number);
                self.start(*number).await;
            }
            Fault::Restart(number) => {
                self.terminate_process(*number).await;
                self.start(*number).await;
            }
            Fault::Pause { process, millis } => {
                let process = *process % self.slots.len();
                self.slots[process].signal("STOP");
                pace(Duration::from_millis(*millis)).await;
                self.slots[process].signal("CONT");
            }
        }
    }

    fn proxy(&self) -> &Proxy {
        match &self.store {
            Store::Postgres { proxy, .. } => proxy,
            Store::Sqlite { .. } => panic!("there is no proxy before a file"),
        }
    }

    /// Ends connections of the service, wherever they are: in the middle of a commit, if one is caught there.
    async fn terminate(&mut self, committing: bool) {
        const TRIES: u32 = 300;
        let mut admin = cluster::connect(&self.database.url).await;
        let terminate = format!("SELECT count(pg_terminate_backend(pid)) {OTHERS}");
        if committing {
            let commits = format!("{terminate} AND query LIKE 'COMMIT%' AND state = 'active'");
            for _ in 0..TRIES {
                let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(commits.as_str()));
                if query.fetch_one(&mut admin).await.unwrap() > 0 {
                    self.commits_ended += 1;
                    return;
                }
            }
        }
        admin.execute(sqlx::AssertSqlSafe(terminate)).await.unwrap();
    }

    async fn stop_database(&mut self, errors: u64, kill: Option<usize>) {
        let Store::Postgres { cluster, .. } = &mut self.store else { return };
        tokio::task::block_in_place(|| cluster.stop_immediately());
        if let Some(number) = kill {
            self.kill(number);
        } else {
            self.until_errors(errors).await;
        }
        self.until_database_serves().await;
        if let Some(number) = kill {
            self.start(number).await;
        }
    }

    /// Starts the database if it has ended, as its supervisor does.
    async fn until_database_serves(&mut self) {
        let Store::Postgres { cluster, .. } = &mut self.store else { return };
        let url = &self.database.url;
        eventually("the database to serve", async || {
            if std::net::TcpStream::connect(cluster.address()).is_err() {
                tokio::task::block_in_place(|| {
                    cluster.stop_immediately();
                    cluster.start_again();
                });
            }
            PgConnection::connect(url).await.is_ok()
        })
        .await;
    }

    async fn fill_disk(&mut self, errors: u64, kill: Option<usize>) {
        let reader = match &self.store {
            Store::Postgres { .. } => None,
            Store::Sqlite { .. } => {
                // While it reads, the write-ahead log can't begin anew, and so needs room.
                let mut reader = SqliteConnection::connect(&self.database.url).await.unwrap();
                reader.execute("BEGIN; SELECT count(*) FROM page_views_report").await.unwrap();
                Some(reader)
            }
        };
        self.disk().fill_but(0);
        self.until_errors(errors).await;
        if let Some(number) = kill {
            self.kill(number);
        }
        self.disk().free();
        drop(reader);
        self.until_database_serves().await;
        if let Some(number) = kill {
            self.start(number).await;
        }
    }

    fn disk(&self) -> &SmallDisk {
        match &self.store {
            Store::Postgres { cluster, .. } => cluster.disk(),
            Store::Sqlite { disk } => disk,
        }
    }

    async fn terminate_process(&mut self, number: usize) {
        let number = number % self.slots.len();
        let ended = self.slots[number].terminate().await;
        assert_eq!(ended.code(), Some(0), "process {number} ends in order");
    }

    fn kill(&mut self, number: usize) {
        let number = number % self.slots.len();
        self.slots[number].kill();
    }

    async fn start(&mut self, number: usize) {
        let number = number % self.slots.len();
        self.slots[number].start(&self.through).await;
        update_addresses(&self.slots, &self.workload);
    }

    /// Stops the processes in order, and waits until the database has no other work.
    pub(crate) async fn end(&mut self) {
        self.background.end().await;
        for slot in &mut self.slots {
            assert_eq!(slot.terminate().await.code(), Some(0), "it ends in order, after all that");
        }
        let Store::Postgres { proxy, .. } = &self.store else { return };
        // Frozen connections would stay for ever.
        proxy.cut();
        let mut admin = cluster::connect(&self.database.url).await;
        let others = format!("SELECT count(*) {OTHERS}");
        eventually("the last connection to end", async || {
            let query = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(others.as_str()));
            query.fetch_one(&mut admin).await.unwrap() == 0
        })
        .await;
    }
}

impl Drop for Fixture {
    /// Keeps logs and data of a failed run.
    #[expect(clippy::print_stderr, reason = "somebody will look for it")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        if let Some(folder) = self.folder.take() {
            eprintln!("logs and data are kept in {}", folder.keep().display());
        }
        match &mut self.store {
            Store::Postgres { cluster, .. } => eprintln!("the database is kept in {}", cluster.keep().display()),
            Store::Sqlite { disk } => disk.keep(),
        }
    }
}

async fn postgres(plan: &Plan, folder: &Path) -> (Store, TestDatabase, TestDatabase) {
    let clock = MachineClock::new(folder, "database");
    let machine = Machine { disk_mb: Some(plan.disk_mb), clock: Some(&clock), ..Machine::default() };
    let cluster = Cluster::start_on(&machine, |data| {
        let file = std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"));
        std::io::Write::write_all(&mut file.unwrap(), POSTGRES_CONFIGURATION.as_bytes()).unwrap();
    });
    let mut database = TestDatabase::create_in(&cluster).await;
    database.rung = if plan.seed.is_multiple_of(2) { Rung::Table } else { Rung::MaterializedView };
    let proxy = Proxy::start(database.server()).await;
    let through = database.through(&proxy);
    (Store::Postgres { proxy, cluster: Box::new(cluster), clock }, database, through)
}

async fn sqlite(plan: &Plan, folder: &Path) -> (Store, TestDatabase, TestDatabase) {
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    let disk = SmallDisk::mount_at(&data, &format!("{}m", plan.disk_mb));
    let (database, through) = (disk.database(), disk.database());
    (Store::Sqlite { disk }, database, through)
}
