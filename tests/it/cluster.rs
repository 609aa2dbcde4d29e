//! PostgreSQL clusters of this test run: in temporary folders, on free ports, gone with the run.

mod citus;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{Connection, Executor, PgConnection};

pub(crate) use self::citus::Citus;
use crate::{
    machine_clock::MachineClock,
    small_disk::SmallDisk,
    wait::{eventually, eventually_blocking},
};

/// Below the ports that systems use for outgoing connections, so that the port of a stopped server stays free.
const PORTS: Range<u32> = 20_000..30_000;

/// A server with its data. Its keeper stops the server and removes the folder when this process ends, however it does,
/// because then the pipe to its standard input closes.
pub(crate) struct Cluster {
    port: u16,
    folder: PathBuf,
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The small disk that has the data, if there is one.
    disk: Option<SmallDisk>,
}

/// The machine of a cluster.
#[derive(Default)]
pub(crate) struct Machine<'a> {
    /// The size of the disk that has its data, in megabytes, if that can be filled.
    pub(crate) disk_mb: Option<u32>,
    pub(crate) clock: Option<&'a MachineClock>,
    /// The cluster that this one is a hot standby of.
    pub(crate) primary: Option<&'a Cluster>,
}

/// `$0` is the folder of the binaries, `$1` the cluster's folder, `$2` its port, `$3` that of its primary if it is a
/// standby, and the rest the server's environment. Starts and stops the server on orders from its input. WAL segments
/// are small, so that a small disk has room for them.
const KEEPER: &str = r#"
set -eu
binaries=$0 folder=$1 port=$2 primary=$3 server=
shift 3
start() {
    env "$@" "$binaries/postgres" -D "$folder/data" -k "$folder" -p "$port" -c listen_addresses=127.0.0.1 \
        -c max_connections=400 -c fsync=off -c shared_buffers=256MB -c log_min_messages=warning >>"$folder/log" 2>&1 &
    server=$!
}
stop() {
    kill -QUIT "$server" 2>/dev/null || true
    wait
}
keep() { trap stop EXIT; }
trap 'stop; rm -rf "$folder" 2>/dev/null' EXIT
if [ -n "$primary" ]; then
    "$binaries/pg_basebackup" --host=127.0.0.1 --port="$primary" --username=postgres --pgdata="$folder/data" \
        --write-recovery-conf --checkpoint=fast --no-sync >"$folder/log" 2>&1
else
    "$binaries/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync \
        --wal-segsize=1 >"$folder/log" 2>&1
fi
while read -r order; do
    "$order" "$@"
    echo done
done
"#;

/// The cluster of all tests that do not stop it.
fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// The Citus cluster of all tests, if the tests run on one: see `tests/citus`.
pub(crate) fn shared_citus() -> Option<&'static Citus> {
    static CITUS: OnceLock<Option<Citus>> = OnceLock::new();
    CITUS.get_or_init(|| citus_binaries().map(|_| Citus::start())).as_ref()
}

impl Cluster {
    /// A new cluster, whose server listens.
    pub(crate) fn start() -> Self {
        Self::start_with(|_data| {})
    }

    /// The same, after `prepare` has changed the data folder and before the server starts.
    pub(crate) fn start_with(prepare: impl FnOnce(&Path)) -> Self {
        Self::start_on(&Machine::default(), prepare)
    }

    /// A hot standby that streams from `primary`, with these more lines of configuration.
    pub(crate) fn standby_of(primary: &Self, configuration: &str) -> Self {
        Self::start_on(&Machine { primary: Some(primary), ..Machine::default() }, |data| {
            let mut file = std::fs::File::options().append(true).open(data.join("postgresql.conf")).unwrap();
            writeln!(file, "{configuration}").unwrap();
        })
    }

    /// The same, on a machine of its own.
    pub(crate) fn start_on(machine: &Machine, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("analytics-postgres-").tempdir().unwrap().keep();
        let port = free_port();
        // A session of its own, so that Ctrl-C does not interrupt the cleanup.
        let mut command = Command::new("setsid");
        let disk = machine.disk_mb.map(|megabytes| {
            std::fs::create_dir(folder.join("data")).unwrap();
            SmallDisk::mount_at(&folder.join("data"), &format!("{megabytes}m"))
        });
        if is_root() {
            // The server refuses to run as root.
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(&folder).status().unwrap();
            assert!(owned.success(), "can't give {} to the user postgres", folder.display());
            command.args(["runuser", "-u", "postgres", "--"]);
        }
        let environment = machine.clock.iter().flat_map(|clock| clock.environment());
        let environment = environment.map(|(name, value)| format!("{name}={}", value.display()));
        let mut keeper = command
            .args(["sh", "-c", KEEPER])
            .arg(binaries())
            .arg(&folder)
            .arg(port.to_string())
            .arg(machine.primary.map(|primary| primary.port.to_string()).unwrap_or_default())
            .args(environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (keeper.stdin.take(), BufReader::new(keeper.stdout.take().unwrap()));
        let mut cluster = Self { port, folder, keeper, orders, answers, disk };
        // Done when there is a cluster.
        cluster.order("true");
        prepare(&cluster.folder.join("data"));
        cluster.start_again();
        cluster
    }

    /// Starts the server, on the port and the data that it had.
    pub(crate) fn start_again(&mut self) {
        self.order("start");
        let what = || format!("PostgreSQL to start, which logs {}", log(&self.folder));
        eventually_blocking(what, || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Stops the server like a crash, without a checkpoint. Returns when its processes have ended.
    pub(crate) fn stop_immediately(&mut self) {
        self.order("stop");
    }

    /// The disk that has its data, if that is a small one.
    pub(crate) fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().unwrap()
    }

    /// Keeps the folder after the server has stopped, for inspection, and returns its path.
    pub(crate) fn keep(&mut self) -> &Path {
        self.order("keep");
        self.disk.iter_mut().for_each(SmallDisk::keep);
        &self.folder
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_ref().unwrap(), "{order}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "the keeper failed: {}", log(&self.folder));
    }

    /// The URL of the superuser for the database `name`. Nothing is encrypted: the certificate that Citus makes can't be read.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A URL of the superuser over the Unix socket, without a password.
    pub(crate) fn socket_url(&self) -> String {
        format!("postgres://postgres@localhost:{}/postgres?host={}", self.port, self.folder.display())
    }

    /// Creates an empty database and returns its address.
    pub(crate) async fn create_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (port, name) = (self.port, format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let mut connection = connect(&self.url("postgres")).await;
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        format!("postgres://postgres@127.0.0.1:{port}/{name}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.keeper.wait());
        if let Some(disk) = self.disk.take() {
            // The keeper could not remove the folder where the disk was mounted.
            if disk.unmount() {
                drop(std::fs::remove_dir_all(&self.folder));
            }
        }
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another run begins elsewhere, and another cluster of this run one further.
    let begin = std::process::id().wrapping_mul(31);
    let ports = (0..PORTS.end - PORTS.start).map(|_| {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
        u16::try_from(PORTS.start + offset).unwrap()
    });
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("no port is free")
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The folder of the programs of a PostgreSQL with the extension Citus, if the tests are to run on it.
fn citus_binaries() -> Option<PathBuf> {
    std::env::var_os("CITUS_POSTGRES").map(PathBuf::from)
}

/// The folder of the programs: the newest installed version's, or that with Citus.
fn binaries() -> PathBuf {
    if let Some(folder) = citus_binaries() {
        return folder;
    }
    let folders = std::fs::read_dir("/usr/lib/postgresql").map(|versions| {
        let mut versions: Vec<_> = versions.filter_map(|version| Some(version.ok()?.path())).collect();
        versions.sort_by_key(|version| version.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
        versions.pop()
    });
    let folder = folders.ok().flatten().expect("PostgreSQL is not installed: run tests/run, which installs it");
    folder.join("bin")
}

/// Creates an empty database in the shared cluster and returns its address.
pub(crate) async fn create_database() -> String {
    match shared_citus() {
        Some(citus) => citus.create_database().await,
        None => shared().create_database().await,
    }
}

/// A connection, as soon as the server takes them.
pub(crate) async fn connect(url: &str) -> PgConnection {
    // The socket listens a little before the server is ready.
    let mut connected = None;
    eventually("a connection to PostgreSQL", async || {
        connected = PgConnection::connect(url).await.ok();
        connected.is_some()
    })
    .await;
    connected.unwrap()
}
