//! Limits on what one client can take from others: request rate, connections, time.

use std::{num::NonZeroU32, time::Duration};

use api::access::AccessSettings;
use reqwest::{StatusCode, header};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use storage::Purpose;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    INTROSPECT, READ, RECORD, RECORD_GENERALLY, first_of_operation, initialised, post, start_with_tokens, tokens,
    variables,
};
use crate::{
    app::{Rung, TestApp},
    wait::{eventually, wait_for},
    websocket::{WebSocket, refused_upgrade},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_over_its_rate_limit_gets_429_with_retry_after() {
    let app = start_with_tokens(|access| {
        (access.rate_limit, access.rate_burst) = (1, NonZeroU32::new(4).unwrap());
        access.trust_forwarded_for = 1;
    })
    .await;
    let exhausted = async || loop {
        let response = post(&app, Some("reports"), READ).await;
        if response.status() != 200 {
            return response;
        }
    };
    let response = exhausted().await;
    assert_eq!(
        (response.status(), &response.headers()[header::RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap())
    );
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }));
    assert_eq!(post(&app, Some("increments"), RECORD).await.status(), 200, "another token is another client");

    // Clients without a token are told apart by the address that the proxy saw.
    let url = format!("http://{}/graphql", app.address);
    let mut last = StatusCode::OK;
    for made_up in 0..20 {
        let forwarded = format!("192.0.2.{made_up}, 203.0.113.1");
        last = app.client.get(&url).header("x-forwarded-for", forwarded).send().await.unwrap().status();
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "addresses that a client adds to x-forwarded-for are ignored");
    let other = app.client.get(&url).header("x-forwarded-for", "203.0.113.2").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::BAD_REQUEST, "a request without a query is answered");

    // Operations on a socket count as requests do.
    let (mut socket, _) = initialised(&app, json!({ "authorization": "Bearer increments,reports" })).await;
    let mut refused = Value::Null;
    for _ in 0..20 {
        let message = first_of_operation(&mut socket, INTROSPECT).await;
        match message["type"].as_str() {
            Some("error") => {
                refused = message;
                break;
            }
            Some("next") => {}
            _ => panic!("{message}"),
        }
    }
    assert_eq!(refused["payload"][0]["extensions"], json!({ "code": "OVERLOADED", "retryable": true }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriber_connections_of_one_address_are_limited() {
    let access = tokens();
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.subscriber_connections_each = 2;
        settings.http.access = AccessSettings { trust_forwarded_for: 1, ..access };
    })
    .await;
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let first = WebSocket::open_with(&app.address, &from("203.0.113.1")).await.unwrap();
    let _second = WebSocket::open_with(&app.address, &from("203.0.113.1")).await.unwrap();
    let (status, answer) = refused_upgrade(WebSocket::open_with(&app.address, &from("203.0.113.1")).await);
    assert_eq!(
        (status, &answer["errors"][0]["extensions"]["retryable"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!(true))
    );
    let _other = WebSocket::open_with(&app.address, &from("203.0.113.2")).await.unwrap();
    drop(first);
    eventually("the place of a socket that has gone is free", async || {
        WebSocket::open_with(&app.address, &from("203.0.113.1")).await.is_ok()
    })
    .await;
}

/// Sends one more request on a connection that stays open.
async fn ask_again(connection: &mut TcpStream) {
    connection.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 1_024];
    let size = connection.read(&mut answer).await.unwrap();
    assert!(answer[..size].starts_with(b"HTTP/1.1 200 OK"));
}

/// A connection that waits for its response is not closed, nor is a socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_without_a_request_head_is_closed_after_the_silence_timeout() {
    let silence = Duration::from_secs(2);
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.timeouts.silence = silence).await;
    let (mut watching, _) = initialised(&app, json!({})).await;
    assert_eq!(first_of_operation(&mut watching, INTROSPECT).await["type"], "next");
    // The only writing connection is in use, so that the response takes longer.
    let writer = app.database.writers.begin().await.unwrap();
    let url = format!("http://{}/graphql", app.address);
    let slow = app.client.post(&url).json(&json!({ "query": RECORD, "variables": { "input": variables()["input"] } }));
    let mut slow_answers = JoinSet::new();
    slow_answers.spawn(slow.send());
    let is_closed = async |begun: &str| {
        let mut connection = TcpStream::connect(&app.address).await.unwrap();
        if begun == "answered" {
            ask_again(&mut connection).await;
        } else {
            connection.write_all(begun.as_bytes()).await.unwrap();
        }
        let mut rest = Vec::new();
        let closed = wait_for("the silent connection to be closed", connection.read_to_end(&mut rest)).await;
        assert!(closed.is_err() || rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{begun}: {rest:?}");
    };
    let begun = [
        "",
        "GET /health/live HTTP/1.1
host: x
",
        "answered",
    ];
    futures_util::future::join_all(begun.map(is_closed)).await;
    assert!(slow_answers.try_join_next().is_none(), "it waits for its answer");
    writer.rollback().await.unwrap();
    assert_eq!(slow_answers.join_next().await.unwrap().unwrap().unwrap().status(), 200);
    assert_eq!(first_of_operation(&mut watching, INTROSPECT).await["type"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_over_the_limit_waits_until_another_one_closes() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.connections = 1).await;
    let mut first = TcpStream::connect(&app.address).await.unwrap();
    ask_again(&mut first).await;
    let mut second = TcpStream::connect(&app.address).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { ask_again(&mut second).await });
    for _ in 0..20 {
        ask_again(&mut first).await;
        assert!(waiting.try_join_next().is_none(), "the only connection is in use");
    }
    drop(first);
    waiting.join_next().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_over_its_timeout_is_answered_unavailable() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.request_timeout_ms = 100).await;
    let lock = app.database.background.begin(Purpose::Change).await.unwrap();
    lock.execute_unprepared("UPDATE pages SET title = 'x'").await.unwrap();
    for query in [RECORD, RECORD_GENERALLY] {
        let answer: Value = post(&app, None, query).await.json().await.unwrap();
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"], json!({ "code": "UNAVAILABLE", "retryable": true }), "{answer}");
        assert!(error["message"].as_str().unwrap().contains("100 ms"), "{error}");
    }
    lock.rollback().await.unwrap();
}
