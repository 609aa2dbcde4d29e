//! Server-sent events with `curl` and with the client graphql-sse, until the server stops.

use std::{process::Stdio, time::Duration};

use api::http::Timeouts;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    app::{Rung, Settings, TestApp, TestDatabase},
    client_scripts::Script,
    on_all_databases,
    process::Server,
    wait::{eventually, wait_for},
};

const FRESHNESS: &str = "subscription { freshness { refreshId status } }";
const RECORD: &str = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";

/// A running `curl -N`, whose output is read line by line.
struct Curl {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Curl {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("curl");
        command
            .args(["-N", "--silent", "--show-error", "--header", "accept: text/event-stream"])
            .args(arguments)
            .arg(url);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("curl is not installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn get(address: &str, query: &str) -> Self {
        Self::start(&format!("http://{address}/graphql"), &["-G", "--data-urlencode", &format!("query={query}")])
    }

    fn post(address: &str, query: &str) -> Self {
        let body = json!({ "query": query }).to_string();
        Self::start(&format!("http://{address}/graphql"), &["--json", &body, "--header", "accept: text/event-stream"])
    }

    async fn line(&mut self) -> Option<String> {
        wait_for("a line", self.lines.next_line()).await.unwrap()
    }

    /// The next result; nothing at the end, with or without `complete`.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.line().await?.as_str() {
                "event: next" => {
                    let data = self.line().await.unwrap();
                    assert_eq!(self.line().await.as_deref(), Some(""));
                    return Some(serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap());
                }
                "" | ":" => {}
                other => panic!("{other}"),
            }
        }
    }

    /// Everything until the end.
    async fn rest(mut self) -> (String, bool) {
        let mut text = String::new();
        while let Some(line) = self.line().await {
            text.push_str(&line);
            text.push('\n');
        }
        (text, self.child.wait().await.unwrap().success())
    }
}

/// Returns the data of the first event, in however many pieces it comes.
pub(crate) async fn first_event(request: reqwest::RequestBuilder) -> String {
    let mut response = request.send().await.unwrap();
    let mut received = Vec::new();
    loop {
        received.extend(response.chunk().await.unwrap().expect("the stream ends without an event"));
        let text = String::from_utf8_lossy(&received);
        if let Some((event, _)) = text.split_once("\n\n") {
            return event.strip_prefix("event: next\ndata: ").unwrap_or_else(|| panic!("{event}")).to_owned();
        }
    }
}

fn refresh_id(answer: &Value) -> &Value {
    &answer["data"]["freshness"]["refreshId"]
}

on_all_databases! {
    async fn curl_watches_freshness_by_get_and_by_post(app: TestApp) {
        let mut watching = [Curl::get(&app.address, FRESHNESS), Curl::post(&app.address, FRESHNESS)];
        for curl in &mut watching {
            assert_eq!(refresh_id(&curl.next().await.unwrap()), "0", "the current value first");
        }
        let done = app.refresh().await;
        for curl in &mut watching {
            while refresh_id(&curl.next().await.unwrap()) != &json!(done.id.to_string()) {}
        }
    }

    async fn query_or_mutation_as_event_stream_has_one_event(app: TestApp) {
        let next = |answer: &str| (format!("event: next\ndata: {answer}\n\nevent: complete\ndata:\n\n"), true);
        let query = "{ freshness { __typename } }";
        let expected = next(r#"{"data":{"freshness":{"__typename":"Freshness"}}}"#);
        assert_eq!(Curl::get(&app.address, query).rest().await, expected);
        assert_eq!(Curl::post(&app.address, query).rest().await, expected);
        assert_eq!(Curl::post(&app.address, RECORD).rest().await, next(r#"{"data":{"recordPageViews":{"views":1}}}"#));
        // By GET the mutation is not executed.
        let (refused, _) = Curl::get(&app.address, RECORD).rest().await;
        assert!(refused.starts_with("{\"errors\":"), "{refused}");
        assert_eq!(app.counts().await.len(), 1);
    }

    async fn event_stream_ends_without_complete_when_the_server_stops(app: TestApp) {
        let mut curl = Curl::get(&app.address, FRESHNESS);
        curl.next().await.unwrap();
        app.stop.cancel();
        let (rest, clean) = curl.rest().await;
        assert!(clean, "the response ends as it should");
        assert!(!rest.contains("complete"), "a client does not reconnect after complete: {rest}");
        app.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_error_is_an_event_of_the_stream() {
    let app = TestApp::start(Rung::Sqlite).await;
    for (query, code) in [("{", "GRAPHQL_PARSE_FAILED"), ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED")] {
        let mut curl = Curl::get(&app.address, query);
        let answer = curl.next().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"], json!({ "code": code, "retryable": false }), "{answer}");
        assert_eq!(answer.get("data"), None);
        assert_eq!(curl.rest().await, ("event: complete\ndata:\n\n".to_owned(), true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_event_stream_gets_keep_alive_comments_and_is_not_stored() {
    let keep_alive = Duration::from_millis(20);
    let change = |settings: &mut Settings| settings.http.timeouts = Timeouts { keep_alive, ..Timeouts::default() };
    let app = TestApp::start_with(Rung::Sqlite, change).await;
    let mut curl = Curl::get(&app.address, FRESHNESS);
    curl.next().await.unwrap();
    eventually("a comment", async || curl.line().await.unwrap() == ":").await;
    let request = app.client.get(format!("http://{}/graphql", app.address)).query(&[("query", FRESHNESS)]);
    let response = request.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
}

/// Where a client accepts both forms and prefers JSON, a subscription is streamed and a query is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_subscriptions_are_streamed_to_clients_that_prefer_json() {
    let app = TestApp::start(Rung::Sqlite).await;
    let ask = async |query: &str| {
        let request = app.client.get(format!("http://{}/graphql", app.address)).query(&[("query", query)]);
        let response = request.header("accept", "application/json, text/event-stream").send().await.unwrap();
        response.headers()["content-type"].to_str().unwrap().to_owned()
    };
    assert_eq!(ask("{ freshness { status } }").await, "application/json; charset=utf-8");
    assert_eq!(ask(FRESHNESS).await, "text/event-stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql_sse_client_reads_the_event_stream() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    let url = server.url("");
    let run = async |query: &str, count: &[&str]| {
        let arguments = [&[url.as_str(), "--query", query], count].concat();
        Script::start("events.mjs", &arguments).finish("events.mjs").await
    };
    let answered = run("{ freshness { __typename } }", &[]).await;
    assert_eq!(
        answered,
        [json!({ "data": { "freshness": { "__typename": "Freshness" } } }), json!({ "ended": "complete" })]
    );
    let watched = run(FRESHNESS, &["--count", "3"]).await;
    assert_eq!(watched.len(), 3);
    assert!(watched.iter().all(|answer| answer["data"]["freshness"]["status"].is_string()), "{watched:?}");
    let refused = run("subscription { nothing }", &[]).await;
    assert_eq!(refused[0]["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{refused:?}");
}
