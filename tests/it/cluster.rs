//! A PostgreSQL cluster of this test run: in a temporary folder, on a free port, gone with the run.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, PgConnection};

/// How long the server may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// Keeps the cluster alive: its keeper stops the server and removes the folder when this process ends, however it
/// does, because then the pipe to its standard input closes.
struct Cluster {
    port: u16,
    _keeper: Child,
}

/// `$0` is the folder of the binaries, `$1` the cluster's folder, `$2` its port.
const KEEPER: &str = r#"
set -eu
trap 'kill -QUIT "$server" 2>/dev/null; wait; rm -rf "$1"' EXIT
server=0
"$0/initdb" --pgdata="$1/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >"$1/log" 2>&1
"$0/postgres" -D "$1/data" -k "$1" -p "$2" -c listen_addresses=127.0.0.1 -c max_connections=400 -c fsync=off \
    -c shared_buffers=256MB -c log_min_messages=warning >>"$1/log" 2>&1 &
server=$!
echo started
read -r _ || true
"#;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(start)
}

fn start() -> Cluster {
    let folder = tempfile::Builder::new().prefix("analytics-postgres-").tempdir().unwrap().keep();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // A session of its own: what interrupts the tests does not interrupt the cleaning up.
    let mut command = Command::new("setsid");
    if is_root() {
        // The server refuses to run as root.
        let owned = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
        assert!(owned.success(), "can't give {} to the user postgres", folder.display());
        command.args(["runuser", "-u", "postgres", "--"]);
    }
    let mut keeper = command
        .args(["sh", "-c", KEEPER])
        .arg(binaries())
        .arg(&folder)
        .arg(port.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut started = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut started).unwrap();
    assert_eq!(started, "started\n", "initdb failed: {}", log(&folder));
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < START_MAX, "PostgreSQL does not start: {}", log(&folder));
        std::thread::sleep(Duration::from_millis(20));
    }
    Cluster { port, _keeper: keeper }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The newest installed version's folder.
fn binaries() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql").map(|versions| {
        let mut versions: Vec<_> = versions.filter_map(|version| Some(version.ok()?.path())).collect();
        versions.sort_by_key(|version| version.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
        versions.pop()
    });
    let folder = folders.ok().flatten().expect("PostgreSQL is not installed: run tests/run, which installs it");
    folder.join("bin")
}

/// Creates an empty database and returns its address.
pub(crate) async fn create_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = cluster().port;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = connect(&format!("postgres://postgres@127.0.0.1:{port}/postgres")).await;
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    format!("postgres://postgres@127.0.0.1:{port}/{name}")
}

/// A connection, as soon as the server takes them.
pub(crate) async fn connect(url: &str) -> PgConnection {
    let begun = Instant::now();
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => return connection,
            // The socket listens a little before the server is ready.
            Err(error) => assert!(begun.elapsed() < START_MAX, "can't connect: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
