//! The start of a process: errors that name the cause, before anything is created; the printed address; a log in
//! JSON.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    app::{Rung, TestDatabase},
    cluster,
    process::{Server, analytics},
    snapshot::{assert_snapshot, json_text},
    wait::eventually,
};

/// A user id that owns no file of the tests.
const NOBODY: u32 = 65534;

/// A folder that others may read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn entries(folder: &Path) -> usize {
    folder.read_dir().unwrap().count()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
    command.args(arguments).current_dir(folder).env_remove("DATABASE_URL").stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn taken_port_is_an_error_before_a_database_is_created() {
    let (taken, folder) = (TcpListener::bind("127.0.0.1:0").unwrap(), folder());
    let address = taken.local_addr().unwrap().to_string();
    let output = run(folder.path(), &["serve", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains(&format!("can't listen on {address} (another process does;")), "{message}");
    assert!(
        message.contains("for example --listen 127.0.0.1:") && message.contains("Address already in use"),
        "{message}"
    );
    assert_eq!(entries(folder.path()), 0, "no file was created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_name_is_resolved_as_listen_address() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start_at(&database, "localhost:0", &[]);
    assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
    let health =
        run(database.folder.path(), &["healthcheck", "--listen", &server.address.replace("127.0.0.1", "localhost")]);
    assert!(health.status.success(), "{}", stderr(&health));

    for wrong in [":8000", "8000", "localhost"] {
        let output = run(database.folder.path(), &["serve", "--listen", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let stderr = stderr(&output);
        assert!(stderr.contains("--listen") && stderr.contains("127.0.0.1:8000"), "{wrong}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_on_all_addresses_prints_localhost() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    for all in ["0.0.0.0:0", "[::]:0"] {
        let server = Server::start_at(&database, all, &["--services", "wolf"]);
        assert!(server.address.starts_with("localhost:"), "{}", server.address);
        assert_eq!(server.client.get(server.url("/health/live")).send().await.unwrap().status(), 200);
    }
}

#[test]
fn unusable_sqlite_path_is_an_error_with_its_folder() {
    let folder = folder();
    let root = folder.path().canonicalize().unwrap();
    fs::write(root.join("file"), "").unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    let (missing, file) = (root.join("missing"), root.join("file"));
    for (url, words) in [
        ("sqlite://missing/analytics.db", [missing.to_str().unwrap(), "does not exist; create it: mkdir -p "]),
        ("sqlite://file/analytics.db", [file.to_str().unwrap(), "Not a directory"]),
        ("sqlite://folder", [root.join("folder").to_str().unwrap(), "is a folder"]),
    ] {
        for command in ["serve", "migrate", "verify", "backup"] {
            let mut arguments = vec![command, "--database-url", url];
            match command {
                "serve" => arguments.extend(["--listen", "127.0.0.1:0"]),
                "backup" => arguments.push("copy.db"),
                _ => {}
            }
            let output = run(&root, &arguments);
            let stderr = stderr(&output);
            assert!([Some(1), Some(2)].contains(&output.status.code()), "{arguments:?}: {stderr}");
            let is_told = words.iter().all(|word| stderr.contains(word)) && !stderr.contains("code:");
            assert!(is_told, "{arguments:?}: {stderr}");
        }
    }
    let output = run(&root, &["backup", "copy.db"]);
    assert!(stderr(&output).contains("there is no database analytics.db"), "{}", stderr(&output));
    assert_eq!(entries(&root), 2, "no file was created");
}

/// The program, run as a user without the right to write everywhere.
struct OtherUser {
    program: TempDir,
    user: u32,
}

impl OtherUser {
    fn new() -> Self {
        let program = folder();
        let (built, copy) = (env!("CARGO_BIN_EXE_analytics"), program.path().join("analytics"));
        // The build folder may be closed to other users.
        fs::hard_link(built, &copy).or_else(|_elsewhere| fs::copy(built, &copy).map(drop)).unwrap();
        let id = Command::new("id").arg("-u").output().unwrap();
        let own = String::from_utf8(id.stdout).unwrap().trim().parse().unwrap();
        Self { program, user: if own == 0 { NOBODY } else { own } }
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> String {
        let program = self.program.path().join("analytics");
        let mut command = if cluster::is_root() {
            let mut command = Command::new("setpriv");
            let user = self.user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let output = command.args(arguments).current_dir(folder).env_remove("DATABASE_URL").output().unwrap();
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(&format!("the process runs as user {}", self.user)), "{arguments:?}: {stderr}");
        stderr
    }
}

fn close(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn unwritable_file_is_an_error_with_its_path_and_the_user() {
    let (other_user, folder) = (OtherUser::new(), folder());
    let root = folder.path().canonicalize().unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];

    // A folder in which no file can be created, as a mount of a container may be.
    close(&root, 0o555);
    let entries = other_user.run(&root, &serve);
    assert!(
        entries.contains(&format!("can't make files in the folder {}: Permission denied", root.display())),
        "{entries}"
    );

    // The file is writable, but SQLite can't create its files beside it.
    close(&root, 0o755);
    let database = root.join("analytics.db");
    assert!(run(&root, &["migrate"]).status.success());
    if cluster::is_root() {
        chown(&database, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    close(&root, 0o555);
    let entries = other_user.run(&root, &serve);
    assert!(
        entries.contains(&format!("can't make files in the folder {}: Permission denied", root.display())),
        "{entries}"
    );

    // Nor the file itself.
    close(&database, 0o000);
    for arguments in [&serve[..], &["verify"]] {
        let entries = other_user.run(&root, arguments);
        assert!(entries.contains(&format!("can't read and write the file {}", database.display())), "{entries}");
    }

    // Files of settings.
    close(&root, 0o755);
    let secret = root.join("secret");
    fs::write(&secret, "").unwrap();
    close(&secret, 0o000);
    for setting in ["--tokens-file", "--database-password-file"] {
        let url = if setting == "--tokens-file" { "sqlite://analytics.db" } else { "postgres://me@127.0.0.1:1/db" };
        let entries =
            other_user.run(&root, &["serve", "--listen", "127.0.0.1:0", "--database-url", url, setting, "secret"]);
        assert!(entries.contains("secret: Permission denied"), "{entries}");
    }
}

/// Parses each line as one JSON object.
fn read_json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_log_is_json_from_its_first_line_to_its_last() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let address = format!("127.0.0.1:{}", cluster::free_port());
    let (log, output) = (database.folder.path().join("log"), database.folder.path().join("output"));
    let mut command = analytics(&database, &["serve", "--listen", &address, "--log-format", "json"]);
    command.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).stdout(fs::File::create(&output).unwrap());
    let child = command.spawn().unwrap();
    let mut server = Server { child, address: address.clone(), client: reqwest::Client::new() };
    eventually("the process to serve", async || server.client.get(server.url("/health/live")).send().await.is_ok())
        .await;

    // The last line, with the cause, is JSON, too.
    let second = analytics(&database, &["serve", "--listen", &address, "--log-format", "json"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let entries = read_json(&stderr(&second));
    let last = entries.last().unwrap();
    assert_eq!((&last["level"], second.stdout.len()), (&"ERROR".into(), 0));
    assert!(last["message"].as_str().unwrap().contains(&format!("can't listen on {address}")), "{last}");

    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(output).unwrap(), "", "nothing is printed beside the log");
    let entries = read_json(&fs::read_to_string(log).unwrap());
    let serving = entries.iter().find(|line| line["message"] == "serving").unwrap();
    assert_eq!(serving["url"], format!("http://{address}/"));
    // Others than these depend on how many refreshes there were.
    let messages = ["serving", "SIGTERM, stopping", "stopped"];
    let stable: Vec<_> =
        entries.iter().filter(|entry| messages.iter().any(|message| entry["message"] == *message)).collect();
    let redacted = ["timestamp", "listen", "url", "database", "version"];
    assert_snapshot("log", &json_text(json!(stable), &redacted));
}
