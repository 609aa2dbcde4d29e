//! Exported spans, as an OTLP collector gets them.

use std::sync::{Arc, Mutex};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    app::{Rung, TestDatabase},
    process::{self, Server},
    wait::eventually,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
const FRESHNESS: &str = "{ freshness { status refreshedAt } }";
const REPORT: &str = "{ report { totals { views } } }";

/// Reads one request and answers it with 200. Returns its head in lower case and its body; none when the client has
/// closed the connection.
async fn receive(connection: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let mut body = vec![0; length.lines().next().unwrap().parse().unwrap()];
    connection.read_exact(&mut body).await.ok()?;
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    Some((head, body))
}

/// A collector of spans. It answers from the beginning: an export that waits too long for its answer is dropped.
struct Collector {
    endpoint: String,
    received: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (received, mut tasks) = (Arc::<Mutex<Vec<u8>>>::default(), JoinSet::new());
        let bodies = Arc::clone(&received);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let bodies = Arc::clone(&bodies);
                connections.spawn(async move {
                    let mut connection = BufReader::new(stream);
                    while let Some((head, body)) = receive(&mut connection).await {
                        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
                        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
                        bodies.lock().unwrap().extend(body);
                    }
                });
            }
        });
        Self { endpoint, received, _tasks: tasks }
    }
}

fn has(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_spans_have_no_page_query_or_address() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let collector = Collector::start().await;
    let mut server = Server::start(&database, &["--otlp-endpoint", &collector.endpoint]);
    let input = json!({ "input": { "increments": [{ "page": "/of-somebody", "title": "Of somebody" }] } });
    server.data(RECORD, input).await.unwrap();
    eventually("a refresh", async || {
        let freshness = server.data(FRESHNESS, Value::Null).await.unwrap();
        freshness["freshness"]["refreshedAt"].is_string()
    })
    .await;
    // The error is logged within a span.
    let other = database.connect().await;
    other.background.execute_unprepared("ALTER TABLE page_views_report RENAME TO elsewhere").await.unwrap();
    assert!(server.data(REPORT, Value::Null).await.unwrap_err().contains("INTERNAL_SERVER_ERROR"));
    // The process exports what is left before it ends.
    server.signal("TERM");
    assert!(tokio::task::block_in_place(|| server.child.wait()).unwrap().success());
    let all = collector.received.lock().unwrap().clone();
    // Field 5 of a span is its name, and field 1 of an attribute.
    let named = |field: u8, name: &str| {
        let length = u8::try_from(name.len()).unwrap();
        format!("{}{}{name}", char::from(field << 3 | 2), char::from(length))
    };
    let names = ["operation", "commit", "refresh"].map(|name| named(5, name));
    let attributes = ["operation.kind", "commit.increments", "refresh.rows"].map(|name| named(1, name));
    let names = [&names[..], &attributes[..], &["mutation".to_owned(), "query".to_owned()][..]].concat();
    for name in names {
        assert!(has(&all, &name), "no span has {name:?}");
    }
    assert!(has(&all, "service.name") && has(&all, "analytics"));
    for secret in ["/of-somebody", "Of somebody", "recordPageViews", "page_views_report", "127.0.0.1"] {
        assert!(!has(&all, secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_collector_does_not_disturb_the_server() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = format!("http://{gone}");
    let log = database.folder.path().join("log");
    let mut command =
        process::analytics(&database, &["serve", "--listen", "127.0.0.1:0", "--otlp-endpoint", &endpoint]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut server = Server::of(command);
    server.data(FRESHNESS, Value::Null).await.unwrap();
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    eventually("a word about it in the log", async || std::fs::read_to_string(&log).unwrap().contains("opentelemetry"))
        .await;
}

#[test]
fn unusable_otlp_endpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["collector:4318", "https://collector:4318", "http://collector:4318/v1/traces", ""] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytics"));
        let output = command.args(["refresh", "--otlp-endpoint", wrong]).current_dir(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("http://127.0.0.1:4318"), "{wrong}");
    }
}
