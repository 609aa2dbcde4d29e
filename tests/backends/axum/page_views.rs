//! `src/page_views.rs`: records the page views of an axum server.

use std::{env, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle, time};

const MUTATION: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
const BATCH_MAX: usize = 1_000;
const QUEUE_MAX: usize = 100_000;
const SECOND: Duration = Duration::from_secs(1);

/// Starts the task that delivers page views. It ends when the layer is dropped and nothing waits any more.
pub fn start() -> (mpsc::Sender<Value>, JoinHandle<()>) {
    let (views, waiting) = mpsc::channel(QUEUE_MAX);
    (views, tokio::spawn(deliver(waiting)))
}

/// Records the response if it is a page.
pub async fn record(State(views): State<mpsc::Sender<Value>>, request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let accepts_html = is_html(request.headers(), header::ACCEPT);
    let page = request.uri().path().to_owned();
    let response = next.run(request).await;
    let is_page = match response.status() {
        StatusCode::NOT_MODIFIED => accepts_html, // it has no content type
        status => status.is_success() && is_html(response.headers(), header::CONTENT_TYPE),
    };
    if is_get && is_page && page.len() <= 1024 && page.bytes().all(|byte| byte.is_ascii_graphic()) {
        let view = json!({ "page": page, "at": chrono::Utc::now().to_rfc3339() });
        if views.try_send(view).is_err() {
            eprintln!("page views: too many wait, a view of {page} is lost");
        }
    }
    response
}

fn is_html(headers: &HeaderMap, name: header::HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().windows(9).any(|part| part == b"text/html"))
}

async fn deliver(mut waiting: mpsc::Receiver<Value>) {
    let client = reqwest::Client::new();
    let mut increments = Vec::new();
    while waiting.recv_many(&mut increments, 1).await > 0 {
        let collect = async {
            loop {
                let room = BATCH_MAX - increments.len();
                if waiting.recv_many(&mut increments, room).await == 0 {
                    break; // it is full, or the server has ended
                }
            }
        };
        drop(time::timeout(SECOND, collect).await);
        // A retry has the same key and the same increments: it counts once.
        let key = uuid::Uuid::new_v4().to_string();
        let input = json!({ "idempotencyKey": key, "increments": increments });
        let body = json!({ "query": MUTATION, "variables": { "input": input } });
        while !is_done(&client, &body).await {
            time::sleep(SECOND).await;
        }
        increments.clear();
    }
}

/// Sends a batch. Returns false when it has to be sent again.
async fn is_done(client: &reqwest::Client, body: &Value) -> bool {
    let url = env::var("ANALYTICS_URL").unwrap_or_else(|_| "http://127.0.0.1:8000/graphql".to_owned());
    let mut request = client.post(url).timeout(30 * SECOND).json(body);
    if let Ok(token) = env::var("ANALYTICS_TOKEN") {
        request = request.bearer_auth(token);
    }
    let answer: Result<Value, _> = async { request.send().await?.json().await }.await;
    match answer {
        Ok(answer) if answer["data"]["recordPageViews"].is_object() => true,
        Ok(answer) => {
            eprintln!("page views: {}", answer["errors"]);
            answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        }
        Err(error) => {
            eprintln!("page views: {error}");
            false
        }
    }
}
