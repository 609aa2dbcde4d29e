//! A server that reads the mutation's bodies and answers a constant: the most that any service over HTTP can reach.

use axum::{Json, Router, http::header, response::IntoResponse, routing::post};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::terminal;

/// What a recorded mutation is answered with.
const ANSWER: &str =
    r#"{"data":{"recordPageViews":{"recordedAt":"2026-11-26T12:00:00.123456+00:00","duplicate":false}}}"#;

/// The body of a request.
#[derive(Deserialize)]
#[expect(dead_code, reason = "read and dropped")]
struct Body {
    query: String,
    variables: Variables,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read and dropped")]
struct Variables {
    input: Input,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "read and dropped")]
struct Input {
    increments: Vec<Increment>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read and dropped")]
struct Increment {
    page: String,
    views: i64,
    at: Option<DateTime<Utc>>,
    title: Option<String>,
}

/// Serves on a free port, which it prints, until it is asked to terminate.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    terminal::print(&format!("a constant on http://{}/", socket.local_addr()?));
    let routes = Router::new().route("/graphql", post(answer));
    let served = axum::serve(socket, routes);
    tokio::select! {
        served = async { served.await } => served?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn answer(Json(body): Json<Body>) -> impl IntoResponse {
    drop(body);
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], ANSWER)
}
