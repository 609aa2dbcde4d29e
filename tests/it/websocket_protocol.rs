//! The protocol `graphql-transport-ws`, frame by frame and with the client graphql-ws.

use std::time::Duration;

use api::http::{HttpSettings, Timeouts};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use storage::Purpose;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    app::{Rung, TestApp, TestDatabase},
    client_scripts::Script,
    on_all_databases,
    process::Server,
    wait::eventually,
    websocket::{Closed, WebSocket, refused_upgrade},
};

const FRESHNESS: &str = "subscription { freshness { refreshId status } }";

async fn start_with(change: impl FnOnce(&mut HttpSettings)) -> TestApp {
    TestApp::start_with(Rung::Sqlite, |settings| change(&mut settings.http)).await
}

async fn closed_for(address: &str, messages: &[Message]) -> Closed {
    let mut socket = WebSocket::connect(address).await;
    for message in messages {
        socket.send_frame(message.clone()).await;
    }
    socket.expect_close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocol_violation_closes_the_socket_with_its_code() {
    let app = TestApp::start(Rung::Sqlite).await;
    let text = |message: Value| Message::text(message.to_string());
    let subscribe = text(json!({ "type": "subscribe", "id": "1", "payload": { "query": FRESHNESS } }));
    let init = text(json!({ "type": "connection_init" }));
    let again = closed_for(&app.address, &[init]).await;
    assert_eq!(again, Closed::new(4429, "Too many initialisation requests"));
    let twice = closed_for(&app.address, &[subscribe.clone(), subscribe.clone()]).await;
    assert_eq!(twice, Closed::new(4409, "Subscriber for 1 already exists"));
    let unreadable = [
        Message::text("{"),
        text(json!({ "type": "start", "id": "1" })),
        text(json!({ "type": "subscribe", "id": "1" })),
        text(json!({ "type": "subscribe", "id": "", "payload": { "query": FRESHNESS } })),
        Message::binary(b"{\"type\":\"ping\"}".to_vec()),
    ];
    for message in unreadable {
        assert_eq!(closed_for(&app.address, std::slice::from_ref(&message)).await.code, 4400, "{message}");
    }
    let long = json!({ "type": "ping", "payload": { "text": "x".repeat(64 * 1024) } });
    let closed = closed_for(&app.address, &[text(long)]).await;
    assert_eq!(closed, Closed::new(1009, "messages must be at most 65536 bytes"));

    let mut socket = WebSocket::open(&app.address).await.unwrap();
    socket.send_frame(subscribe).await;
    assert_eq!(socket.expect_close().await, Closed::new(4401, "Unauthorized"));
    for subprotocol in [None, Some("graphql-ws"), Some("chat")] {
        let stream = TcpStream::connect(&app.address).await.unwrap();
        let offered = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
        let (mut socket, _) = WebSocket::upgrade(stream, &offered).await;
        if subprotocol == Some("graphql-ws") {
            // In a message of that protocol: its clients show it, and not the close reason.
            let error = socket.next().await;
            assert_eq!(error["type"], "connection_error");
            assert!(error["payload"]["message"].as_str().unwrap().contains("use graphql-transport-ws"), "{error}");
        }
        let closed = socket.next_or_close().await.unwrap_err();
        assert_eq!(closed.code, 4406, "{subprotocol:?} {closed:?}");
        assert!(closed.reason.contains("graphql-transport-ws"), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_without_connection_init_is_closed_with_4408() {
    let init = Duration::from_secs(3);
    let app = start_with(|http| http.timeouts = Timeouts { init, ..Timeouts::default() }).await;
    let mut introduced = WebSocket::connect(&app.address).await;
    let mut socket = WebSocket::open(&app.address).await.unwrap();
    // Other messages do not count.
    socket.send(&json!({ "type": "ping" })).await;
    assert_eq!(socket.expect_close().await, Closed::new(4408, "Connection initialisation timeout"));
    // A socket that has sent connection_init stays open.
    introduced.send(&json!({ "type": "ping", "payload": { "a": 1 } })).await;
    assert_eq!(introduced.next().await, json!({ "type": "pong", "payload": { "a": 1 } }));
}

/// One client answers pings, the other one only keeps its connection open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_without_pongs_is_closed() {
    let ping = Duration::from_secs(2);
    let app = start_with(|http| {
        http.subscriber_connections = 2;
        http.timeouts = Timeouts { ping, ..Timeouts::default() };
    })
    .await;
    let _dead = WebSocket::connect(&app.address).await;
    let mut alive = WebSocket::connect(&app.address).await;
    let mut tasks = tokio::task::JoinSet::new();
    // The client's library answers pings while it reads.
    tasks.spawn(async move {
        let mut pings = 0;
        while let Some(frame) = alive.next_frame().await {
            match frame.unwrap() {
                Message::Ping(_) => pings += 1,
                Message::Text(text) if text.contains("next") => break,
                _ => {}
            }
            if pings == 3 {
                alive.subscribe("1", "{ freshness { status } }").await;
            }
        }
        // Kept open, so that the free place is that of the other socket.
        (pings, alive)
    });
    eventually("the socket without pongs to be closed", async || WebSocket::open(&app.address).await.is_ok()).await;
    let (pings, _alive) = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(pings, 3, "a client that answers pings stays connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_and_event_streams_share_one_limit() {
    let app = start_with(|http| http.subscriber_connections = 2).await;
    let first = WebSocket::connect(&app.address).await;
    let url = format!("http://{}/graphql", app.address);
    let stream = async || {
        let request = app.client.get(&url).query(&[("query", FRESHNESS)]).header("accept", "text/event-stream");
        request.send().await.unwrap()
    };
    let second = stream().await;
    assert_eq!(second.status(), 200);
    let refused = stream().await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let answer: Value = refused.json().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }));
    assert_eq!(refused_upgrade(WebSocket::open(&app.address).await).0, 503);
    // A closed socket and a closed stream both make room.
    drop(first);
    eventually("the socket's place to be free", async || stream().await.status() == 200).await;
    drop(second);
    eventually("the stream's place to be free", async || WebSocket::open(&app.address).await.is_ok()).await;
}

/// Python's gql, for one, looks for the header under the name that it has sent, case-sensitively.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrade_response_spells_headers_as_the_request_does() {
    let app = TestApp::start(Rung::Sqlite).await;
    for name in ["Sec-WebSocket-Protocol", "SEC-websocket-PROTOCOL"] {
        let stream = TcpStream::connect(&app.address).await.unwrap();
        let (_, head) = WebSocket::upgrade(stream, &format!("{name}: graphql-ws, graphql-transport-ws\r\n")).await;
        assert!(head.contains(&format!("\r\n{name}: graphql-transport-ws\r\n")), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operation_refused_before_execution_is_an_error_and_frees_its_id() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = WebSocket::connect(&app.address).await;
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { freshness { status } } query B { freshness { status } }", "GRAPHQL_VALIDATION_FAILED"),
        (&format!("{{ a(b: {}", "[".repeat(60_000)), "GRAPHQL_VALIDATION_FAILED"),
    ] {
        socket.subscribe("1", query).await;
        let message = socket.next_of("1").await;
        assert_eq!(message["type"], "error", "{message}");
        assert_eq!(message["payload"][0]["extensions"], json!({ "code": code, "retryable": false }), "{message}");
    }
    // A field's error is part of a result.
    socket.subscribe("1", "{ report { pages(first: -1) { edges { cursor } } } }").await;
    let message = socket.next_of("1").await;
    assert_eq!(
        (&message["type"], &message["payload"]["errors"][0]["extensions"]["code"]),
        (&json!("next"), &json!("BAD_USER_INPUT"))
    );
    assert_eq!(socket.next_of("1").await, json!({ "id": "1", "type": "complete" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operation_over_the_limit_of_a_socket_is_refused() {
    let app = start_with(|settings| settings.socket_operations = 5).await;
    let mut socket = WebSocket::connect(&app.address).await;
    for id in 0..=5 {
        socket.subscribe(&id.to_string(), FRESHNESS).await;
    }
    let refused = socket.next_of("5").await;
    assert_eq!(refused["type"], "error", "{refused}");
    assert_eq!(refused["payload"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }), "{refused}");
    // The others continue, and a completed one makes room.
    socket.complete("0").await;
    eventually("a free operation", async || {
        socket.subscribe("5", FRESHNESS).await;
        socket.next_of("5").await["type"] == "next"
    })
    .await;
    let refresh = app.refresh().await.id.to_string();
    eventually("the event of the refresh", async || {
        socket.next_of("4").await["payload"]["data"]["freshness"]["refreshId"] == refresh
    })
    .await;
}

/// A completed operation sends nothing more, also when its id is used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operation_id_is_free_after_complete() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = WebSocket::connect(&app.address).await;
    for _ in 0..20 {
        socket.subscribe("1", FRESHNESS).await;
        socket.complete("1").await;
        socket.subscribe("1", "{ report { totals { views } } }").await;
        loop {
            let message = socket.next_of("1").await;
            if message["payload"]["data"].get("report").is_some() {
                break;
            }
        }
        assert_eq!(socket.next_of("1").await, json!({ "id": "1", "type": "complete" }));
    }
}

on_all_databases! {
    async fn socket_carries_mutations_and_large_responses(app: TestApp) {
        let name = |index: usize| format!("/{index}/{}", "x".repeat(1_000));
        let names: Vec<_> = (0..1_000).map(name).collect();
        app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", 1))).await;
        app.refresh().await;
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe("m", "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }").await;
        let message = socket.next_of("m").await;
        assert_eq!(message["payload"]["data"], json!({ "recordPageViews": { "views": 1 } }));
        assert_eq!(socket.next_of("m").await["type"], "complete");
        let query = "{ report(filter: { interval: { period: ALL_TIME } }) { pages(first: 1000) { edges { cursor node { page } } nodes { page } } } }";
        socket.subscribe("q", query).await;
        let message = socket.next_of("q").await;
        assert_eq!(message["payload"]["data"]["report"]["pages"]["nodes"].as_array().unwrap().len(), 1_000);
        assert!(message.to_string().len() > 3_000_000, "more than any buffer holds");
        assert_eq!(socket.next_of("q").await["type"], "complete");
    }

    // Other clients are served over the same few database connections.
    async fn socket_that_does_not_read_holds_no_database_connection(app: TestApp) {
        let names: Vec<_> = (0..300).map(|index| format!("/{index}/{}", "x".repeat(1_000))).collect();
        app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", 1))).await;
        app.refresh().await;
        let query = "{ report(filter: { interval: { period: ALL_TIME } }) { pages(first: 300) { edges { cursor node { page } } } } }";
        let mut silent = Vec::new();
        for _ in 0..5 {
            let mut socket = WebSocket::connect(&app.address).await;
            for id in 0..90 {
                socket.subscribe(&id.to_string(), query).await;
            }
            silent.push(socket);
        }
        for _ in 0..10 {
            assert!(app.errors("{ report { totals { views } } }", json!({})).await.is_empty());
        }
        // A client that reads later gets every response.
        let mut late = silent.pop().unwrap();
        let mut complete = std::collections::BTreeSet::new();
        while complete.len() < 90 {
            let message = late.next().await;
            if message["type"] == "complete" {
                complete.insert(message["id"].to_string());
            }
        }
    }

    // Subscriptions end without a message; running queries and mutations are answered first.
    async fn shutdown_answers_running_operations_then_closes_sockets_with_1012(app: TestApp) {
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe("s", FRESHNESS).await;
        assert_eq!(socket.next_of("s").await["type"], "next");
        // Nothing can be recorded until the lock is released.
        let lock = app.database.background.begin(Purpose::Change).await.unwrap();
        if app.test_database.rung != Rung::Sqlite {
            lock.execute_unprepared("LOCK TABLE page_views IN EXCLUSIVE MODE").await.unwrap();
        }
        let record = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
        socket.subscribe("waiting", record).await;
        // A completed mutation, whose id is used for another operation.
        socket.subscribe("left", record).await;
        socket.complete("left").await;
        socket.subscribe("left", "{ __typename }").await;
        // The nodes of a Citus cluster, which write to the shards of the table, record and answer meanwhile.
        let mut messages = Vec::new();
        let mut of_left = Vec::new();
        while of_left.len() < 2 {
            let message = socket.next().await;
            if message["id"] == "left" { of_left.push(message) } else { messages.push(message) }
        }
        assert_eq!(of_left[0]["payload"], json!({ "data": { "__typename": "Query" } }));
        assert_eq!(of_left[1]["type"], "complete");
        app.stop.cancel();
        lock.rollback().await.unwrap();
        let closed = loop {
            match socket.next_or_close().await {
                Ok(message) => messages.push(message),
                Err(closed) => break closed,
            }
        };
        assert_eq!(closed.code, 1012, "clients come back after a restart");
        let of = |id: &str, kind: &str| messages.iter().any(|message: &Value| message["id"] == id && message["type"] == kind);
        assert!(of("waiting", "next") && of("waiting", "complete"), "a running mutation is answered: {messages:?}");
        assert!(!of("left", "next"), "the completed mutation gets no response: {messages:?}");
        assert!(!of("s", "complete"), "a client does not subscribe again after complete");
        drop(socket);
        app.stopped().await;
    }
}

/// Operations that are always ready do not starve another one of the same socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_operations_do_not_starve_a_subscription_of_the_same_socket() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = WebSocket::connect(&app.address).await;
    // Fifty operations at once, each begun again as soon as it ends.
    for id in 0..50 {
        socket.subscribe(&id.to_string(), "{ freshness { status } }").await;
    }
    socket.subscribe("modest", FRESHNESS).await;
    let mut refresh = app.refresh().await.id.to_string();
    let mut received = 0;
    while received < 5 {
        let message = socket.next().await;
        if message["id"] == "modest" {
            if message["payload"]["data"]["freshness"]["refreshId"] == refresh {
                received += 1;
                refresh = app.refresh().await.id.to_string();
            }
        } else if message["type"] == "complete" {
            socket.subscribe(message["id"].as_str().unwrap(), "{ freshness { status } }").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql_ws_client_gets_complete_or_errors() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &[]);
    let run = async |query: &str| {
        Script::start("operations.mjs", &[&server.url(""), "--query", query]).finish("operations.mjs").await
    };
    let answered = run("{ freshness { __typename } }").await;
    assert_eq!(
        answered,
        [json!({ "data": { "freshness": { "__typename": "Freshness" } } }), json!({ "ended": "complete" })]
    );
    let refused = run("subscription { nothing }").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["ended"], "errors", "{refused:?}");
    assert_eq!(refused[0]["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{refused:?}");
}
