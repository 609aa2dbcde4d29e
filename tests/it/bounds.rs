//! Bounds on the memory and the connections that greedy or careless clients can take.

use std::time::Duration;

use reqwest::header;
use sea_orm::TransactionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    app::{Rung, Settings, TestApp},
    event_streams::first_event,
    wait::{eventually, wait_for},
    websocket::WebSocket,
};

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
/// The largest response that a list can have: more than the buffers of the kernel hold.
const LARGE: &str = "report(filter: { interval: { period: ALL_TIME } }) \
                     { pages(first: 1000) { edges { cursor node { page } } nodes { page } } }";

/// Connects from `source`, an address of this machine, with a small receive buffer, so that the kernel holds little of
/// what is not read.
async fn connect_from(source: &str, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}

/// Sends `request` and returns the status line of the response; an empty one if the connection is closed instead.
async fn status_line(connection: &mut TcpStream, request: &[u8]) -> String {
    // The server may close the connection before it has read a refused request.
    drop(connection.write_all(request).await);
    let mut answer = vec![0; 4 * 1024];
    let size = wait_for("an answer", connection.read(&mut answer)).await.unwrap_or_default();
    String::from_utf8_lossy(&answer[..size]).lines().next().unwrap_or_default().to_owned()
}

async fn health(app: &TestApp) -> String {
    status_line(&mut TcpStream::connect(&app.address).await.unwrap(), HEALTH).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_head_over_64_kib_is_refused() {
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
    // A head that never ends is refused at the limit, before any timeout.
    let mut unfinished = TcpStream::connect(&app.address).await.unwrap();
    let answer = status_line(&mut unfinished, &head(65 * 1024)[..65 * 1024 - 2]).await;
    assert_eq!(answer, "HTTP/1.1 431 Request Header Fields Too Large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_gets_at_most_half_of_the_connections() {
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
    assert_eq!(refused, 105, "one address gets half of the connections");
    drop(silent);
    eventually("its connections to be free again", async || {
        status_line(&mut connect_from("127.0.0.2", &app.address).await, HEALTH).await == "HTTP/1.1 200 OK"
    })
    .await;
}

/// Behind a proxy all clients come from its address, so that it has all connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_proxy_is_exempt_from_the_connection_limit_of_one_address() {
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

/// Records the pages with long names that [`LARGE`] lists.
async fn record_long_names(app: &TestApp) {
    let names: Vec<_> = (0..1_000).map(|index| format!("/{index}/{}", "x".repeat(1_000))).collect();
    app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", 1))).await;
    app.refresh().await;
}

/// Lets the only connection that the server takes ask for a large answer and read nothing, and checks that the server
/// closes it: another client is served then.
async fn is_dropped_when_it_reads_nothing(what: &str, ask: impl AsyncFnOnce(TcpStream) -> TcpStream) {
    let app = TestApp::start_with(Rung::Sqlite, |settings: &mut Settings| {
        settings.http.connections = 1;
        settings.http.timeouts.write = Duration::from_millis(300);
    })
    .await;
    record_long_names(&app).await;
    let mut connection = ask(connect_from("127.0.0.1", &app.address).await).await;
    assert_eq!(health(&app).await, "HTTP/1.1 200 OK", "{what}");
    // Most of the response was never sent.
    let mut taken = Vec::new();
    drop(wait_for("the connection to be closed", connection.read_to_end(&mut taken)).await);
    assert!(taken.len() < 1_000_000, "{what}: {}", taken.len());
}

/// The same for a request over plain HTTP.
async fn request_is_dropped_when_it_reads_nothing(what: &str, request: &[u8]) {
    is_dropped_when_it_reads_nothing(what, async |mut connection| {
        connection.write_all(request).await.unwrap();
        connection
    })
    .await;
}

fn post(query: &str, accept: &str) -> Vec<u8> {
    let body = json!({ "query": query }).to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {accept}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_whose_client_reads_no_response_is_closed() {
    let request = post(&format!("{{ {LARGE} }}"), "application/json");
    request_is_dropped_when_it_reads_nothing("an answer", &request).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_stream_whose_client_reads_nothing_is_closed() {
    let request = post(&format!("subscription {{ {LARGE} }}"), "text/event-stream");
    request_is_dropped_when_it_reads_nothing("an event stream", &request).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_whose_client_reads_nothing_is_closed() {
    is_dropped_when_it_reads_nothing("a socket", async |connection| {
        let (mut socket, _) = WebSocket::upgrade(connection, "Sec-WebSocket-Protocol: graphql-transport-ws\r\n").await;
        socket.init(Value::Null).await.unwrap();
        socket.subscribe("1", &format!("subscription {{ {LARGE} }}")).await;
        socket.into_stream()
    })
    .await;
}

/// The code and the message of the first error, and of all others.
fn only_error(answer: &Value) -> (&str, &str) {
    let errors = answer["errors"].as_array().unwrap();
    let first = &errors[0];
    assert_eq!(answer["data"], Value::Null, "{answer}");
    assert!(errors.iter().all(|error| error["message"] == first["message"]), "{answer}");
    (first["extensions"]["code"].as_str().unwrap(), first["message"].as_str().unwrap())
}

/// Of 410 days there are 9,840 hours.
const HOURS: &str =
    "filter: { interval: { range: { start: \"2025-01-01T00:00:00Z\", end: \"2026-02-15T00:00:00Z\" } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_field_limit_counts_points_in_aliases_and_fragments() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/a", "2025-01-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    let all_fields = "series(granularity: HOUR) { start end localStart views complete whole __typename }";
    let whole = app.data(&format!("{{ report({HOURS}) {{ {all_fields} }} }}"), json!({})).await;
    assert_eq!(whole["report"]["series"].as_array().unwrap().len(), 9_840, "one series may be as long as any");
    let aliases: Vec<_> =
        (0..99).map(|index| format!("s{index}: series(granularity: HOUR) {{ start views }}")).collect();
    let aliases = aliases.join(" ");
    let fragment = format!(
        "fragment F on SeriesPoint {{ start ... {{ views }} }} query {{ report({HOURS}) {{ a: series(granularity: HOUR) {{ ...F }} \
        b: series(granularity: HOUR) {{ ...F }} c: series(granularity: HOUR) {{ ...F }} d: series(granularity: HOUR) {{ ...F }} }} }}"
    );
    let long_name = "x".repeat(30_000);
    for (query, words) in [
        (format!("{{ report({HOURS}) {{ {aliases} }} }}"), "100000 fields"),
        (
            format!("{{ report(filter: {{ interval: {{ period: LAST_12_MONTHS }} }}) {{ {aliases} }} }}"),
            "100000 fields",
        ),
        (fragment, "100000 fields"),
        // Few fields, each with a long response key.
        (format!("{{ report({HOURS}) {{ series(granularity: DAY) {{ {long_name}: views }} }} }}"), "8388608 bytes"),
    ] {
        let answer = app.execute(&query, json!({})).await;
        let (code, message) = only_error(&answer);
        assert_eq!(code, "ANSWER_TOO_LARGE", "{answer}");
        assert!(message.contains(words) && message.contains("coarser granularity"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_over_its_byte_limit_is_an_error_over_every_transport() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.response_bytes = 65_536).await;
    record_long_names(&app).await;
    let pages = |first: usize| {
        format!(
            "report(filter: {{ interval: {{ period: ALL_TIME }} }}) {{ pages(first: {first}) {{ nodes {{ page }} }} }}"
        )
    };
    app.data(&format!("{{ {} }}", pages(60)), json!({})).await;
    let is_too_large = |answer: &Value| {
        let (code, message) = only_error(answer);
        assert!(code == "ANSWER_TOO_LARGE" && message.contains("65536 bytes"), "{answer}");
    };
    is_too_large(&app.execute(&format!("{{ {} }}", pages(70)), json!({})).await);
    let mut socket = WebSocket::connect(&app.address).await;
    for (id, kind) in [("q", "query"), ("s", "subscription")] {
        socket.subscribe(id, &format!("{kind} {{ {} }}", pages(70))).await;
        let message = socket.next_of(id).await;
        assert_eq!(message["type"], "next", "{message}");
        is_too_large(&message["payload"]);
    }
    let request = app.client.post(format!("http://{}/graphql", app.address)).header("accept", "text/event-stream");
    let request = request.json(&json!({ "query": format!("subscription {{ {} }}", pages(70)) }));
    is_too_large(&serde_json::from_str(&first_event(request).await).unwrap());
    // The error of a mutation that was executed is not retryable: a retry would record again.
    let name = "x".repeat(30_000);
    let record =
        |index| format!("r{index}: recordPageViews(input: {{ increments: [{{ page: \"/a\" }}] }}) {{ ...P }} ");
    let query = format!(
        "mutation {{ {}{}{} }} fragment P on RecordPageViewsPayload {{ {name}: views }}",
        record(1),
        record(2),
        record(3)
    );
    let answer = app.execute(&query, json!({})).await;
    let (code, message) = only_error(&answer);
    assert!(code == "ANSWER_TOO_LARGE" && message.contains("done"), "{answer}");
    assert_eq!(answer["errors"][0]["extensions"]["retryable"], false);
    assert_eq!(
        app.counts().await.into_iter().filter(|((page, ..), _)| page == "/a").map(|(_, views)| views).sum::<i64>(),
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_responses_share_one_memory_budget() {
    let app =
        TestApp::start_with(Rung::Sqlite, |settings| settings.http.response_bytes_in_all = 20 * 1024 * 1024).await;
    record_long_names(&app).await;
    let large = format!("{{ {LARGE} }}");
    let ask = async |query: &str| {
        let request = app.client.post(format!("http://{}/graphql", app.address)).json(&json!({ "query": query }));
        request.send().await.unwrap()
    };
    assert_eq!(ask(&large).await.status(), 200);
    // Over each transport a client that does not read.
    let mut unread = Vec::new();
    for accept in ["application/json", "application/json", "text/event-stream"] {
        let mut connection = connect_from("127.0.0.1", &app.address).await;
        connection.write_all(&post(&large, accept)).await.unwrap();
        unread.push(connection);
    }
    let mut socket = WebSocket::connect(&app.address).await;
    socket.subscribe("1", &large).await;
    let mut refused = None;
    eventually("no room", async || {
        let response = ask(&large).await;
        let is_refused = response.status() != 200;
        if is_refused {
            refused = Some(response);
        }
        is_refused
    })
    .await;
    let refused = refused.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()[header::RETRY_AFTER]), (503, &"1".parse().unwrap()));
    let answer: Value = refused.json().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }), "{answer}");
    assert_eq!(ask("{ report { totals { views } } }").await.status(), 200, "a small response needs no reservation");
    drop((unread, socket));
    eventually("room again", async || ask(&large).await.status() == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_with_more_than_100000_values_is_refused() {
    let app = TestApp::start(Rung::Sqlite).await;
    let list = |items: usize| vec![1; items];
    let ask = async |body: &Value| {
        let request = app.client.post(format!("http://{}/graphql", app.address)).json(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let query = "{ freshness { status } }";
    assert_eq!(ask(&json!({ "query": query, "variables": { "unused": list(90_000) } })).await.0, 200);
    for body in [
        json!({ "query": query, "variables": { "unused": list(4_000_000) } }),
        json!({ "query": query, "extensions": { "unused": list(100_000) } }),
    ] {
        let (status, answer) = ask(&body).await;
        let error = &answer["errors"][0];
        assert_eq!((status, &error["extensions"]["code"]), (413, &json!("PAYLOAD_TOO_LARGE")), "{answer}");
        assert!(error["message"].as_str().unwrap().contains("100000 values"), "{error}");
    }
}

/// While a mutation waits for its commit, its variables count against the memory budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_memory_is_reserved_until_the_operation_ends() {
    const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.body_bytes_in_all = 100_000).await;
    let body = json!({
        "query": RECORD,
        "variables": { "input": { "increments": [{ "page": "/a" }] }, "unused": vec![0; 200] },
    });
    let ask = async || {
        let request = app.client.post(format!("http://{}/graphql", app.address)).json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert!(ask().await.get("errors").is_none());
    let writer = app.database.writers.begin().await.unwrap();
    let waiting = async {
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe_with("1", &body).await;
        socket
    };
    let mut socket = waiting.await;
    let overloaded = json!({ "code": "OVERLOADED", "retryable": true });
    let mut over_http = std::pin::pin!(ask());
    // The operation of the socket takes half of the budget, so that one of the two others may still find room, and
    // wait.
    socket.subscribe_with("2", &body).await;
    let refused = socket.next_of("2").await;
    assert_eq!((&refused["type"], &refused["payload"][0]["extensions"]), (&json!("error"), &overloaded), "{refused}");
    let answer = wait_for("an answer over HTTP", &mut over_http).await;
    assert_eq!(answer["errors"][0]["extensions"], overloaded, "{answer}");
    writer.rollback().await.unwrap();
    assert_eq!(socket.next_of("1").await["payload"], json!({ "data": { "recordPageViews": { "views": 1 } } }));
    eventually("room again", async || ask().await.get("errors").is_none()).await;
}
