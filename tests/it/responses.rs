//! Whole responses, each as one snapshot: what a client sees of an operation, of an error, of a page's headers.

use std::fmt::Write;

use api::access::{AccessSettings, Scope};
use serde_json::{Value, json};

use crate::{
    access::token,
    app::{Rung, TestApp},
    on_all_databases,
    snapshot::{assert_snapshot, json_text, response_text},
    websocket::WebSocket,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) {
    recordPageViews(input: $input) { increments views recordedAt duplicate } }";

/// Views of three pages, of a week and of the week before.
fn increments() -> Value {
    let increment = |page: &str, title: Option<&str>, at: &str, views: i64| json!({ "page": page, "title": title, "at": at, "views": views });
    json!([
        increment("/", Some("Start"), "2026-02-10T10:00:00Z", 1),
        increment("/", None, "2026-02-25T10:00:00Z", 16),
        increment("/", None, "2026-03-02T22:59:59Z", 8),
        increment("/", None, "2026-03-02T23:00:00Z", 4),
        increment("/docs", Some("Documents"), "2026-03-04T12:30:00Z", 7),
        increment("/straße", None, "2026-03-08T22:00:00Z", 1),
    ])
}

on_all_databases! {
    async fn report_response_equals_its_snapshot(app: TestApp) {
        app.data(RECORD, json!({ "input": { "increments": increments() } })).await;
        app.refresh().await;
        let query = "query ($filter: ReportFilter) { report(filter: $filter) {
            interval { start end localStart localEnd exact }
            freshness { asOf status }
            countedSince
            totals(compareTo: PREVIOUS_PERIOD) {
                views pages comparableViews previous previousInterval { start end exact } change
            }
            series(granularity: DAY) { start end localStart views complete whole }
            pages(first: 2) {
                edges { cursor node { page title views share } }
                pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            }
        } }";
        let range = json!({ "start": "2026-03-01T23:00:00Z", "end": "2026-03-08T23:00:00Z" });
        let filter = json!({ "interval": { "range": range }, "timeZone": "Europe/Berlin" });
        let response = app.execute(query, json!({ "filter": filter })).await;
        assert_snapshot("report", &json_text(response, &["asOf", "cursor", "startCursor", "endCursor"]));
    }

    async fn freshness_response_equals_its_snapshot(app: TestApp) {
        let query = "{ freshness {
            refreshId asOf refreshedAt nextRefreshAt stalenessSeconds status rowsChanged durationMs error } }";
        let before = app.execute(query, json!({})).await;
        app.data(RECORD, json!({ "input": { "increments": increments() } })).await;
        app.refresh().await;
        let after = app.execute(query, json!({})).await;
        let redacted = ["refreshId", "asOf", "refreshedAt", "stalenessSeconds", "durationMs"];
        assert_snapshot("freshness", &json_text(json!({ "before": before, "after": after }), &redacted));
    }

    async fn record_response_equals_its_snapshot(app: TestApp) {
        let input = json!({ "increments": increments(), "idempotencyKey": "once" });
        let other = json!({ "increments": [{ "page": "/" }], "idempotencyKey": "once" });
        let responses = json!({
            "first": app.execute(RECORD, json!({ "input": input })).await,
            "retry": app.execute(RECORD, json!({ "input": input })).await,
            "other increments under the key": app.execute(RECORD, json!({ "input": other })).await,
        });
        assert_snapshot("record", &json_text(responses, &["recordedAt"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_operations_equal_their_snapshot() {
    let app = TestApp::start(Rung::Sqlite).await;
    let aliases: String = (0..101).map(|index| format!("a{index}: version ")).collect();
    let mut text = String::new();
    for (title, query) in [
        ("syntax", "{ report"),
        ("unknown field", "{ nothing }"),
        ("unknown argument", "{ report(of: 1) { totals { views } } }"),
        ("no operation", "fragment F on Query { version }"),
        ("several operations", "query A { version } query B { version }"),
        ("subscription by POST", "subscription { freshness { status } }"),
        ("nesting", &format!("{{ a(b: {}1{}) }}", "[".repeat(65), "]".repeat(65))),
        ("aliases", &format!("{{ {aliases} }}")),
        ("page size", "{ report { pages(first: 1001) { nodes { page } } } }"),
        ("cursor", "{ report { pages(after: \"x\") { nodes { page } } } }"),
        ("time zone", "{ report(filter: { timeZone: \"Mars/Olympus\" }) { totals { views } } }"),
        ("two of one", "{ report(filter: { pages: { prefix: \"/\", names: [] } }) { totals { views } } }"),
        (
            "two errors",
            "{ a: report { pages(first: -1) { nodes { page } } } b: report { pages(after: \"\") { nodes { page } } } }",
        ),
        ("no views", "mutation { recordPageViews(input: { increments: [{ page: \"/\", views: 0 }] }) { views } }"),
        ("no increments", "mutation { recordPageViews(input: { increments: [] }) { views } }"),
    ] {
        let response = app.execute(query, Value::Null).await;
        writeln!(text, "# {title}\n{}\n", json_text(response, &[])).unwrap();
    }
    assert_snapshot("operation_errors", &text);
}

/// Fields are resolved concurrently, so their errors come in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_the_order_of_their_fields() {
    let app = TestApp::start(Rung::Table).await;
    app.refresh().await;
    let fields: String =
        (0..6).map(|n| format!("totals{n}: totals {{ views }} pages{n}: pages {{ totalCount }} ")).collect();
    let query = format!("{{ report(filter: {{ pages: {{ group: \"none\" }} }}) {{ {fields} }} }}");
    let first = app.execute(&query, json!({})).await;
    let errors = first["errors"].as_array().unwrap();
    let columns: Vec<_> = errors.iter().map(|error| error["locations"][0]["column"].as_u64().unwrap()).collect();
    assert!(columns.len() == 12 && columns.is_sorted(), "{columns:?}");
    for _ in 0..20 {
        assert_eq!(app.execute(&query, json!({})).await, first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_requests_equal_their_snapshot() {
    let app = TestApp::start(Rung::Sqlite).await;
    let url = format!("http://{}/graphql", app.address);
    let query = json!({ "query": "{ __typename }" }).to_string();
    let persisted = json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "00" } } }).to_string();
    let post = |content_type: &str, body: &str| {
        app.client.post(&url).header("content-type", content_type).body(body.to_owned())
    };
    let mut text = String::new();
    for (title, request) in [
        ("plain text", post("text/plain", &query)),
        ("compressed", post("application/json", &query).header("content-encoding", "gzip")),
        ("no JSON", post("application/json", "{")),
        ("no query", post("application/json", "{}")),
        ("batch", post("application/json", &format!("[{query}]"))),
        ("variables that are a list", post("application/json", r#"{"query":"{ __typename }","variables":[]}"#)),
        ("persisted query", post("application/json", &persisted)),
        ("unacceptable form", post("application/json", &query).header("accept", "image/png")),
        ("GET without a query", app.client.get(&url)),
        ("mutation by GET", app.client.get(&url).query(&[("query", "mutation { __typename }")])),
        ("another method", app.client.put(&url).body(query.clone())),
        ("another path", app.client.get(format!("http://{}/nothing", app.address))),
    ] {
        let response = response_text(request.send().await.unwrap()).await;
        writeln!(text, "# {title}\n{response}").unwrap();
    }
    assert_snapshot("refused_requests", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_clients_equal_their_snapshot() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        let token = ["reports", "increments"].map(|scope| token(scope, scope)).to_vec();
        settings.http.access = AccessSettings { token, rate_limit: 1, ..AccessSettings::default() };
        settings.http.access.rate_burst = std::num::NonZeroU32::new(2).unwrap();
    })
    .await;
    let open = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.access.anonymous = vec![Scope::Reports, Scope::Increments];
    })
    .await;
    let read = json!({ "query": "{ report { totals { views } } }" });
    let post = |app: &TestApp| app.client.post(format!("http://{}/graphql", app.address)).json(&read);
    let mut limited = post(&app).bearer_auth("reports").send().await.unwrap();
    while limited.status() == 200 {
        limited = post(&app).bearer_auth("reports").send().await.unwrap();
    }
    let mut text = String::new();
    for (title, response) in [
        ("no token", post(&app).send().await.unwrap()),
        ("unknown token", post(&app).header("x-forwarded-for", "192.0.2.1").bearer_auth("x").send().await.unwrap()),
        ("token without the scope", post(&app).bearer_auth("increments").send().await.unwrap()),
        ("over the rate limit", limited),
        ("unknown host name", post(&open).header("host", "rebind.example").send().await.unwrap()),
    ] {
        writeln!(text, "# {title}\n{}", response_text(response).await).unwrap();
    }
    assert_snapshot("refused_clients", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_every_path_equal_their_snapshot() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.refresh().await;
    let mut text = String::new();
    for path in [
        "/",
        "/dashboard/main.js",
        "/dashboard/settings.json",
        "/graphiql",
        "/graphiql/graphiql.min.js",
        "/schema.graphql",
        "/health/live",
        "/health/ready",
        "/graphql?query=%7B%20freshness%20%7B%20status%20%7D%20%7D",
    ] {
        let response = app.client.get(format!("http://{}{path}", app.address)).send().await.unwrap();
        writeln!(text, "# {path}\n{}", response_text(response).await).unwrap();
    }
    assert_snapshot("headers", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_socket_equal_their_snapshot() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut socket = WebSocket::open(&app.address).await.unwrap();
    let mut text = String::new();
    for message in [
        json!({ "type": "connection_init" }),
        json!({ "type": "ping", "payload": { "a": 1 } }),
        json!({ "type": "subscribe", "id": "query", "payload": { "query": "{ freshness { status } }" } }),
        json!({ "type": "subscribe", "id": "refused", "payload": { "query": "{ nothing }" } }),
        json!({ "type": "subscribe", "id": "field", "payload": {
            "query": "{ report { pages(first: -1) { nodes { page } } } }" } }),
        json!({ "type": "subscribe", "id": "freshness", "payload": {
            "query": "subscription { freshness { refreshId asOf status } }" } }),
    ] {
        socket.send(&message).await;
        writeln!(text, "> {message}").unwrap();
        let replies = if ["query", "field"].iter().any(|id| message["id"] == *id) { 2 } else { 1 };
        for _ in 0..replies {
            writeln!(text, "< {}", socket.next_text().await).unwrap();
        }
    }
    let duplicate = json!({ "type": "subscribe", "id": "freshness", "payload": { "query": "{ version }" } });
    socket.send(&duplicate).await;
    let closed = socket.expect_close().await;
    writeln!(text, "> {duplicate}\nclosed with {} {}", closed.code, closed.reason).unwrap();
    assert_snapshot("socket", &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_equal_their_snapshot() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut text = String::new();
    for query in ["{ freshness { status } }", "{ nothing }", "{ report { pages(first: -1) { nodes { page } } } }"] {
        let request = app.client.get(format!("http://{}/graphql", app.address)).query(&[("query", query)]);
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        writeln!(text, "# {query}\n{}", response_text(response).await).unwrap();
    }
    assert_snapshot("event_streams", &text);
}
