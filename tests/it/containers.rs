//! docker-compose.yml without containers: its very commands and settings, as processes on this machine. Only addresses and
//! the paths of secrets are others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::Executor;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    app::eventually,
    cluster::{self, Cluster},
    process::Server,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SECRETS: &str = "/run/secrets/";
/// Where everything listens inside its container.
const LISTENS: &str = "0.0.0.0:8000";
const CLIENTS: usize = 8;
const CLIENTS_PAUSE: Duration = Duration::from_millis(20);
const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";

fn compose() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(Path::new(ROOT).join("docker-compose.yml")).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_array().map(|values| values.iter().map(text).collect()).unwrap_or_default()
}

/// What a service's environment says when nothing is set: `${NAME:-default}` is the default.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let plain = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')?.split_once(":-")) {
            Some((_, default)) => default.to_owned(),
            None => text,
        }
    };
    let variables = service["environment"].as_object().unwrap();
    variables.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

/// What the containers would be.
struct Ground {
    compose: Value,
    cluster: Cluster,
    secrets: TempDir,
    /// Of each service, by its name in the network.
    ports: BTreeMap<String, u16>,
    tokens: [String; 2],
}

impl Ground {
    async fn new() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let made =
            Command::new(format!("{ROOT}/deploy/make-secrets")).arg(secrets.path().join("all")).output().unwrap();
        assert!(made.status.success());
        let again = Command::new(format!("{ROOT}/deploy/make-secrets")).arg(secrets.path().join("all")).output();
        assert!(!again.unwrap().status.success(), "secrets are not overwritten");
        let said = String::from_utf8(made.stdout).unwrap();
        let tokens =
            ["record:", "read:"].map(|name| said.split_once(name).unwrap().1.split_whitespace().next().unwrap());
        let tokens = tokens.map(str::to_owned);
        // As in the container: by socket who is on the machine, over the network who knows the password.
        let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        let cluster = Cluster::start_with(|data| fs::write(data.join("pg_hba.conf"), hba).unwrap());
        let compose = compose();
        let ports = compose["services"].as_object().unwrap().keys();
        let ports = ports.map(|name| (name.clone(), cluster::free_port())).collect();
        let ground = Self { compose, cluster, secrets, ports, tokens };
        let password = fs::read_to_string(ground.secret("postgres_password")).unwrap();
        let mut connection = cluster::connect(&ground.cluster.socket_url()).await;
        let set = format!("ALTER ROLE postgres PASSWORD '{}'", password.trim());
        connection.execute(sqlx::AssertSqlSafe(set)).await.unwrap();
        let name = ground.compose["services"]["postgres"]["environment"]["POSTGRES_DB"].as_str().unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        ground
    }

    fn secret(&self, name: &str) -> String {
        self.secrets.path().join("all").join(name).display().to_string()
    }

    /// The service's command, with its environment and no other.
    fn command(&self, name: &str) -> Command {
        let service = &self.compose["services"][name];
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
        command.args(texts(&service["command"])).env_clear().current_dir(self.secrets.path());
        command.envs(self.environment(name)).stdin(Stdio::null());
        command
    }

    fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let own = environment(&self.compose["services"][name]).into_iter();
        own.map(|(key, value)| (key, self.on_this_machine(name, &value))).collect()
    }

    fn on_this_machine(&self, service: &str, value: &str) -> String {
        if let Some(secret) = value.strip_prefix(SECRETS) {
            return self.secret(secret);
        }
        if value == LISTENS {
            return format!("0.0.0.0:{}", self.ports[service]);
        }
        let mut value = value.replace("@postgres:5432/", &format!("@{}/", self.cluster.address()));
        for (name, port) in &self.ports {
            if value == format!("{name}:8000") {
                value = format!("127.0.0.1:{port}");
            }
        }
        value
    }

    fn start(&self, name: &str) -> Server {
        let server = Server::of(self.command(name));
        // What the container is asked is what the service's healthcheck says, in the container's environment.
        let test = texts(&self.compose["services"][name]["healthcheck"]["test"]);
        assert_eq!(test[..2], ["CMD", "analytics"]);
        let asked = self.command(name).status_of(&test[2..]);
        assert!(asked, "{name} is not healthy");
        server
    }

    fn proxy(&self) -> Proxy {
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(format!("{ROOT}/deploy/haproxy.cfg")).envs(self.environment("proxy"));
        let addresses = ["RECORD", "REPORT"].map(|_| format!("127.0.0.1:{}", cluster::free_port()));
        let [record, report] = &addresses;
        command.env("RECORD", record).env("REPORT", report).stdout(Stdio::null());
        Proxy {
            process: command.spawn().expect("haproxy is not installed: run tests/run, which installs it"),
            addresses,
        }
    }
}

/// The proxy's process; killed when it is dropped.
struct Proxy {
    process: Child,
    addresses: [String; 2],
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

trait StatusOf {
    fn status_of(self, arguments: &[String]) -> bool;
}

impl StatusOf for Command {
    /// The same program in the same environment with other arguments: whether it ends well.
    fn status_of(self, arguments: &[String]) -> bool {
        let mut other = Command::new(self.get_program());
        other.env_clear().envs(self.get_envs().filter_map(|(name, value)| Some((name, value?)))).args(arguments);
        other.stdout(Stdio::null()).status().unwrap().success()
    }
}

async fn ask(address: &str, token: Option<&str>, query: &str, variables: Value) -> Result<Value, String> {
    let request = reqwest::Client::new().post(format!("http://{address}/graphql"));
    let request = token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token));
    let sent = request.json(&json!({ "query": query, "variables": variables })).send().await;
    let answer: Value = sent.map_err(|error| error.to_string())?.json().await.map_err(|error| error.to_string())?;
    match answer.get("errors") {
        None => Ok(answer["data"].clone()),
        Some(errors) => Err(errors.to_string()),
    }
}

fn one_view(page: &str) -> Value {
    json!({ "input": { "increments": [{ "page": page }] } })
}

/// From secrets to a report through the proxy; then every process is replaced under load, and no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_compose_file_work() {
    let ground = Ground::new().await;
    let workers = ground.environment("workers");
    let script = Command::new(format!("{ROOT}/deploy/add-citus-workers")).envs(workers).status().unwrap();
    assert!(script.success(), "without Citus there is nothing to do");
    for _ in 0..2 {
        assert!(ground.command("migrate").stdout(Stdio::null()).status().unwrap().success(), "at every start");
    }
    let names = ["increments", "increments-2", "reports", "reports-2", "wolf", "wolf-2"];
    let mut servers: BTreeMap<_, _> = names.iter().map(|name| (*name, ground.start(name))).collect();
    let proxy = ground.proxy();
    let [record_at, report_at] = &proxy.addresses;
    let [record, read] = &ground.tokens;
    eventually("the proxy to find the services", async || {
        ask(report_at, Some(read), REPORT, json!({})).await.is_ok()
            && ask(record_at, Some(record), RECORD, one_view("/first")).await.is_ok()
    })
    .await;
    for (address, token) in [(record_at, None), (record_at, Some(read)), (report_at, None)] {
        let told = ask(address, token.map(String::as_str), "{ version }", json!({})).await;
        assert_eq!(told.is_ok(), token.is_some(), "{told:?}");
        let told = ask(address, token.map(String::as_str), RECORD, one_view("/never")).await.unwrap_err();
        assert!(["UNAUTHENTICATED", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED"].iter().any(|code| told.contains(code)));
    }

    let (recorded, stop) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (record_at, report_at, record, read) = (record_at.clone(), report_at.clone(), record.clone(), read.clone());
        let (recorded, stop) = (Arc::clone(&recorded), Arc::clone(&stop));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                ask(&record_at, Some(&record), RECORD, one_view(&format!("/{client}"))).await.unwrap();
                recorded.fetch_add(1, Ordering::Relaxed);
                ask(&report_at, Some(&read), REPORT, json!({})).await.unwrap();
                // Below the rate that a token has.
                tokio::time::sleep(CLIENTS_PAUSE).await;
            }
        });
    }
    for name in names {
        let before = recorded.load(Ordering::Relaxed);
        let mut old = servers.remove(name).unwrap();
        old.signal("TERM");
        assert_eq!(old.child.wait().unwrap().code(), Some(0), "{name}");
        servers.insert(name, ground.start(name));
        eventually("the proxy to find it again", async || recorded.load(Ordering::Relaxed) > before + 100).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let views = recorded.load(Ordering::Relaxed);
    eventually("the report of all of it", async || {
        ask(report_at, Some(read), REPORT, json!({})).await.unwrap()["report"]["totals"]["views"] == views
    })
    .await;

    // One of each is killed: the others do its work.
    for name in ["increments", "reports", "wolf"] {
        servers.remove(name);
    }
    eventually("the other ones", async || {
        ask(record_at, Some(record), RECORD, one_view("/last")).await.is_ok()
            && ask(report_at, Some(read), REPORT, json!({}))
                .await
                .is_ok_and(|data| data["report"]["totals"]["views"] != views)
    })
    .await;
    let port = ground.ports["wolf-2"];
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// What would only be noticed inside a container.
#[test]
fn what_the_compose_file_names_is_there() {
    let compose = compose();
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_analytics")).args(arguments).output().unwrap();
        // Wherever lines are broken.
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let known = help(&["--help"]) + &help(&["migrate", "--help"]);
    let declared = compose["secrets"].as_object().unwrap();
    for (name, service) in compose["services"].as_object().unwrap() {
        let secrets: BTreeSet<String> = texts(&service["secrets"]).into_iter().collect();
        assert!(secrets.iter().all(|secret| declared.contains_key(secret)), "{name}: {secrets:?}");
        for (variable, value) in environment(service) {
            if variable.starts_with("ANALYTICS_") {
                let ends = ['=', ']'].map(|end| format!("[env: {variable}{end}"));
                assert!(ends.iter().any(|text| known.contains(text)), "{name}: nobody reads {variable}");
            }
            if let Some(secret) = value.strip_prefix(SECRETS) {
                assert!(secrets.contains(secret), "{name} has no secret {secret}");
            }
        }
        for mount in texts(&service["volumes"]) {
            let source = mount.split(':').next().unwrap();
            let is_there = match source.strip_prefix("./") {
                Some(file) => Path::new(ROOT).join(file).exists(),
                None => compose["volumes"].as_object().unwrap().contains_key(source),
            };
            assert!(is_there, "{name} mounts {source}");
        }
    }
}

/// A manifest that the image's first layer lacks would fail its build.
#[test]
fn the_dockerfile_knows_all_crates() {
    let read = |name: &str| fs::read_to_string(Path::new(ROOT).join(name)).unwrap();
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version=1", "--offline"]).output();
    let metadata: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(ROOT).unwrap().display().to_string();
        if folder.is_empty() {
            continue;
        }
        assert!(dockerfile.contains(&format!("COPY {folder}/Cargo.toml {folder}/\n")), "{folder}");
        assert!(dockerfile.contains(&format!(" {folder}/src ")), "{folder}");
        assert!(!ignored.lines().any(|line| line.trim_end_matches('/') == folder), "{folder} is not copied");
    }
}
