//! A pgbouncer of a test's own, as Debian has it.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::cluster::{free_port, is_root};

/// How long it may take to listen.
const START_MAX: Duration = Duration::from_secs(60);

/// `$0` is the configuration's file. Ends pgbouncer when this test process ends, however it does, because then the pipe to
/// its standard input closes.
const KEEPER: &str = r#"
pgbouncer --quiet "$0" &
pooler=$!
trap 'kill -INT "$pooler"; wait' EXIT
read -r _ || true
"#;

/// A pooler in front of one server.
pub(crate) struct Pooler {
    pub(crate) address: String,
    _folder: TempDir,
    keeper: Child,
}

impl Pooler {
    /// Pools connections to `server`, in the mode `session`, `transaction` or `statement`, by `more` lines of configuration
    /// and else by its defaults.
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
            .current_dir("/")
            .env("PATH", concat!(env!("PATH"), ":/usr/sbin"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < START_MAX, "pgbouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { address, _folder: folder, keeper }
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
