//! The file of tokens of a running process: read again at SIGHUP and when it changes, in whatever way.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use api::access::Token;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::{
    app::{Rung, TestDatabase},
    process::{Server, analytics},
    wait::{eventually, wait_for},
    websocket::WebSocket,
};

const READ: &str = "{ freshness { status } }";
const WATCH: &str = "subscription { freshness { refreshId } }";
const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
/// Enough for every look at the file to have come, and for the next one too.
const LOOKS: usize = 150;

/// A serving process with a file of tokens, in which each secret is a token.
struct Fixture {
    database: TestDatabase,
    server: Server,
    file: PathBuf,
    log: PathBuf,
}

/// A line of the file: the scopes, and the hash of the secret.
fn line(secret: &str, scopes: &str) -> String {
    format!("{}\n", Token::of_secret(secret, scopes.parse().unwrap(), None))
}

/// Lines of tokens that may read.
fn lines(secrets: &[&str]) -> String {
    secrets.iter().map(|secret| line(secret, "reports")).collect()
}

impl Fixture {
    async fn start(tokens: &str) -> Self {
        let database = TestDatabase::create(Rung::Sqlite).await;
        let file = database.folder.path().join("tokens");
        fs::write(&file, tokens).unwrap();
        Self::start_with(database, file)
    }

    fn start_with(database: TestDatabase, file: PathBuf) -> Self {
        let log = database.folder.path().join("log");
        let mut command = analytics(&database, &["serve", "--listen", "127.0.0.1:0", "--log", "info"]);
        command.args(["--refresh-cron", "* * * * * *", "--tokens-file"]).arg(&file);
        command.stderr(fs::File::create(&log).unwrap());
        let server = Server::of(command);
        Self { database, server, file, log }
    }

    fn post(&self, secret: &str, query: &str) -> reqwest::RequestBuilder {
        let request = self.server.client.post(self.server.url("/graphql")).bearer_auth(secret);
        request.json(&json!({ "query": query }))
    }

    async fn status(&self, secret: &str) -> u16 {
        self.post(secret, READ).send().await.unwrap().status().as_u16()
    }

    /// Waits until exactly the second ones of these are known.
    async fn knows(&self, not: &[&str], known: &[&str]) {
        eventually(&format!("{known:?} to be known, {not:?} not to be"), async || {
            for secret in not {
                if self.status(secret).await != 401 {
                    return false;
                }
            }
            for secret in known {
                if self.status(secret).await != 200 {
                    return false;
                }
            }
            true
        })
        .await;
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has this text so many times.
    async fn logs(&self, text: &str, times: usize) {
        eventually(&format!("{text:?} to be logged"), async || self.log().matches(text).count() >= times).await;
    }

    /// A socket whose client has shown this token.
    async fn socket(&self, secret: &str) -> WebSocket {
        let mut socket = WebSocket::open(&self.server.address).await.unwrap();
        let answer = socket.init(json!({ "authorization": format!("Bearer {secret}") })).await;
        assert_eq!(answer, Ok(json!({ "type": "connection_ack" })));
        socket
    }

    /// A socket that watches the freshness, of which it has been told once.
    async fn watching(&self, secret: &str) -> WebSocket {
        let mut socket = self.socket(secret).await;
        socket.subscribe("watch", WATCH).await;
        assert_eq!(socket.next_of("watch").await["type"], "next");
        socket
    }

    /// An event stream of the freshness.
    async fn stream(&self, secret: &str) -> Response {
        let response = self.post(secret, WATCH).header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    }
}

/// Writes the file anew under another name and puts it in its place.
fn replace(file: &Path, tokens: &str) {
    let new = file.with_extension("new");
    fs::write(&new, tokens).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_read_again_however_their_file_changes() {
    let fixture = Fixture::start(&lines(&["a"])).await;
    fixture.knows(&["b"], &["a"]).await;
    // Written in place, and of the same length.
    fs::write(&fixture.file, lines(&["b"])).unwrap();
    fixture.knows(&["a"], &["b"]).await;
    fs::write(&fixture.file, lines(&["b", "c"])).unwrap();
    fixture.knows(&["a"], &["b", "c"]).await;
    replace(&fixture.file, &lines(&["d"]));
    fixture.knows(&["b", "c"], &["d"]).await;
    // Moved away and made anew, as editors do.
    fs::rename(&fixture.file, fixture.file.with_extension("old")).unwrap();
    fs::write(&fixture.file, lines(&["e"])).unwrap();
    fixture.knows(&["d"], &["e"]).await;
    // An older file, with its times, comes back.
    fs::rename(fixture.file.with_extension("old"), &fixture.file).unwrap();
    fixture.knows(&["e"], &["d"]).await;
}

/// A folder of secrets as Kubernetes makes it: the file is a link to `..data/tokens`, and `..data` a link to a folder
/// with a date, which is swapped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_read_again_when_links_to_them_are_swapped() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let root = database.folder.path().join("secrets");
    let version = |name: &str, secrets: &[&str]| {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join("tokens"), lines(secrets)).unwrap();
        symlink(name, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    version("..2026_11_26", &["a"]);
    symlink("..data/tokens", root.join("tokens")).unwrap();
    let file = root.join("tokens");
    let fixture = Fixture::start_with(database, file);
    fixture.knows(&["b"], &["a"]).await;
    version("..2026_11_27", &["b"]);
    fs::remove_dir_all(root.join("..2026_11_26")).unwrap();
    fixture.knows(&["a"], &["b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_tokens_again_and_ends_no_process() {
    let fixture = Fixture::start(&lines(&["a"])).await;
    replace(&fixture.file, &lines(&["b"]));
    fixture.server.signal("HUP");
    fixture.logs("SIGHUP, reading the file of tokens again", 1).await;
    fixture.knows(&["a"], &["b"]).await;
    // Unchanged, it is read all the same.
    fixture.server.signal("HUP");
    fixture.logs("the file of tokens was read again tokens.count=1 tokens.added=0 tokens.removed=0", 1).await;

    let database = TestDatabase::create(Rung::Sqlite).await;
    let log = database.folder.path().join("log");
    let mut command = analytics(&database, &["serve", "--listen", "127.0.0.1:0", "--log", "info"]);
    command.stderr(fs::File::create(&log).unwrap());
    let server = Server::of(command);
    server.signal("HUP");
    eventually("the signal to be logged", async || {
        fs::read_to_string(&log).unwrap().contains("there is no file of tokens to read again")
    })
    .await;
    assert!(server.data(READ, Value::Null).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_file_is_refused_as_a_whole_and_logged_once() {
    let good = lines(&["a"]);
    let fixture = Fixture::start(&good).await;
    let mut socket = fixture.watching("a").await;
    let many: String = (0..1_001).map(|number| line(&number.to_string(), "reports")).collect();
    let not_text = [lines(&["b"]).as_bytes(), b"\xff\n"].concat();
    let too_long = format!("{}# {}\n", lines(&["b"]), "x".repeat(1_048_576));
    let long_name = format!("{}{} {}\n", lines(&["b"]), line("c", "reports").trim(), "n".repeat(65));
    for (content, reason) in [
        (format!("{}\n# c\nreports sha256:12\n", lines(&["b"])).into_bytes(), "--tokens-file, line 4"),
        (format!("{}everything {}", lines(&["b"]), line("c", "reports")).into_bytes(), "--tokens-file, line 2"),
        (long_name.into_bytes(), "--tokens-file, line 2"),
        (many.into_bytes(), "--tokens-file, line 1001: there must be at most 1000 tokens"),
        (not_text, "--tokens-file, line 2: not UTF-8"),
        (too_long.into_bytes(), "--tokens-file must be at most 1048576 bytes"),
        (b"# none\n".to_vec(), "--tokens-file has no tokens"),
        (Vec::new(), "--tokens-file has no tokens"),
    ] {
        let before = fixture.log().matches("is refused").count();
        fs::write(&fixture.file, content).unwrap();
        fixture.logs("is refused, the tokens in force stay", before + 1).await;
        let log = fixture.log();
        let refusal = log.lines().rfind(|line| line.contains("is refused")).unwrap();
        assert!(refusal.contains("ERROR") && refusal.contains(reason), "{refusal}");
        fixture.knows(&["b", "0"], &["a"]).await;
    }
    let log = fixture.log();
    assert!(log.contains("the hash must be sha256: and 64 hexadecimal digits"), "{log}");
    assert!(log.contains("1 to 64 letters"), "a limit is named: {log}");

    // Gone, a folder, and there again.
    fs::remove_file(&fixture.file).unwrap();
    fixture.logs("No such file or directory", 1).await;
    fs::create_dir(&fixture.file).unwrap();
    fixture.logs("is not a regular file", 1).await;
    let refused = fixture.log().matches("is refused").count();
    let mut looks = 0;
    eventually("more looks at the file", async || {
        looks += 1;
        looks == LOOKS
    })
    .await;
    assert_eq!(fixture.log().matches("is refused").count(), refused, "once for each content");
    fixture.server.signal("HUP");
    fixture.logs("is refused", refused + 1).await;
    fixture.knows(&["b"], &["a"]).await;
    fs::remove_dir(&fixture.file).unwrap();
    fs::write(&fixture.file, &good).unwrap();
    fixture.logs("again the one whose tokens are in force", 1).await;
    assert_eq!(socket.next_of("watch").await["type"], "next", "the socket has been open all the time");
    fs::write(&fixture.file, lines(&["a", "b"])).unwrap();
    fixture.knows(&["c"], &["a", "b"]).await;
    let metrics = fixture.server.client.get(fixture.server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let applied = r#"analytics_tokens_file_reads_total{outcome="applied"} 1"#;
    assert!(metrics.lines().any(|line| line == applied), "{metrics}");
    assert!(metrics.contains(&format!(r#"analytics_tokens_file_reads_total{{outcome="refused"}} {}"#, refused + 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_removed_tokens_are_closed_with_4403_and_others_go_on() {
    let both = "increments,reports";
    let start = lines(&["gone", "kept"]) + &line("less", both) + &line("other", both) + &line("more", "reports");
    let fixture = Fixture::start(&start).await;
    let (gone, less, other) =
        (fixture.watching("gone").await, fixture.watching("less").await, fixture.watching("other").await);
    let (mut kept, mut more) = (fixture.watching("kept").await, fixture.watching("more").await);
    // Without any operation, and before `connection_init`.
    let idle = fixture.socket("gone").await;
    let headers = [("authorization", "Bearer gone")];
    let silent = WebSocket::open_with(&fixture.server.address, &headers).await.unwrap();

    let now = lines(&["kept"]) + &line("less", "increments") + &line("other", "reports") + &line("more", both);
    replace(&fixture.file, &now);
    for socket in [gone, idle, silent] {
        let closed = wait_for("the socket to be closed", socket.expect_close()).await;
        assert_eq!((closed.code, &*closed.reason), (4403, "UNAUTHENTICATED: the token is not known here any more"));
    }
    for (socket, scope) in [(less, "reports"), (other, "increments")] {
        let closed = wait_for("the socket to be closed", socket.expect_close()).await;
        let reason = format!("FORBIDDEN: the token has no longer the scope {scope}");
        assert_eq!((closed.code, closed.reason), (4403, reason));
    }
    // What is left works on new sockets; what came is there on the old one.
    fixture.watching("other").await;
    for _ in 0..3 {
        assert_eq!(kept.next_of("watch").await["type"], "next");
    }
    more.subscribe("record", RECORD).await;
    assert_eq!(more.next_of("record").await["payload"]["data"]["recordPageViews"]["views"], 1);
    assert_eq!(more.next_of("watch").await["type"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_of_removed_tokens_end_with_an_error_and_others_go_on() {
    let both = "increments,reports";
    let fixture = Fixture::start(&(lines(&["gone", "kept"]) + &line("less", both) + &line("other", both))).await;
    let (gone, less) = (fixture.stream("gone").await, fixture.stream("less").await);
    let (mut kept, mut other) = (fixture.stream("kept").await, fixture.stream("other").await);
    replace(&fixture.file, &(lines(&["kept"]) + &line("less", "increments") + &line("other", "reports")));
    for (stream, code) in [(gone, "UNAUTHENTICATED"), (less, "FORBIDDEN")] {
        let text = wait_for("the stream to end", stream.text()).await.unwrap();
        let events: Vec<_> = text.split("\n\n").filter(|event| !event.is_empty() && *event != ":").collect();
        let [.., last, complete] = events[..] else { panic!("{text}") };
        assert_eq!(complete, "event: complete\ndata:");
        let result: Value = serde_json::from_str(last.strip_prefix("event: next\ndata: ").unwrap()).unwrap();
        let extensions = &result["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["retryable"]), (&json!(code), &json!(false)), "{last}");
    }
    for stream in [&mut kept, &mut other] {
        for _ in 0..3 {
            assert!(wait_for("an event", stream.chunk()).await.unwrap().is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_of_a_removed_token_end_normally() {
    let both = "increments,reports";
    let fixture = Fixture::start(&(line("gone", both) + &lines(&["kept"]))).await;
    let mut socket = fixture.watching("gone").await;
    // Recording waits for this lock.
    let mut lock = sqlx::SqliteConnection::connect(&fixture.database.url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    let mut request = Box::pin(fixture.post("gone", RECORD).send());
    socket.subscribe("record", RECORD).await;
    replace(&fixture.file, &lines(&["kept"]));
    let known = fixture.knows(&["gone"], &["kept"]);
    tokio::select! { () = known => {} answer = &mut request => panic!("before it could be recorded: {answer:?}") }
    // Nothing new is begun on the socket.
    socket.subscribe("late", READ).await;
    let refused = socket.next_of("late").await;
    assert_eq!(refused["type"], "error");
    assert_eq!(refused["payload"][0]["extensions"]["code"], "UNAUTHENTICATED");
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    let answer: Value = wait_for("the answer", request).await.unwrap().json().await.unwrap();
    assert_eq!(answer["data"]["recordPageViews"]["views"], 1, "{answer}");
    assert_eq!(socket.next_of("record").await["payload"]["data"]["recordPageViews"]["views"], 1);
    let closed = wait_for("the socket to be closed", socket.expect_close()).await;
    assert_eq!(closed.code, 4403, "{closed:?}");
}
