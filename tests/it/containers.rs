//! docker-compose.yml without containers: its very commands and settings, as processes on this machine. Only addresses
//! and the paths of secrets are others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
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
    cluster::{self, Cluster},
    name_server::NameServer,
    process::Server,
    wait::{eventually, pace},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SECRETS: &str = "/run/secrets/";
/// Where everything listens inside its container.
const LISTENS: &str = "0.0.0.0:8000";
const CLIENTS: usize = 8;
const CLIENTS_PAUSE: Duration = Duration::from_millis(20);
const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_array().map(|values| values.iter().map(text).collect()).unwrap_or_default()
}

/// A service's environment where no variable is set: of `${NAME:-default}` the default.
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

/// The processes and secrets that the containers would have.
struct Fixture {
    compose: Value,
    cluster: Cluster,
    secrets: TempDir,
    /// Of each service, by its name in the network.
    ports: BTreeMap<String, u16>,
    tokens: [String; 2],
}

impl Fixture {
    async fn new() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let made =
            Command::new(format!("{ROOT}/deploy/make-secrets")).arg(secrets.path().join("all")).output().unwrap();
        assert!(made.status.success());
        let again = Command::new(format!("{ROOT}/deploy/make-secrets")).arg(secrets.path().join("all")).output();
        assert!(!again.unwrap().status.success(), "secrets are not overwritten");
        let printed = String::from_utf8(made.stdout).unwrap();
        assert!(printed.contains(&format!("in {}.", secrets.path().join("all").display())), "{printed}");
        let tokens =
            ["record:", "read:"].map(|name| printed.split_once(name).unwrap().1.split_whitespace().next().unwrap());
        let tokens = tokens.map(str::to_owned);
        // As in the container: no password over the Unix socket, one over the network.
        let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        let cluster = Cluster::start_with(|data| fs::write(data.join("pg_hba.conf"), hba).unwrap());
        let compose = compose();
        let ports = compose["services"].as_object().unwrap().keys();
        let ports = ports.map(|name| (name.clone(), cluster::free_port())).collect();
        let fixture = Self { compose, cluster, secrets, ports, tokens };
        let password = fs::read_to_string(fixture.secret("postgres_password")).unwrap();
        let mut connection = cluster::connect(&fixture.cluster.socket_url()).await;
        let set = format!("ALTER ROLE postgres PASSWORD '{}'", password.trim());
        connection.execute(sqlx::AssertSqlSafe(set)).await.unwrap();
        let name = fixture.compose["services"]["postgres"]["environment"]["POSTGRES_DB"].as_str().unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        fixture
    }

    /// Runs the migration, as at every start.
    fn migrate(&self) {
        assert!(self.command("migrate").stdout(Stdio::null()).status().unwrap().success());
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

    async fn start(&self, name: &str) -> Server {
        self.start_at(name, &self.environment(name)["ANALYTICS_LISTEN"]).await
    }

    /// Starts a service and waits until it is healthy.
    async fn start_at(&self, name: &str, address: &str) -> Server {
        let command = || {
            let mut command = self.command(name);
            command.env("ANALYTICS_LISTEN", address);
            command
        };
        let child = command().spawn().unwrap();
        let server = Server { child, address: address.to_owned(), client: reqwest::Client::new() };
        // The service's healthcheck, in the container's environment.
        let test = texts(&self.compose["services"][name]["healthcheck"]["test"]);
        assert_eq!(test[..2], ["CMD", "analytics"]);
        eventually(&format!("{name} to be healthy"), async || command().status_of(&test[2..])).await;
        server
    }

    fn proxy(&self) -> Proxy {
        self.proxy_by(&format!("{ROOT}/deploy/haproxy.cfg"), self.environment("proxy"))
    }

    fn proxy_by(&self, file: &str, environment: BTreeMap<String, String>) -> Proxy {
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", file]).envs(environment);
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
        other.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
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
async fn compose_commands_serve_through_the_proxy_while_each_process_is_replaced() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        fixture.migrate();
    }
    let names = ["increments", "increments-2", "reports", "reports-2", "wolf", "wolf-2"];
    let mut servers = BTreeMap::new();
    for name in names {
        servers.insert(name, fixture.start(name).await);
    }
    let proxy = fixture.proxy();
    let [record_at, report_at] = &proxy.addresses;
    let [record, read] = &fixture.tokens;
    eventually("the proxy to find the services", async || {
        ask(report_at, Some(read), REPORT, json!({})).await.is_ok()
            && ask(record_at, Some(record), RECORD, one_view("/first")).await.is_ok()
    })
    .await;
    for (address, token) in [(record_at, None), (record_at, Some(read)), (report_at, None)] {
        let response = ask(address, token.map(String::as_str), "{ version }", json!({})).await;
        assert_eq!(response.is_ok(), token.is_some(), "{response:?}");
        let response = ask(address, token.map(String::as_str), RECORD, one_view("/never")).await.unwrap_err();
        assert!(
            ["UNAUTHENTICATED", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED"].iter().any(|code| response.contains(code))
        );
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
                pace(CLIENTS_PAUSE).await;
            }
        });
    }
    for name in names {
        let before = recorded.load(Ordering::Relaxed);
        let mut old = servers.remove(name).unwrap();
        old.signal("TERM");
        assert_eq!(old.child.wait().unwrap().code(), Some(0), "{name}");
        servers.insert(name, fixture.start(name).await);
        eventually("the proxy to use the new process", async || recorded.load(Ordering::Relaxed) > before + 100).await;
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
    let port = fixture.ports["wolf-2"];
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// Addresses that a container engine may give to any of the services.
const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 77, 1), Ipv4Addr::new(127, 0, 77, 2), Ipv4Addr::new(127, 0, 77, 3)];

/// The last result of the proxy's health check of a server, as haproxy prints it.
fn last_check(control: &Path, backend: &str, server: &str) -> String {
    let mut connection = UnixStream::connect(control).unwrap();
    connection.write_all(b"show stat\n").unwrap();
    let mut table = String::new();
    connection.read_to_string(&mut table).unwrap();
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split(',').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "check_status").unwrap();
    let row = rows.iter().find(|row| row[..2] == [backend, server]).unwrap();
    row[column].to_owned()
}

/// The proxy starts while half of the servers are missing. Two services swap their addresses, as after a restart of
/// both: not one increment goes to the other one, and it is found where it is now; so is a server that comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_follows_a_service_to_another_address() {
    let fixture = Fixture::new().await;
    fixture.migrate();
    let (port, names) = (cluster::free_port(), NameServer::start().await);
    let at = |place: usize| format!("{}:{port}", ADDRESSES[place]);
    let control = fixture.secrets.path().join("control");
    let file = fixture.secrets.path().join("haproxy.cfg");
    // The name server is another one than this machine's, and the test may look.
    let own = read("deploy/haproxy.cfg");
    let adapted = own.replace("parse-resolv-conf", &format!("nameserver test {}", names.address));
    let adapted = adapted.replace("\nglobal\n", &format!("\nglobal\n    stats socket {}\n", control.display()));
    assert!(adapted.contains("nameserver") && adapted.contains("stats socket"));
    fs::write(&file, adapted).unwrap();
    let given = environment(&fixture.compose["services"]["proxy"]).into_iter();
    let mut proxy_environment: BTreeMap<_, _> =
        given.map(|(key, value)| (key, value.replace(":8000", &format!(".invalid:{port}")))).collect();
    // This machine's name server knows none of them, and is not waited for.
    proxy_environment.insert("RES_OPTIONS".to_owned(), "timeout:1 attempts:1".to_owned());

    names.set(&[("increments.invalid", ADDRESSES[0]), ("reports.invalid", ADDRESSES[1])]);
    let servers = [fixture.start_at("increments", &at(0)).await, fixture.start_at("reports", &at(1)).await];
    let proxy = fixture.proxy_by(file.to_str().unwrap(), proxy_environment);
    let [record_at, report_at] = &proxy.addresses;
    let [record, read] = &fixture.tokens;
    let records = async || {
        let answer = ask(record_at, Some(record), RECORD, one_view("/")).await;
        // The response of a wrong service: a client would not retry after it.
        assert!(!answer.as_ref().is_err_and(|error| error.contains("GRAPHQL_VALIDATION_FAILED")), "{answer:?}");
        answer.is_ok()
    };
    let reads = async || ask(report_at, Some(read), "{ version }", json!({})).await.is_ok();
    eventually("the proxy to find the two that are there", async || records().await && reads().await).await;

    drop(servers);
    eventually("the proxy to notice that they are gone", async || !records().await && !reads().await).await;
    let is_silent = async |server: &str| last_check(&control, server, &format!("{server}-1")) == "L4CON";
    eventually("the health checks to find no server", async || {
        is_silent("increments").await && is_silent("reports").await
    })
    .await;
    let servers = [fixture.start_at("reports", &at(0)).await, fixture.start_at("increments", &at(1)).await];
    // The names still lead to the old addresses.
    let is_other = async |server: &str| !is_silent(server).await;
    eventually("the health checks to find the swapped services", async || {
        is_other("increments").await && is_other("reports").await
    })
    .await;
    assert!(!records().await && !reads().await);
    names.set(&[("increments.invalid", ADDRESSES[1]), ("reports.invalid", ADDRESSES[0])]);
    eventually("the proxy to follow", async || records().await && reads().await).await;

    names.set(&[
        ("increments.invalid", ADDRESSES[1]),
        ("increments-2.invalid", ADDRESSES[2]),
        ("reports.invalid", ADDRESSES[0]),
    ]);
    let _second = fixture.start_at("increments-2", &at(2)).await;
    let [_reports, first] = servers;
    drop(first);
    eventually("the proxy to find the second", async || records().await).await;
}

#[test]
fn make_secrets_writes_beside_the_compose_file_and_prints_the_folder() {
    let clone = tempfile::tempdir().unwrap();
    let clone = clone.path().canonicalize().unwrap();
    fs::create_dir_all(clone.join("deploy")).unwrap();
    fs::copy(format!("{ROOT}/deploy/make-secrets"), clone.join("deploy/make-secrets")).unwrap();
    let run = || Command::new("deploy/make-secrets").current_dir(&clone).output().unwrap();
    let named = clone.join("secrets").display().to_string();
    let (made, again) = (run(), run());
    assert!(String::from_utf8(made.stdout).unwrap().contains(&format!("Made, in {named}.")));
    assert!(String::from_utf8(again.stderr).unwrap().contains(&format!("{named} exists already")));
}

/// A machine with fewer cores than the limit refuses the container. Files written into a container, or into a volume
/// without a name, are lost or left behind.
#[test]
fn no_compose_service_limits_cores_or_writes_outside_a_volume() {
    for (name, service) in compose()["services"].as_object().unwrap() {
        assert!(texts(&service["profiles"]).iter().all(|profile| profile == "scaled"), "{name}: Citus does not work");
        assert_eq!(service["cpus"], Value::Null, "{name}");
        assert_eq!(service["read_only"], true, "{name}");
    }
    assert!(!read("Dockerfile").lines().any(|line| line.starts_with("VOLUME")));
}

/// The command for digests in docs/containers.md knows every image, and each tag is one that its makers keep: no frozen
/// version, no Debian that is not built for any more.
#[test]
fn containers_page_lists_every_image() {
    let (dockerfile, page) = (read("Dockerfile"), read("docs/containers.md"));
    let bases = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let mut images: BTreeSet<_> = bases.map(str::to_owned).collect();
    for service in compose()["services"].as_object().unwrap().values() {
        images.insert(service["image"].as_str().unwrap().to_owned());
    }
    assert!(images.remove("analytics"), "that is our own");
    let (_, rest) = page.split_once("for image in ").unwrap();
    let listed: BTreeSet<_> = rest.split(';').next().unwrap().split_whitespace().map(str::to_owned).collect();
    assert_eq!(images, listed);
    assert!(!images.iter().any(|image| image.contains("bookworm") || image.contains("debian12")), "{images:?}");
}

/// Requirements and limits that no test can check are documented.
#[test]
fn documents_name_the_requirements_and_known_limits() {
    for (page, words) in [
        ("README.md", "apt-get install gcc libc6-dev"),
        ("docs/citus.md", "X.509 version 1"),
        ("docs/containers.md", "podman build --format docker"),
        ("docs/containers.md", "65532"),
    ] {
        assert!(read(page).contains(words), "{page}: {words}");
    }
}

/// Mistakes that would only show inside a container.
#[test]
fn everything_the_compose_file_names_exists() {
    let compose = compose();
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_analytics")).args(arguments).output().unwrap();
        // Wherever lines are broken.
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let known = help(&["serve", "--help"]) + &help(&["migrate", "--help"]);
    let declared = compose["secrets"].as_object().unwrap();
    for (name, service) in compose["services"].as_object().unwrap() {
        let secrets: BTreeSet<String> = texts(&service["secrets"]).into_iter().collect();
        assert!(secrets.iter().all(|secret| declared.contains_key(secret)), "{name}: {secrets:?}");
        for (variable, value) in environment(service) {
            if variable.starts_with("ANALYTICS_") {
                let ends = ['=', ']'].map(|end| format!("[env: {variable}{end}"));
                assert!(ends.iter().any(|text| known.contains(text)), "{name}: no flag has the variable {variable}");
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
fn dockerfile_copies_every_crate() {
    let (dockerfile, copied) = (read("Dockerfile"), read(".dockerignore"));
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
        let is_copied = copied.contains(&format!("\n!{folder}\n"))
            && dockerfile.contains(&format!("\nCOPY {folder} {folder}\n"))
            && dockerfile.lines().any(|line| line.starts_with("RUN find") && line.contains(&format!(" {folder} ")));
        assert!(is_copied || folder == "bench", "{folder} is not copied");
    }
    // What comes before the commit is not built again for another one.
    let (before, after) = dockerfile.split_once("\nARG ANALYTICS_COMMIT").unwrap();
    assert_eq!((before.matches("cargo build").count(), after.matches("cargo build").count()), (2, 1));
    assert!(before.ends_with("\nCOPY build.rs ./\nCOPY src src"));
}

/// Only the sources of the program get into the build context, so that a change of anything else builds nothing.
#[test]
fn docker_build_context_has_only_the_sources_of_the_program() {
    let text = read(".dockerignore");
    let patterns: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let matches = |pattern: &str, file: &str| match pattern.strip_prefix("**/*") {
        Some(ending) => file.ends_with(ending),
        None => pattern == "*" || file == pattern || file.starts_with(&format!("{pattern}/")),
    };
    // The last pattern that matches decides.
    let is_copied = |file: &str| {
        let last = patterns.iter().rfind(|pattern| matches(pattern.trim_start_matches('!'), file));
        last.is_none_or(|pattern| pattern.starts_with('!'))
    };
    let mut folders = vec![Path::new(ROOT).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let file = path.strip_prefix(ROOT).unwrap().display().to_string();
            if path.is_dir() {
                if ![".git", "target", "node_modules"].iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
                continue;
            }
            let is_needed = ["Cargo.toml", "Cargo.lock", "bench/Cargo.toml", "build.rs"].contains(&file.as_str())
                || [
                    "src",
                    "access_logs",
                    "api",
                    "bots",
                    "counts",
                    "entity",
                    "import",
                    "increments",
                    "jobs",
                    "migration",
                    "reports",
                    "storage",
                    "wolf",
                ]
                .contains(&file.split('/').next().unwrap());
            assert_eq!(is_copied(&file), is_needed && !file.ends_with(".md"), "{file}");
        }
    }
}

/// The names of the services that `deploy/try` starts in a profile, after the two ports.
fn tried(stage: &str) -> BTreeSet<String> {
    let script = read("deploy/try");
    let prefix = format!("try_profile {stage} ");
    let line = script.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned();
    let words: Vec<_> = line.split(' ').collect();
    let compose = compose();
    let ports: Vec<_> =
        compose["services"].as_object().unwrap().values().flat_map(|service| texts(&service["ports"])).collect();
    for port in &words[..2] {
        assert!(
            ports.contains(&format!("127.0.0.1:{port}:8000")) || ports.contains(&format!("127.0.0.1:{port}:{port}"))
        );
    }
    words[2..].iter().map(|name| (*name).to_owned()).collect()
}

/// A service that is new in the Compose file is tried too, on an image that can be made without a registry.
#[test]
fn try_replaces_every_service_of_both_profiles() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    let lasting = services.iter().filter(|(name, _)| *name != "migrate");
    let (scaled, default): (Vec<_>, Vec<_>) = lasting.partition(|(_, service)| !texts(&service["profiles"]).is_empty());
    let default: BTreeSet<_> = default.into_iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(tried("default"), default);
    let all: BTreeSet<_> = scaled.into_iter().map(|(name, _)| name.clone()).chain(default).collect();
    assert_eq!(tried("scaled"), all);

    let (page, script) = (read("docs/containers.md"), read("deploy/local-images"));
    let (_, rest) = page.split_once("for image in ").unwrap();
    for image in rest.split(';').next().unwrap().split_whitespace() {
        assert!(script.lines().any(|line| line.starts_with(&format!("make {image} "))), "{image}");
    }
}

/// Without an engine it says so. Where a step fails it removes what it has made, and has Compose do so.
#[test]
fn try_cleans_up_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (programs, temporary) = (folder.path().join("programs"), folder.path().join("temporary"));
    fs::create_dir_all(&programs).unwrap();
    fs::create_dir_all(&temporary).unwrap();
    let calls = folder.path().join("calls");
    let run = |answers: &str| {
        let file = programs.join("docker");
        fs::write(&file, format!("#!/bin/sh\necho \"$*\" >>'{}'\n{answers}\n", calls.display())).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&file).status().unwrap().success());
        let mut command = Command::new("sh");
        command.args(["-c", r#"PATH="$1:$PATH" exec "$2""#, "sh"]).arg(&programs).arg(format!("{ROOT}/deploy/try"));
        let output = command.env("TMPDIR", &temporary).stdin(Stdio::null()).output().unwrap();
        assert_eq!(temporary.read_dir().unwrap().count(), 0, "it leaves no files");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run("exit 1");
    assert!(code == Some(1) && stderr.contains("no container engine answers"), "{stderr}");

    let (code, stderr) = run("case $1 in version|compose) exit 0;; *) echo broken; exit 1;; esac");
    // Somebody may use the ports of the Compose file.
    if !stderr.contains("is taken") {
        assert!(stderr.contains("broken") && stderr.contains("the image can not be built"), "{stderr}");
        assert!(stderr.ends_with("deploy/try: cleaned up\n"), "{stderr}");
        let calls = fs::read_to_string(&calls).unwrap();
        assert!(calls.contains("compose --profile scaled down --volumes"), "{calls}");
        assert!(calls.contains("image rm --force analytics"), "{calls}");
    }
    assert_eq!(code, Some(1));
}
