//! `graphql-transport-ws`, frame by frame and with the real client.

use std::time::Duration;

use api::http::{HttpSettings, Timeouts};
use entity::Purpose;
use futures_util::{SinkExt, StreamExt};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use crate::{
    app::{Rung, TestApp, TestDatabase, eventually},
    node::Script,
    on_all_databases,
    process::Server,
};

/// How long a message may take that has to come.
const MESSAGE_MAX: Duration = Duration::from_secs(60);
const FRESHNESS: &str = "subscription { freshness { refreshId status } }";

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Before anything is said.
    async fn open(address: &str) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        Ok(Self(connect_async(request).await?.0))
    }

    pub(crate) async fn acknowledged(address: &str) -> Self {
        let mut socket = Self::open(address).await.unwrap();
        socket.say(&json!({ "type": "connection_init" })).await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(&json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    async fn frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        tokio::time::timeout(MESSAGE_MAX, self.0.next()).await.expect("waited in vain for a frame")
    }

    /// The next message; fails when the socket is closed instead.
    pub(crate) async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.hear_text().await).unwrap()
    }

    /// The same, as it is.
    pub(crate) async fn hear_text(&mut self) -> String {
        loop {
            match self.frame().await.expect("the connection has ended").unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// What the operation says next, whatever others say meanwhile.
    pub(crate) async fn hear_of(&mut self, id: &str) -> Value {
        loop {
            let message = self.hear().await;
            if message["id"] == id {
                return message;
            }
        }
    }

    /// The code and the reason with which it is closed, whatever is said before.
    async fn closed(mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.frame().await.expect("it is closed without a word").unwrap() {
                let frame = frame.unwrap();
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

async fn impatient(change: impl FnOnce(&mut HttpSettings)) -> TestApp {
    TestApp::start_with(Rung::Sqlite, |settings| change(&mut settings.http)).await
}

async fn closed_for(address: &str, messages: &[Message]) -> (u16, String) {
    let mut socket = Socket::acknowledged(address).await;
    for message in messages {
        socket.0.send(message.clone()).await.unwrap();
    }
    socket.closed().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_breach_of_the_protocol_has_its_close_code() {
    let app = TestApp::start(Rung::Sqlite).await;
    let text = |message: Value| Message::text(message.to_string());
    let subscribe = text(json!({ "type": "subscribe", "id": "1", "payload": { "query": FRESHNESS } }));
    let init = text(json!({ "type": "connection_init" }));
    let again = closed_for(&app.address, &[init]).await;
    assert_eq!(again, (4429, "Too many initialisation requests".to_owned()));
    let twice = closed_for(&app.address, &[subscribe.clone(), subscribe.clone()]).await;
    assert_eq!(twice, (4409, "Subscriber for 1 already exists".to_owned()));
    let unreadable = [
        Message::text("{"),
        text(json!({ "type": "start", "id": "1" })),
        text(json!({ "type": "subscribe", "id": "1" })),
        text(json!({ "type": "subscribe", "id": "", "payload": { "query": FRESHNESS } })),
        Message::binary(b"{\"type\":\"ping\"}".to_vec()),
    ];
    for message in unreadable {
        assert_eq!(closed_for(&app.address, std::slice::from_ref(&message)).await.0, 4400, "{message}");
    }
    let long = json!({ "type": "ping", "payload": { "text": "x".repeat(64 * 1024) } });
    let (code, reason) = closed_for(&app.address, &[text(long)]).await;
    assert_eq!((code, reason.as_str()), (1009, "messages must be at most 65536 bytes"));

    let mut socket = Socket::open(&app.address).await.unwrap();
    socket.0.send(subscribe).await.unwrap();
    assert_eq!(socket.closed().await, (4401, "Unauthorized".to_owned()));
    for subprotocol in [None, Some("graphql-ws"), Some("chat")] {
        let mut socket = upgrade(&app.address, subprotocol).await;
        let mut frame = async || tokio::time::timeout(MESSAGE_MAX, socket.next()).await.unwrap().unwrap().unwrap();
        if subprotocol == Some("graphql-ws") {
            // In the words of that protocol: its clients show them, and not what closes the connection.
            let Message::Text(text) = frame().await else { panic!("no message comes before it is closed") };
            let error: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(error["type"], "connection_error");
            assert!(error["payload"]["message"].as_str().unwrap().contains("use graphql-transport-ws"), "{error}");
        }
        let closed = frame().await;
        let Message::Close(Some(frame)) = closed else { panic!("{subprotocol:?}: {closed:?}") };
        assert_eq!(u16::from(frame.code), 4406, "{subprotocol:?} {frame}");
        assert!(frame.reason.contains("graphql-transport-ws"), "{frame}");
    }
}

/// Upgrades by hand: the library's client leaves by itself when the server chooses no subprotocol.
async fn upgrade(address: &str, subprotocol: Option<&str>) -> WebSocketStream<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let offered = subprotocol.map(|name| format!("sec-websocket-protocol: {name}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offered}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    WebSocketStream::from_raw_socket(stream, tungstenite::protocol::Role::Client, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_introduce_itself_has_to_go() {
    let init = Duration::from_millis(50);
    let app = impatient(|http| http.timeouts = Timeouts { init, ..Timeouts::default() }).await;
    let mut introduced = Socket::acknowledged(&app.address).await;
    let mut socket = Socket::open(&app.address).await.unwrap();
    // To talk of something else does not help.
    socket.say(&json!({ "type": "ping" })).await;
    assert_eq!(socket.closed().await, (4408, "Connection initialisation timeout".to_owned()));
    // Who was there before and has said it stays.
    introduced.say(&json!({ "type": "ping", "payload": { "a": 1 } })).await;
    assert_eq!(introduced.hear().await, json!({ "type": "pong", "payload": { "a": 1 } }));
}

/// One client answers pings, the other only keeps its connection open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_nothing_is_dropped() {
    let ping = Duration::from_secs(1);
    let app = impatient(|http| {
        http.subscriber_connections = 2;
        http.timeouts = Timeouts { ping, ..Timeouts::default() };
    })
    .await;
    let _dead = Socket::acknowledged(&app.address).await;
    let mut alive = Socket::acknowledged(&app.address).await;
    let mut tasks = tokio::task::JoinSet::new();
    // Reading answers pings.
    tasks.spawn(async move {
        let mut pings = 0;
        while let Some(frame) = alive.frame().await {
            match frame.unwrap() {
                Message::Ping(_) => pings += 1,
                Message::Text(text) if text.contains("next") => break,
                _ => {}
            }
            if pings == 3 {
                alive.subscribe("1", "{ freshness { status } }").await;
            }
        }
        // Not dropped: the place that becomes free is the other one's.
        (pings, alive)
    });
    eventually("the silent peer's place to be free", async || Socket::open(&app.address).await.is_ok()).await;
    let (pings, _alive) = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(pings, 3, "who answers stays, ping after ping");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_for_so_many_sockets_and_streams() {
    let app = impatient(|http| http.subscriber_connections = 2).await;
    let first = Socket::acknowledged(&app.address).await;
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
    match Socket::open(&app.address).await.err().unwrap() {
        tungstenite::Error::Http(response) => assert_eq!(response.status(), 503),
        other => panic!("{other}"),
    }
    // Whoever leaves makes room, a socket and a stream alike.
    drop(first);
    eventually("the socket's place to be free", async || stream().await.status() == 200).await;
    drop(second);
    eventually("the stream's place to be free", async || Socket::open(&app.address).await.is_ok()).await;
}

/// Python's gql, for one, looks for the subprotocol under the name that it has sent, as if case mattered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_answered_with_headers_spelled_as_the_client_spells_them() {
    let app = TestApp::start(Rung::Sqlite).await;
    for name in ["Sec-WebSocket-Protocol", "SEC-websocket-PROTOCOL"] {
        let mut stream = TcpStream::connect(&app.address).await.unwrap();
        let head = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{name}: graphql-ws, graphql-transport-ws\r\n\r\n",
            app.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(&format!("\r\n{name}: graphql-transport-ws\r\n")), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_start_is_an_error_and_frees_its_id() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = Socket::acknowledged(&app.address).await;
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { freshness { status } } query B { freshness { status } }", "GRAPHQL_VALIDATION_FAILED"),
        (&format!("{{ a(b: {}", "[".repeat(60_000)), "GRAPHQL_VALIDATION_FAILED"),
    ] {
        socket.subscribe("1", query).await;
        let message = socket.hear_of("1").await;
        assert_eq!(message["type"], "error", "{message}");
        assert_eq!(message["payload"][0]["extensions"], json!({ "code": code, "retryable": false }), "{message}");
    }
    // A field's error is part of a result.
    socket.subscribe("1", "{ report { pages(first: -1) { edges { cursor } } } }").await;
    let message = socket.hear_of("1").await;
    assert_eq!(
        (&message["type"], &message["payload"]["errors"][0]["extensions"]["code"]),
        (&json!("next"), &json!("BAD_USER_INPUT"))
    );
    assert_eq!(socket.hear_of("1").await, json!({ "id": "1", "type": "complete" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_has_so_many_operations_at_once() {
    let app = impatient(|settings| settings.socket_operations = 5).await;
    let mut socket = Socket::acknowledged(&app.address).await;
    for id in 0..=5 {
        socket.subscribe(&id.to_string(), FRESHNESS).await;
    }
    let refused = socket.hear_of("5").await;
    assert_eq!(refused["type"], "error", "{refused}");
    assert_eq!(refused["payload"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }), "{refused}");
    // The others go on, and one that is completed makes room.
    socket.say(&json!({ "type": "complete", "id": "0" })).await;
    eventually("room for one more", async || {
        socket.subscribe("5", FRESHNESS).await;
        socket.hear_of("5").await["type"] == "next"
    })
    .await;
    let refresh = app.refresh().await.id.to_string();
    eventually("all to be told", async || {
        socket.hear_of("4").await["payload"]["data"]["freshness"]["refreshId"] == refresh
    })
    .await;
}

/// A completed operation says nothing more, not even under its id's next use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_can_be_used_again_at_once() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = Socket::acknowledged(&app.address).await;
    for _ in 0..20 {
        socket.subscribe("1", FRESHNESS).await;
        socket.say(&json!({ "type": "complete", "id": "1" })).await;
        socket.subscribe("1", "{ report { totals { views } } }").await;
        loop {
            let message = socket.hear_of("1").await;
            if message["payload"]["data"].get("report").is_some() {
                break;
            }
        }
        assert_eq!(socket.hear_of("1").await, json!({ "id": "1", "type": "complete" }));
    }
}

on_all_databases! {
    async fn mutations_and_large_answers_go_over_a_socket_too(app: TestApp) {
        let name = |index: usize| format!("/{index}/{}", "x".repeat(1_000));
        let names: Vec<_> = (0..1_000).map(name).collect();
        app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", 1))).await;
        app.refresh().await;
        let mut socket = Socket::acknowledged(&app.address).await;
        socket.subscribe("m", "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }").await;
        let message = socket.hear_of("m").await;
        assert_eq!(message["payload"]["data"], json!({ "recordPageViews": { "views": 1 } }));
        assert_eq!(socket.hear_of("m").await["type"], "complete");
        let query = "{ report(filter: { interval: { period: ALL_TIME } }) { pages(first: 1000) { edges { cursor node { page } } nodes { page } } } }";
        socket.subscribe("q", query).await;
        let message = socket.hear_of("q").await;
        assert_eq!(message["payload"]["data"]["report"]["pages"]["nodes"].as_array().unwrap().len(), 1_000);
        assert!(message.to_string().len() > 3_000_000, "more than any buffer holds");
        assert_eq!(socket.hear_of("q").await["type"], "complete");
    }

    // Nobody reads the answers; whoever else asks gets theirs, from the same few connections.
    async fn sockets_that_do_not_read_hold_no_connection(app: TestApp) {
        let names: Vec<_> = (0..300).map(|index| format!("/{index}/{}", "x".repeat(1_000))).collect();
        app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", 1))).await;
        app.refresh().await;
        let query = "{ report(filter: { interval: { period: ALL_TIME } }) { pages(first: 300) { edges { cursor node { page } } } } }";
        let mut silent = Vec::new();
        for _ in 0..5 {
            let mut socket = Socket::acknowledged(&app.address).await;
            for id in 0..90 {
                socket.subscribe(&id.to_string(), query).await;
            }
            silent.push(socket);
        }
        for _ in 0..10 {
            assert!(app.errors("{ report { totals { views } } }", json!({})).await.is_empty());
        }
        // Whoever reads after all gets every answer.
        let mut late = silent.pop().unwrap();
        let mut complete = std::collections::BTreeSet::new();
        while complete.len() < 90 {
            let message = late.hear().await;
            if message["type"] == "complete" {
                complete.insert(message["id"].to_string());
            }
        }
    }

    // Subscriptions are cut off without a word; what was asked for is answered first.
    async fn stopping_answers_first_and_says_goodbye_then(app: TestApp) {
        let mut socket = Socket::acknowledged(&app.address).await;
        socket.subscribe("s", FRESHNESS).await;
        assert_eq!(socket.hear_of("s").await["type"], "next");
        // Nothing can be recorded until the lock is given back.
        let lock = app.database.wolf.begin(Purpose::Change).await.unwrap();
        if app.test_database.rung != Rung::Sqlite {
            lock.execute_unprepared("LOCK TABLE page_views IN EXCLUSIVE MODE").await.unwrap();
        }
        let record = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
        socket.subscribe("waiting", record).await;
        // This one's client does not want to know any more, and uses the id for something else.
        socket.subscribe("left", record).await;
        socket.say(&json!({ "type": "complete", "id": "left" })).await;
        socket.subscribe("left", "{ __typename }").await;
        assert_eq!(socket.hear_of("left").await["payload"], json!({ "data": { "__typename": "Query" } }));
        assert_eq!(socket.hear_of("left").await["type"], "complete");
        app.stop.cancel();
        lock.rollback().await.unwrap();
        let mut messages = Vec::new();
        let closed = loop {
            match socket.frame().await.unwrap().unwrap() {
                Message::Text(text) => messages.push(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => break frame.unwrap(),
                _ => {}
            }
        };
        assert_eq!(u16::from(closed.code), 1012, "clients come back after a restart");
        let of = |id: &str, kind: &str| messages.iter().any(|message: &Value| message["id"] == id && message["type"] == kind);
        assert!(of("waiting", "next") && of("waiting", "complete"), "what was begun is answered: {messages:?}");
        assert!(!of("left", "next"), "the answer is not that of the id's next use: {messages:?}");
        assert!(!of("s", "complete"), "who is told that a subscription is complete does not come back for it");
        drop(socket);
        app.stopped().await;
    }
}

/// What is always ready to say more does not keep another operation of the socket from being heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_a_socket_take_turns() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = Socket::acknowledged(&app.address).await;
    // As greedy as a client can be: as soon as an operation ends it is begun again, fifty at once.
    for id in 0..50 {
        socket.subscribe(&id.to_string(), "{ freshness { status } }").await;
    }
    socket.subscribe("modest", FRESHNESS).await;
    let mut refresh = app.refresh().await.id.to_string();
    let mut told = 0;
    while told < 5 {
        let message = socket.hear().await;
        if message["id"] == "modest" {
            if message["payload"]["data"]["freshness"]["refreshId"] == refresh {
                told += 1;
                refresh = app.refresh().await.id.to_string();
            }
        } else if message["type"] == "complete" {
            socket.subscribe(message["id"].as_str().unwrap(), "{ freshness { status } }").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_client_is_told_how_an_operation_ended() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &[]);
    let run = async |query: &str| {
        Script::start("operations.mjs", &[&server.url(""), "--query", query]).end("operations.mjs").await
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
