//! Selections: responses follow their order, however they are written, over HTTP, as server-sent events and over a
//! socket.

use serde_json::{Value, json};

use crate::{
    app::{Rung, TestApp},
    event_streams::first_event,
    websocket::WebSocket,
};

/// How often each query is executed: the library's own order of fields differs from response to response.
const TRIES: usize = 20;

/// An operation, and the response keys of its answer in the order of the selection.
const ORDERED: [(&str, &str); 4] = [
    ("query { report { totals { views pages } } }", "report totals views pages"),
    (
        "query ($no: Boolean = false) { report { pages(first: 1) { nodes { views ...Page title } } ...Totals now: freshness { asOf } } \
         freshness { status @skip(if: $no) refreshId asOf @include(if: $no) took: durationMs } } \
         fragment Page on PageViews { share page } fragment Totals on Report { totals { pages ... { views } } }",
        "report pages nodes views share page title totals pages views now asOf freshness status refreshId took",
    ),
    (
        "query { __schema { queryType { name kind } types { kind name description } } __typename }",
        "__schema queryType name kind types kind name description __typename",
    ),
    (
        "mutation { a: recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views recordedAt increments duplicate } \
         b: recordPageViews(input: { increments: [{ page: \"/a\" }] }) { duplicate views recordedAt } }",
        "a views recordedAt increments duplicate b duplicate views recordedAt",
    ),
];

/// Subscriptions with one root field, in every way to write it.
const ONE_ROOT_FIELD: [&str; 7] = [
    "subscription { ...F } fragment F on Subscription { report { totals { views } totals { pages } } }",
    "subscription { ...F } fragment F on Subscription { ...G } fragment G on Subscription { report { totals { views pages } } }",
    "subscription { ... { report { totals { views pages } } } }",
    "subscription { ... on Subscription @include(if: true) { report { totals { views pages } } } }",
    "subscription ($no: Boolean = false) { freshness @include(if: $no) { status } report { totals { views pages } } }",
    "subscription { report { totals { views } } report { totals { pages } } }",
    "subscription { report { totals { views } } ...F } fragment F on Subscription { report { totals { pages } } }",
];

/// Subscriptions with another number of root fields, or with conflicting ones.
const NOT_ONE_ROOT_FIELD: [&str; 9] = [
    "subscription { __typename }",
    "subscription { ... { __schema { description } } }",
    "subscription { freshness { status } report { totals { views } } }",
    "subscription { ...F report { totals { views } } } fragment F on Subscription { freshness { status } }",
    "subscription { a: freshness { status } b: freshness { status } }",
    "subscription { freshness @skip(if: true) { status } }",
    "subscription { freshness { status } ... @include(if: true) { __typename } }",
    "subscription { ... { freshness { nothing } } }",
    "subscription { report { totals { views } } report(filter: { pages: { names: [\"/a\"] } }) { totals { pages } } }",
];

fn has_in_order(answer: &str, keys: &str) -> bool {
    let mut rest = answer;
    keys.split(' ').all(|key| match rest.split_once(&format!("\"{key}\":")) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

async fn with_views() -> TestApp {
    let app = TestApp::start(Rung::Sqlite).await;
    let now = storage::clock::process_now().to_rfc3339();
    app.record([("/a", now.as_str(), 3), ("/b", now.as_str(), 2)]).await;
    app.refresh().await;
    app
}

impl TestApp {
    async fn post_text(&self, accept: &str, body: &Value) -> String {
        let request = self.client.post(format!("http://{}/graphql", self.address)).header("accept", accept);
        request.json(body).send().await.unwrap().text().await.unwrap()
    }

    /// The data of the first event.
    async fn first_event(&self, query: &str) -> String {
        let request =
            self.client.post(format!("http://{}/graphql", self.address)).header("accept", "text/event-stream");
        first_event(request.json(&json!({ "query": query }))).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_follow_the_order_of_the_selection() {
    let app = with_views().await;
    let mut socket = WebSocket::connect(&app.address).await;
    for _ in 0..TRIES {
        for (query, keys) in ORDERED {
            let body = json!({ "query": query });
            for accept in ["application/json", "text/event-stream"] {
                let answer = app.post_text(accept, &body).await;
                assert!(has_in_order(&answer, keys), "{query}\n{answer}");
            }
            socket.subscribe("1", query).await;
            let answer = socket.next_text().await;
            assert!(has_in_order(&answer, keys), "{query}\n{answer}");
            assert_eq!(socket.next().await["type"], "complete");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_follow_the_order_of_the_selection() {
    let app = with_views().await;
    let query = "subscription { report { totals { views pages } interval { end start } } }";
    let keys = "report totals views pages interval end start";
    let mut socket = WebSocket::connect(&app.address).await;
    socket.subscribe("1", query).await;
    for _ in 0..TRIES {
        let event = socket.next_text().await;
        assert!(has_in_order(&event, keys), "{event}");
        let event = app.first_event(query).await;
        assert!(has_in_order(&event, keys), "{event}");
        app.refresh().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_field_of_a_subscription_is_found_in_fragments() {
    let app = with_views().await;
    let mut socket = WebSocket::connect(&app.address).await;
    let expected = json!({ "data": { "report": { "totals": { "views": 5, "pages": 2 } } } });
    for (id, query) in ONE_ROOT_FIELD.iter().enumerate() {
        socket.subscribe(&id.to_string(), query).await;
        let event = socket.next().await;
        assert_eq!((&event["type"], &event["payload"]), (&json!("next"), &expected), "{query}\n{event}");
        let event: Value = serde_json::from_str(&app.first_event(query).await).unwrap();
        assert_eq!(event, expected, "{query}");
    }
    // Each gets an event after a refresh, too.
    app.refresh().await;
    for _ in ONE_ROOT_FIELD {
        assert_eq!(socket.next().await["payload"], expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_without_exactly_one_root_field_is_refused() {
    let app = with_views().await;
    let mut socket = WebSocket::connect(&app.address).await;
    for query in NOT_ONE_ROOT_FIELD {
        socket.subscribe("1", query).await;
        let refused = socket.next().await;
        assert_eq!(refused["type"], "error", "{query}\n{refused}");
        let code = json!("GRAPHQL_VALIDATION_FAILED");
        assert_eq!(refused["payload"][0]["extensions"]["code"], code, "{query}\n{refused}");
        let event: Value = serde_json::from_str(&app.first_event(query).await).unwrap();
        assert_eq!(event["errors"][0]["extensions"]["code"], code, "{query}\n{event}");
        assert_eq!(event.get("data"), None, "nothing was executed");
    }
    socket.subscribe("1", NOT_ONE_ROOT_FIELD[2]).await;
    let refused = socket.next().await;
    let message =
        "a subscription must select exactly one root field of the service, this one selects freshness, report";
    assert_eq!(refused["payload"][0]["message"], message);
}

/// In `@skip` and `@include` too, where the library ignores defaults.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_values_of_variables_apply_in_directives() {
    let app = with_views().await;
    let query = "query ($yes: Boolean = true) { freshness { status @include(if: $yes) refreshId @skip(if: $yes) } }";
    for (variables, key) in
        [(json!({}), "status"), (json!({ "yes": true }), "status"), (json!({ "yes": false }), "refreshId")]
    {
        let data = app.data(query, variables).await;
        let keys: Vec<_> = data["freshness"].as_object().unwrap().keys().collect();
        assert_eq!(keys, [key]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn persisted_query_without_text_is_refused_with_the_code_of_apollo() {
    let app = with_views().await;
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": "0".repeat(64) } });
    let refused = json!({
        "message": "PersistedQueryNotSupported",
        "extensions": { "code": "PERSISTED_QUERY_NOT_SUPPORTED", "retryable": false }
    });
    let url = format!("http://{}/graphql", app.address);
    for media in ["application/json", "application/graphql-response+json"] {
        let post = app.client.post(&url).json(&json!({ "extensions": extensions, "variables": {} }));
        let get =
            app.client.get(&url).query(&[("extensions", extensions.to_string()), ("operationName", String::new())]);
        for request in [post, get] {
            let response = request.header("accept", media).send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.json::<Value>().await.unwrap(), json!({ "errors": [refused] }));
        }
    }
    // A request with its query is executed, whatever its extensions.
    let query = "{ freshness { __typename } }";
    let answered = json!({ "data": { "freshness": { "__typename": "Freshness" } } });
    let answer = app.post_text("application/json", &json!({ "query": query, "extensions": extensions })).await;
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), answered);

    let mut socket = WebSocket::connect(&app.address).await;
    socket.subscribe_with("1", &json!({ "extensions": extensions })).await;
    assert_eq!(socket.next().await, json!({ "type": "error", "id": "1", "payload": [refused] }));
    socket.subscribe_with("1", &json!({ "query": query, "extensions": extensions })).await;
    assert_eq!(socket.next().await["payload"], answered, "the socket and the id stay usable");
}

/// Each error says what is supported instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsupported_request_is_refused_with_what_is_supported() {
    let app = with_views().await;
    let url = format!("http://{}/graphql", app.address);
    let query = json!({ "query": "{ freshness { status } }" }).to_string();
    let batch = format!("[{query}, {query}]");
    for (headers, body, status, words) in [
        (
            vec![("content-type", "application/json"), ("content-encoding", "gzip")],
            &query,
            415,
            "content-encoding is not supported",
        ),
        (vec![("content-type", "application/json"), ("content-encoding", "br")], &query, 415, "must not be compressed"),
        (
            vec![("content-type", "multipart/form-data; boundary=x")],
            &query,
            415,
            "files (multipart) and bare queries are not supported",
        ),
        (
            vec![("content-type", "application/x-www-form-urlencoded")],
            &query,
            415,
            "content-type must be application/json",
        ),
        (vec![("content-type", "application/graphql")], &query, 415, "content-type must be application/json"),
        (vec![("content-type", "application/json")], &batch, 400, "batches (lists of requests) are not supported"),
    ] {
        let request =
            headers.iter().fold(app.client.post(&url), |request, (name, value)| request.header(*name, *value));
        let response = request.body(body.clone()).send().await.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        let is_encoded = headers.iter().any(|(name, _)| *name == "content-encoding");
        assert_eq!(response.headers().get("accept-encoding").is_some_and(|value| value == "identity"), is_encoded);
        let answer: Value = response.json().await.unwrap();
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{headers:?}: {message}");
    }
    let request =
        app.client.post(&url).header("content-type", "application/json").header("content-encoding", "Identity");
    let answer: Value = request.body(query).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");
}
