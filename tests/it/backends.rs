//! docs/backends.md: its middlewares and its configuration of nginx and logrotate, exactly as printed, in real servers.
//! The counts equal the pages that were sent, whatever happens between a backend and the service.

use std::{
    env, fs,
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use reqwest::{Method, Response, header};
use storage::Database;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    app::{Rung, TestDatabase, counts},
    cluster::{self, free_port},
    documents::code_blocks,
    process::{self, Server},
    proxy::Proxy,
    wait::{eventually, eventually_blocking, wait_for},
};

const PAGE: &str = include_str!("../../docs/backends.md");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// Tells a process of these tests which axum server it is to run.
const AXUM_SERVER: &str = "TEST_AXUM_SERVER";
const SIGTERM: i32 = 15;

/// Returns a code block of the page, by its language and its place among those.
fn printed(language: &str, index: usize) -> &'static str {
    code_blocks(PAGE).into_iter().filter(|(of, _)| *of == language).nth(index).unwrap().1
}

/// The printed axum program.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a program of its own, with other rules than the service's"
)]
mod axum_program {
    include!("../backends/axum/main.rs");

    use axum::{
        extract::Request,
        http::{StatusCode, header},
        response::IntoResponse,
    };

    pub(super) fn run() {
        main().unwrap();
    }

    /// Serves responses of all kinds, as `tests/clients/backend_site.mjs` does, with the printed layer.
    #[tokio::main]
    pub(super) async fn run_site() {
        let (views, delivery) = page_views::start();
        let layer = middleware::from_fn_with_state(views, page_views::record);
        let app = Router::new().fallback(respond).layer(layer);
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        let listener = TcpListener::bind(env::var("LISTEN").unwrap()).await.unwrap();
        let stop = async move {
            terminated.recv().await;
        };
        axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
        delivery.await.unwrap();
    }

    async fn respond(request: Request) -> axum::response::Response {
        let (status, kind) = match request.uri().path() {
            "/unchanged" => return StatusCode::NOT_MODIFIED.into_response(),
            "/accepted" => (StatusCode::ACCEPTED, "text/html"),
            "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "text/html"),
            "/data" => (StatusCode::OK, "application/json"),
            "/missing" => (StatusCode::NOT_FOUND, "text/html"),
            "/moved" => (StatusCode::FOUND, "text/html"),
            "/style.css" => (StatusCode::OK, "text/css"),
            _ => (StatusCode::OK, "text/html; charset=utf-8"),
        };
        (status, [(header::CONTENT_TYPE, kind)], "text").into_response()
    }
}

/// Compares the printed axum program with the compiled one, and runs it in the processes that [`Backend`] starts.
#[test]
fn printed_axum_program_is_the_compiled_one() {
    match env::var_os(AXUM_SERVER) {
        Some(server) if server == "site" => return axum_program::run_site(),
        Some(_) => return axum_program::run(),
        None => {}
    }
    assert_eq!(printed("rust", 0), include_str!("../backends/axum/page_views.rs"));
    assert_eq!(printed("rust", 1), include_str!("../backends/axum/main.rs"));
}

/// A server with a middleware of the page.
#[derive(Copy, Clone, Debug)]
enum Kind {
    /// The server that the page prints.
    Node,
    Axum,
    Asgi,
    /// A server with responses of all kinds, and the printed middleware.
    NodeSite,
    ExpressSite,
    AxumSite,
    StarletteSite,
}

impl Kind {
    /// The server's command. What the page prints is written to the folder; only the port is another one.
    fn command(self, folder: &Path, port: u16) -> Command {
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let port = port.to_string();
        match self {
            Self::Node => {
                write("page-views.mjs", printed("js", 0));
                write("server.mjs", &printed("js", 1).replace("3000", &port));
                let mut command = Command::new("node");
                command.arg("server.mjs").current_dir(folder);
                command
            }
            Self::NodeSite | Self::ExpressSite => {
                write("page-views.mjs", printed("js", 0));
                let library = if matches!(self, Self::NodeSite) { "http" } else { "express" };
                let mut command = Command::new("node");
                command.args(["backend_site.mjs", library, &port]).arg(folder.join("page-views.mjs"));
                command.current_dir(CLIENTS);
                command
            }
            Self::Axum | Self::AxumSite => {
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["--exact", "backends::printed_axum_program_is_the_compiled_one", "--nocapture"]);
                command.env("LISTEN", format!("127.0.0.1:{port}"));
                command.env(AXUM_SERVER, if matches!(self, Self::Axum) { "printed" } else { "site" });
                command
            }
            Self::Asgi | Self::StarletteSite => {
                write("page_views.py", printed("python", 0));
                write("hello.py", printed("python", 1));
                let app = if matches!(self, Self::Asgi) { "hello:app" } else { "backend_site:app" };
                let mut command = Command::new(format!("{CLIENTS}/venv/bin/python"));
                command.args(["-m", "uvicorn", app, "--port", &port]).current_dir(folder);
                command.env("PYTHONPATH", CLIENTS).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        }
    }
}

/// A running backend; killed when it is dropped.
struct Backend {
    child: Child,
    address: String,
    folder: TempDir,
    client: reqwest::Client,
}

impl Backend {
    /// Starts a backend that records at `service`. Returns when it listens.
    fn start(kind: Kind, service: &str, token: Option<&str>) -> Self {
        Self::start_edited(kind, service, token, |_folder| {})
    }

    /// Starts a backend whose files are edited before.
    fn start_edited(kind: Kind, service: &str, token: Option<&str>, edit: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = kind.command(folder.path(), port);
        edit(folder.path());
        command.env("ANALYTICS_URL", format!("http://{service}/graphql"));
        if let Some(token) = token {
            command.env("ANALYTICS_TOKEN", token);
        }
        let errors = fs::File::create(folder.path().join("errors")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut backend = Self { child, address, folder, client: reqwest::Client::new() };
        let mut ended = None;
        eventually_blocking(
            || format!("{kind:?} to listen"),
            || {
                ended = backend.child.try_wait().unwrap();
                ended.is_some() || TcpStream::connect(&backend.address).is_ok()
            },
        );
        assert_eq!(ended, None, "{kind:?}: {}", backend.errors());
        backend
    }

    /// What it has written to its standard error.
    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("errors")).unwrap()
    }

    async fn send(&self, method: Method, target: &str, accept: &str) -> Response {
        let url = format!("http://{}{target}", self.address);
        self.client.request(method, url).header(header::ACCEPT, accept).send().await.unwrap()
    }

    async fn get(&self, target: &str, times: usize) {
        for _ in 0..times {
            assert_eq!(self.send(Method::GET, target, "text/html").await.status(), 200, "{target}");
        }
    }

    /// Sends a request as it is written here, and reads the answer to its end.
    async fn send_bytes(&self, request: &[u8]) {
        let mut connection = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        connection.write_all(request).await.unwrap();
        wait_for("the answer", connection.read_to_end(&mut Vec::new())).await.unwrap();
    }

    /// Waits for one more failed delivery.
    async fn until_failure(&self) {
        let failures = || self.errors().matches("page views:").count();
        let before = failures();
        eventually("a delivery to fail", async || failures() > before).await;
    }

    /// Sends `SIGTERM`, and waits until the process has ended by itself.
    async fn terminate(mut self) {
        let sent = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut ended: Option<ExitStatus> = None;
        eventually("the backend to end", async || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        let ended = ended.unwrap();
        // uvicorn ends by the signal that it was sent, after its shutdown.
        assert!(ended.success() || ended.signal() == Some(SIGTERM), "{ended}: {}", self.errors());
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the recorded views of each page.
async fn views(database: &Database) -> Vec<(String, i64)> {
    let mut views = std::collections::BTreeMap::new();
    for ((page, _, _), count) in counts(database).await {
        *views.entry(page).or_insert(0) += count;
    }
    views.into_iter().collect()
}

async fn until_recorded(database: &Database, expected: i64) {
    eventually("the views to be recorded", async || views(database).await == [("/".to_owned(), expected)]).await;
}

/// The service is killed, an answer is lost, and the backend is terminated while views wait.
async fn views_are_counted_once_through_faults(kind: Kind, rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let token = process::succeed(&database, &["token", "--scopes", "increments", "--client", "shop"]);
    let value = |name: &str| token.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let serve = || Server::start(&database, &["--token", value("line for --tokens-file:")]);
    let server = serve();
    let proxy = Proxy::start(server.address.clone()).await;
    let backend = Backend::start(kind, &proxy.address, Some(value("token, for the client:")));

    backend.get("/?from=mail", 3).await;
    until_recorded(&connection, 3).await;

    proxy.lose_next_response();
    backend.get("/", 2).await;
    eventually("an answer to be lost", async || proxy.has_lost_response()).await;
    until_recorded(&connection, 5).await;

    drop(server);
    backend.get("/", 4).await;
    backend.until_failure().await;
    let server = serve();
    proxy.lead_to(server.address.clone());
    backend.get("/", 1).await;
    backend.terminate().await;
    assert_eq!(views(&connection).await, [("/".to_owned(), 10)]);
}

async fn only_pages_are_counted(kind: Kind, rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let server = Server::start(&database, &[]);
    let backend = Backend::start(kind, &server.address, None);
    let longest = format!("/{}", "z".repeat(1_023));
    let page = |accept, target: &str| (Method::GET, target.to_owned(), accept);
    let requests = [
        page("text/html", "/page?from=mail"),
        page("*/*", "/page"),
        page("text/html", "/caf%C3%A9/"),
        page("text/html", "/mounted/page?a"),
        page("text/html,application/xhtml+xml", "/unchanged"),
        page("text/html", "/accepted"),
        page("text/html", &longest),
        // No pages.
        (Method::HEAD, "/page".to_owned(), "text/html"),
        (Method::POST, "/page".to_owned(), "text/html"),
        page("image/avif,*/*", "/unchanged"),
        page("text/html", "/style.css"),
        page("text/html", "/data"),
        page("text/html", "/missing"),
        page("text/html", "/broken"),
        page("text/html", "/moved"),
        page("text/html", &format!("{longest}z")),
    ];
    for (method, target, accept) in requests {
        backend.send(method, &target, accept).await;
    }
    // A path that is no URL's. Read by Latin-1 it has a control character, which no page's name may have.
    backend.send_bytes(b"GET /\xc3\x80 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    backend.terminate().await;
    let expected =
        [("/accepted", 1), ("/caf%C3%A9/", 1), ("/mounted/page", 1), ("/page", 2), ("/unchanged", 1), (&longest, 1)];
    assert_eq!(views(&connection).await, expected.map(|(page, count)| (page.to_owned(), count)), "{kind:?}");
}

/// With a queue of 10: the rest of 15 views is lost, and each of these is logged.
async fn views_beyond_the_bound_are_lost_and_logged(kind: Kind, file: &str) {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let connection = database.migrate().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", free_port())).await;
    let backend = Backend::start_edited(kind, &proxy.address, None, |folder| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        fs::write(folder.join(file), edited(&text, "100_000", "10")).unwrap();
    });
    backend.get("/", 15).await;
    backend.until_failure().await;
    assert_eq!(backend.errors().matches("a view of / is lost").count(), 5, "{}", backend.errors());
    let server = Server::start(&database, &[]);
    proxy.lead_to(server.address.clone());
    until_recorded(&connection, 10).await;
    backend.terminate().await;
    assert_eq!(views(&connection).await, [("/".to_owned(), 10)]);
}

fn edited(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

/// The first view is of a year that the service refuses.
async fn refused_batch_does_not_hold_up_the_next(kind: Kind, file: &str, now: &str, edited_now: &str) {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let connection = database.migrate().await;
    let server = Server::start(&database, &[]);
    let backend = Backend::start_edited(kind, &server.address, None, |folder| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        fs::write(folder.join(file), edited(&text, now, edited_now)).unwrap();
    });
    backend.get("/old", 1).await;
    backend.until_failure().await;
    assert!(backend.errors().contains("input.increments[0].at"), "{}", backend.errors());
    backend.get("/", 1).await;
    backend.terminate().await;
    assert_eq!(views(&connection).await, [("/".to_owned(), 1)]);
}

/// nginx with the printed configuration, and the same of logrotate; only paths and the address are others.
struct Nginx {
    /// The process. Its folder has the log.
    backend: Backend,
    /// What replaces the printed paths.
    replaced: [(&'static str, String); 5],
    path: String,
}

impl Nginx {
    fn start(database: &TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, port) = (folder.path().display().to_string(), free_port());
        let replaced = [
            ("/var/log/nginx", root.clone()),
            ("/run/nginx.pid", format!("{root}/nginx.pid")),
            ("/var/www", root.clone()),
            ("listen 80", format!("listen 127.0.0.1:{port}")),
            ("sqlite:///var/lib/analytics/analytics.db", format!("'{}'", database.url)),
        ];
        let program = Path::new(env!("CARGO_BIN_EXE_analytics")).parent().unwrap().display();
        let path = format!("{}:{program}:/usr/sbin", env::var_os("PATH").unwrap().display());
        // As root, nginx's workers are of another user, to whom the folder is closed.
        let user = if cluster::is_root() { "user root;" } else { "" };
        let servers = replace_all(printed("nginx", 0), &replaced);
        let configuration = format!("{user} pid {root}/nginx.pid; events {{}} http {{ {servers} }}");
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        fs::write(folder.path().join("logrotate.conf"), replace_all(printed("text", 0), &replaced)).unwrap();
        fs::write(folder.path().join("index.html"), "<h1>Hello</h1>").unwrap();
        fs::write(folder.path().join("style.css"), "").unwrap();
        let mut command = Command::new("nginx");
        command.env("PATH", &path).args(["-c", &format!("{root}/nginx.conf"), "-e", &format!("{root}/errors")]);
        let child = command.args(["-g", "daemon off;"]).spawn();
        let child = child.expect("nginx is not installed: run tests/run, which installs it");
        let address = format!("127.0.0.1:{port}");
        let backend = Backend { child, address, folder, client: reqwest::Client::new() };
        eventually_blocking(|| "nginx to listen".to_owned(), || TcpStream::connect(&backend.address).is_ok());
        Self { backend, replaced, path }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.backend.folder.path().join(name)
    }

    /// Has so many page views and two more requests; `before` are the lines of the log so far. Waits until all are in
    /// the log.
    async fn serve(&self, pages: usize, before: usize) {
        self.backend.get("/?from=mail", pages).await;
        self.backend.get("/style.css", 1).await;
        assert_eq!(self.backend.send(Method::GET, "/missing", "*/*").await.status(), 404);
        let lines = || fs::read_to_string(self.file("access.log")).unwrap_or_default().lines().count();
        eventually("nginx to write its log", async || lines() == before + pages + 2).await;
    }

    /// Rotates the log as logrotate does daily, and waits until nginx writes to the new file.
    async fn rotate(&self) {
        let old = self.file("access.log.1");
        let mut command = Command::new("logrotate");
        command.env("PATH", &self.path).args(["--force", "--state"]).arg(self.file("state"));
        let rotated = command.arg(self.file("logrotate.conf")).output();
        let rotated = rotated.expect("logrotate is not installed: run tests/run, which installs it");
        assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
        eventually("nginx to write to the new log", async || !self.open_files().any(|file| file == old)).await;
    }

    /// The files that nginx's processes have open.
    fn open_files(&self) -> impl Iterator<Item = PathBuf> {
        let process = self.backend.child.id();
        let workers = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
        let processes: Vec<_> = workers.split_whitespace().map(str::to_owned).chain([process.to_string()]).collect();
        let folders = processes.into_iter().flat_map(|process| fs::read_dir(format!("/proc/{process}/fd")).unwrap());
        folders.filter_map(|descriptor| fs::read_link(descriptor.unwrap().path()).ok())
    }
}

fn replace_all(text: &str, replaced: &[(&str, String)]) -> String {
    replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

async fn log_of_nginx_is_counted_at_each_rotation(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let nginx = Nginx::start(&database);
    for (pages, expected) in [(3, 3), (5, 8)] {
        nginx.serve(pages, 0).await;
        nginx.rotate().await;
        assert_eq!(views(&connection).await, [("/".to_owned(), expected)]);
    }
    nginx.backend.terminate().await;
}

/// The printed command of a server that follows the log, while logrotate has it imported too.
async fn log_of_nginx_is_counted_as_it_is_written(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let nginx = Nginx::start(&database);
    nginx.serve(2, 0).await;
    let command = replace_all(printed("sh", 0), &nginx.replaced);
    let arguments: Vec<_> = command.split_whitespace().skip(2).collect();
    assert!(command.starts_with("analytics serve --follow"), "{command}");
    let _server = Server::start(&database, &arguments);
    until_recorded(&connection, 2).await;
    for (pages, before, expected) in [(3, 4, 5), (5, 0, 10), (4, 0, 14)] {
        nginx.serve(pages, before).await;
        until_recorded(&connection, expected).await;
        nginx.rotate().await;
        assert_eq!(views(&connection).await, [("/".to_owned(), expected)], "the rotated log counts once");
    }
    nginx.backend.terminate().await;
}

macro_rules! backends {
    ($($name:ident: $test:ident$(, $kind:ident)?;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$test($(Kind::$kind,)? Rung::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$test($(Kind::$kind,)? Rung::MaterializedView).await;
            }
        }
    )*};
}

backends! {
    node_counts_once_through_faults: views_are_counted_once_through_faults, Node;
    axum_counts_once_through_faults: views_are_counted_once_through_faults, Axum;
    asgi_counts_once_through_faults: views_are_counted_once_through_faults, Asgi;
    node_counts_only_pages: only_pages_are_counted, NodeSite;
    express_counts_only_pages: only_pages_are_counted, ExpressSite;
    axum_counts_only_pages: only_pages_are_counted, AxumSite;
    nginx_and_logrotate: log_of_nginx_is_counted_at_each_rotation;
    nginx_and_follow: log_of_nginx_is_counted_as_it_is_written;
    starlette_counts_only_pages: only_pages_are_counted, StarletteSite;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_of_node_is_bounded() {
    views_beyond_the_bound_are_lost_and_logged(Kind::Node, "page-views.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_of_python_is_bounded() {
    views_beyond_the_bound_are_lost_and_logged(Kind::Asgi, "page_views.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_of_node_that_is_refused_for_good_is_dropped() {
    let now = "new Date().toISOString()";
    let edited_now = "(page === '/old' ? new Date(0) : new Date()).toISOString()";
    refused_batch_does_not_hold_up_the_next(Kind::Node, "page-views.mjs", now, edited_now).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_of_python_that_is_refused_for_good_is_dropped() {
    let now = "datetime.now(timezone.utc)";
    let edited_now = "(datetime.fromtimestamp(0, timezone.utc) if page == '/old' else datetime.now(timezone.utc))";
    refused_batch_does_not_hold_up_the_next(Kind::Asgi, "page_views.py", now, edited_now).await;
}
