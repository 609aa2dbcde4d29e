//! Greedy and careless clients: what each may take of the server's memory, and for how long.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::app::{Rung, Settings, TestApp, eventually};

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
/// How long an answer may take that has to come.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// As large an answer as a list can be: more than the system holds for anybody.
const LARGE: &str = "report(filter: { interval: { period: ALL_TIME } }) \
                     { pages(first: 1000) { edges { cursor node { page } } nodes { page } } }";

/// Connects from `source`, an address of this machine. The system holds little for whoever reads nothing.
async fn connect_from(source: &str, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}

/// Sends `request` and returns the first line of what is answered; nothing if the connection is closed instead.
async fn status_line(connection: &mut TcpStream, request: &[u8]) -> String {
    // What is refused may be closed before all of it is sent.
    drop(connection.write_all(request).await);
    let mut answer = vec![0; 4 * 1024];
    let size = timeout(ANSWER_MAX, connection.read(&mut answer)).await.expect("no answer").unwrap_or_default();
    String::from_utf8_lossy(&answer[..size]).lines().next().unwrap_or_default().to_owned()
}

async fn health(app: &TestApp) -> String {
    status_line(&mut TcpStream::connect(&app.address).await.unwrap(), HEALTH).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_more_than_64_kib_is_refused() {
    let app = TestApp::start(Rung::Sqlite).await;
    let head = |bytes: usize| {
        let padding = "x".repeat(bytes - HEALTH.len() - "x: \r\n".len());
        format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx: {padding}\r\n\r\n").into_bytes()
    };
    let ask = async |bytes| status_line(&mut TcpStream::connect(&app.address).await.unwrap(), &head(bytes)).await;
    assert_eq!(ask(63 * 1024).await, "HTTP/1.1 200 OK");
    for bytes in [65 * 1024, 360 * 1024] {
        let answer = ask(bytes).await;
        // A client that is still sending may find the connection closed, and no answer.
        assert!(answer.is_empty() || answer == "HTTP/1.1 431 Request Header Fields Too Large", "{bytes}: {answer}");
    }
    // A head that never ends: refused at the bound, and not when time is up.
    let mut unfinished = TcpStream::connect(&app.address).await.unwrap();
    let answer = status_line(&mut unfinished, &head(65 * 1024)[..65 * 1024 - 2]).await;
    assert_eq!(answer, "HTTP/1.1 431 Request Header Fields Too Large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_its_share_of_the_connections_and_no_more() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.connections = 200;
        settings.http.connections_each = None;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..205 {
        silent.push(connect_from("127.0.0.2", &app.address).await);
    }
    assert_eq!(health(&app).await, "HTTP/1.1 200 OK");
    let mut refused = 0;
    for connection in &mut silent {
        refused += usize::from(status_line(connection, HEALTH).await == "HTTP/1.1 429 Too Many Requests");
    }
    assert_eq!(refused, 105, "half of them is the share");
    drop(silent);
    eventually("its connections to be free again", async || {
        status_line(&mut connect_from("127.0.0.2", &app.address).await, HEALTH).await == "HTTP/1.1 200 OK"
    })
    .await;
}

/// Behind a proxy all clients come from its address, so that it has all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_has_no_share() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.connections_each = Some(1);
        settings.http.access.trust_forwarded_for = 1;
    })
    .await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = connect_from("127.0.0.2", &app.address).await;
        assert_eq!(status_line(&mut connection, HEALTH).await, "HTTP/1.1 200 OK");
        connections.push(connection);
    }
}

/// There is one connection, and who has it asks for much and reads nothing: when somebody else can ask it has been closed.
async fn is_dropped_when_it_reads_nothing(what: &str, request: &[u8], then: &[u8]) {
    let app = TestApp::start_with(Rung::Sqlite, |settings: &mut Settings| {
        settings.http.connections = 1;
        settings.http.patience.write = Duration::from_millis(300);
    })
    .await;
    let names: Vec<_> = (0..1_000).map(|index| format!("/{index}/{}", "x".repeat(1_000))).collect();
    app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", 1))).await;
    app.refresh().await;
    let mut connection = connect_from("127.0.0.1", &app.address).await;
    connection.write_all(request).await.unwrap();
    if !then.is_empty() {
        let mut upgraded = [0; 1_024];
        let size = connection.read(&mut upgraded).await.unwrap();
        assert!(upgraded[..size].starts_with(b"HTTP/1.1 101"));
        connection.write_all(then).await.unwrap();
    }
    assert_eq!(health(&app).await, "HTTP/1.1 200 OK", "{what}");
    // Most of it was never sent.
    let mut taken = Vec::new();
    drop(timeout(ANSWER_MAX, connection.read_to_end(&mut taken)).await.expect("it is still open"));
    assert!(taken.len() < 1_000_000, "{what}: {}", taken.len());
}

fn post(query: &str, accept: &str) -> Vec<u8> {
    let body = json!({ "query": query }).to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A client's frame with a text; its mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 0x80 | 126][..], &length, &[0; 4], text.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_an_answer_is_dropped() {
    is_dropped_when_it_reads_nothing("an answer", &post(&format!("{{ {LARGE} }}"), "application/json"), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_an_event_stream_is_dropped() {
    let request = post(&format!("subscription {{ {LARGE} }}"), "text/event-stream");
    is_dropped_when_it_reads_nothing("an event stream", &request, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_a_socket_is_dropped() {
    let upgrade = b"GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    let query = format!("subscription {{ {LARGE} }}");
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": { "query": query } }).to_string();
    let init = format!("{:126}", r#"{"type":"connection_init"}"#);
    let messages = [frame(&init), frame(&subscribe)].concat();
    is_dropped_when_it_reads_nothing("a socket", upgrade, &messages).await;
}
