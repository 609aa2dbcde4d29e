//! A pgbouncer of a test's own, as Debian has it.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    cluster::{free_port, is_root},
    wait::eventually_blocking,
};

/// The program: another version than Debian's may be tried by naming it.
fn program() -> String {
    #[expect(clippy::disallowed_methods, reason = "which program to try, as CHROMIUM")]
    std::env::var("PGBOUNCER").unwrap_or_else(|_unset| "pgbouncer".to_owned())
}

/// Whether this version supports prepared statements, as pgbouncer does since 1.21.
pub(crate) fn knows_prepared_statements() -> bool {
    let output =
        Command::new(program()).env("PATH", PATH).arg("--version").output().expect("pgbouncer is not installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let version = text.lines().next().and_then(|line| line.strip_prefix("PgBouncer ")).unwrap();
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    numbers >= vec![1, 21]
}

/// Debian has it in /usr/sbin.
const PATH: &str = concat!(env!("PATH"), ":/usr/sbin");

/// `$0` is the configuration's file, `$1` the program. Ends pgbouncer when this test process ends, however it does,
/// because then the pipe to its standard input closes. Each line of input reloads the configuration.
const KEEPER: &str = r#"
"$1" --quiet "$0" &
pooler=$!
trap 'kill -INT "$pooler"; wait' EXIT
while read -r _; do kill -HUP "$pooler"; done
"#;

/// A pooler in front of one server.
pub(crate) struct Pooler {
    pub(crate) address: String,
    folder: TempDir,
    server: String,
    keeper: Child,
}

impl Pooler {
    /// Pools connections to `server`, in the mode `session`, `transaction` or `statement`, by `more` lines of
    /// configuration and else by its defaults.
    pub(crate) fn start(server: &str, mode: &str, more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("analytics-pgbouncer-").tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        write_configuration(&folder, &address, server, mode, more);
        let mut command = Command::new("setsid");
        if is_root() {
            // It refuses to run as root.
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(folder.path()).status().unwrap();
            assert!(owned.success(), "can't give {} to the user postgres", folder.path().display());
            command.args(["runuser", "-u", "postgres", "--"]);
        }
        let keeper = command
            .args(["sh", "-c", KEEPER])
            .arg(folder.path().join("pgbouncer.ini"))
            .arg(program())
            .current_dir("/")
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        eventually_blocking(|| "pgbouncer to start".to_owned(), || TcpStream::connect(&address).is_ok());
        Self { address, folder, server: server.to_owned(), keeper }
    }

    /// Changes the mode, also of open sessions.
    pub(crate) fn change(&mut self, mode: &str, more: &str) {
        write_configuration(&self.folder, &self.address, &self.server, mode, more);
        writeln!(self.keeper.stdin.as_mut().unwrap()).unwrap();
    }
}

fn write_configuration(folder: &TempDir, address: &str, server: &str, mode: &str, more: &str) {
    let ((host, port), (server_host, server_port)) =
        (address.split_once(':').unwrap(), server.split_once(':').unwrap());
    let log = folder.path().join("log").display().to_string();
    let text = format!(
        "[databases]\n* = host={server_host} port={server_port} user=postgres\n\
         [pgbouncer]\nlisten_addr = {host}\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n\
         logfile = {log}\npool_mode = {mode}\n{more}\n"
    );
    fs::write(folder.path().join("pgbouncer.ini"), text).unwrap();
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}
