//! The PostgreSQL server that is measured: one of this process's own, or one that runs.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

/// What docs/postgresql.md tells users to set; everything else is PostgreSQL's default, so that what is committed is durable.
const SETTINGS: [&str; 2] = ["shared_buffers=1GB", "max_wal_size=4GB"];
/// How long the server may take to start.
const START_MAX: Duration = Duration::from_secs(60);
/// The pause between two looks whether it has started.
const START_PAUSE: Duration = Duration::from_millis(20);
/// Where Debian and Ubuntu put each version's programs.
const VERSIONS: &str = "/usr/lib/postgresql";

/// `$0` is the folder of the programs, `$1` the cluster's folder, `$2` its port, and what follows its settings.
const KEEPER: &str = r#"
set -eu
programs=$0 folder=$1 port=$2
shift 2
trap 'kill -QUIT "$server" 2>/dev/null; wait; rm -rf "$folder"' EXIT
server=0
"$programs/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C >"$folder/log" 2>&1 \
    || { cat "$folder/log" >&2; exit 1; }
"$programs/postgres" -D "$folder/data" -k "$folder" -p "$port" -c listen_addresses=127.0.0.1 "$@" >>"$folder/log" 2>&1 &
server=$!
echo started
read -r _ || true
"#;

/// A server that databases can be created on.
#[derive(Debug)]
pub(crate) struct Server {
    options: PgConnectOptions,
    /// Stops an own server and removes its folder when this process ends, however it does, because then the pipe
    /// to its standard input closes.
    keeper: Option<Child>,
    /// An own server's folder.
    folder: Option<PathBuf>,
    databases: u32,
}

impl Server {
    /// One that runs.
    pub(crate) fn running(url: &str) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url).context("can't read --postgres-url")?;
        Ok(Self { options, keeper: None, folder: None, databases: 0 })
    }

    /// One of this process's own: in a temporary folder, on a free port, gone with this process.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with more settings.
    pub(crate) async fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_from(&programs()?, settings).await
    }

    /// The same with the programs in a folder.
    pub(crate) async fn start_from(programs: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?.keep();
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut keeper = keeper(&folder)?
            .args(["sh", "-c", KEEPER])
            .arg(programs)
            .arg(&folder)
            .arg(port.to_string())
            .args(SETTINGS.iter().chain(settings).flat_map(|setting| ["-c", setting]))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't start a shell that keeps the server")?;
        let mut started = String::new();
        let output = keeper.stdout.take().context("the keeper has no standard output")?;
        BufReader::new(output).read_line(&mut started)?;
        ensure!(started == "started\n", "initdb failed; see above");
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username("postgres")
            .database("postgres")
            // The certificate that Citus makes can't be read.
            .ssl_mode(PgSslMode::Disable);
        let server = Self { options, keeper: Some(keeper), folder: Some(folder.clone()), databases: 0 };
        let begun = Instant::now();
        while let Err(error) = server.connect().await {
            if begun.elapsed() > START_MAX {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(error.context(format!("PostgreSQL does not start: {log}")));
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        Ok(server)
    }

    /// A connection to the database that the server was named with.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await.context("can't connect to PostgreSQL")
    }

    /// An own server's main process, whose children are all the others.
    pub(crate) fn main_process(&self) -> anyhow::Result<i32> {
        let folder = self.folder.as_ref().context("only an own server's processes are known")?;
        let file = std::fs::read_to_string(folder.join("data/postmaster.pid"))?;
        Ok(file.lines().next().unwrap_or_default().parse()?)
    }

    /// What an own server has logged so far.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        let folder = self.folder.as_ref().context("only an own server's log is known")?;
        Ok(std::fs::read_to_string(folder.join("log"))?)
    }

    /// Creates an empty database and returns its name and its address.
    pub(crate) async fn create_database(&mut self) -> anyhow::Result<(String, String)> {
        self.copy_database("template0").await
    }

    /// Creates a copy of a database that nobody is connected to, and returns its name and its address.
    pub(crate) async fn copy_database(&mut self, template: &str) -> anyhow::Result<(String, String)> {
        let name = format!("analytics_bench_{}_{}", std::process::id(), self.databases);
        self.databases += 1;
        self.execute(format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")).await?;
        let url = self.url(&name);
        Ok((name, url))
    }

    /// The address of the database `name`.
    pub(crate) fn url(&self, name: &str) -> String {
        self.options.clone().database(name).to_url_lossy().to_string()
    }

    /// Where the server listens.
    pub(crate) fn port(&self) -> u16 {
        self.options.get_port()
    }

    /// Drops a database that nobody is connected to any more.
    pub(crate) async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        self.execute(format!("DROP DATABASE {name} WITH (FORCE)")).await
    }

    /// Executes a statement in the database that the server was named with.
    pub(crate) async fn execute(&self, sql: String) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        connection.execute(AssertSqlSafe(sql)).await?;
        Ok(connection.close().await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            // When this returns, the folder is gone; if it fails, the keeper goes on alone.
            drop(keeper.wait());
        }
    }
}

/// The command that runs the keeper: in a session of its own, so that what interrupts this process does not interrupt
/// the cleaning up; and not as root, whom the server refuses to run as.
fn keeper(folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("setsid");
    if Command::new("id").arg("-u").output()?.stdout == b"0\n" {
        let owned = Command::new("chown").arg("postgres").arg(folder).status()?;
        ensure!(owned.success(), "can't give {} to the user postgres", folder.display());
        command.args(["runuser", "-u", "postgres", "--"]);
    }
    Ok(command)
}

/// The folder of the newest installed version's programs.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    match versions.max_by_key(version) {
        Some(newest) => Ok(newest.join("bin")),
        None => bail!("no PostgreSQL in {VERSIONS}: install it, or name a running server with --postgres-url"),
    }
}
