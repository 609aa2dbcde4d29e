//! Authentication and authorization over every transport, and what the log must not have: tokens, hashes, addresses.

mod anonymous;
mod hosts;
mod limits;
mod tokens_file;

use api::access::{AccessSettings, Scope, Token, TokenText};
use chrono::TimeDelta;
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    app::{Rung, TestApp, TestDatabase},
    process::{Server, analytics, succeed},
    websocket::{Closed, WebSocket, refused_upgrade},
};

const READ: &str = "{ report { totals { views } } }";
const WATCH: &str = "subscription { freshness { status } }";
/// In the common form, which takes the fast path.
const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
/// In the general form.
const RECORD_GENERALLY: &str =
    "mutation ($page: String!) { recordPageViews(input: {increments: [{page: $page}]}) { views } }";
const INTROSPECT: &str = "query { ...Root } fragment Root on Query { __schema { queryType { name } } __typename }";

/// A token that is its scopes' name, or another secret.
pub(crate) fn token(secret: &str, scopes: &str) -> TokenText {
    TokenText::from(Token::of_secret(secret, scopes.parse().unwrap(), None).to_string())
}

/// Three tokens whose secrets are the names of their scopes.
fn tokens() -> AccessSettings {
    let token = ["reports", "increments", "increments,reports"].map(|scopes| token(scopes, scopes)).to_vec();
    AccessSettings { token, ..AccessSettings::default() }
}

async fn start_with_tokens(change: impl FnOnce(&mut AccessSettings)) -> TestApp {
    let mut access = tokens();
    change(&mut access);
    TestApp::start_with(Rung::Sqlite, |settings| settings.http.access = access).await
}

fn variables() -> Value {
    json!({ "input": { "increments": [{ "page": "/a" }] }, "page": "/a" })
}

async fn post(app: &TestApp, secret: Option<&str>, query: &str) -> Response {
    let variables = if query == RECORD { json!({ "input": variables()["input"] }) } else { variables() };
    let url = format!("http://{}/graphql", app.address);
    let mut request = app.client.post(url).json(&json!({ "query": query, "variables": variables }));
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    request.send().await.unwrap()
}

async fn get(app: &TestApp, secret: Option<&str>, query: &str, accept: &str) -> Response {
    let url = format!("http://{}/graphql", app.address);
    let mut request = app.client.get(url).query(&[("query", query)]).header("accept", accept);
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    request.send().await.unwrap()
}

/// The code of the first error.
async fn code(response: Response) -> String {
    let answer: Value = response.json().await.unwrap();
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned()
}

/// The first message of an operation, which ends with it.
async fn first_of_operation(socket: &mut WebSocket, query: &str) -> Value {
    socket.subscribe_with("1", &json!({ "query": query, "variables": { "page": "/a" } })).await;
    loop {
        let message = socket.next().await;
        match message["type"].as_str() {
            // Of the operation before: it may have ended by itself before it was completed.
            Some("complete") => continue,
            Some("next") => socket.complete("1").await,
            _ => {}
        }
        return message;
    }
}

/// A socket whose `connection_init` has this payload, and the answer.
async fn initialised(app: &TestApp, payload: Value) -> (WebSocket, Result<Value, Closed>) {
    let mut socket = WebSocket::open(&app.address).await.unwrap();
    let answer = socket.init(payload).await;
    (socket, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_needs_a_token_with_the_scope_reports() {
    let app = start_with_tokens(|_access| {}).await;
    for path in ["/export.csv", "/export.jsonl"] {
        for (secret, status, expected) in [
            (Some("reports"), 200, None),
            (Some("increments,reports"), 200, None),
            (Some("increments"), 403, Some("FORBIDDEN")),
            (Some("wrong"), 401, Some("UNAUTHENTICATED")),
            (None, 401, Some("UNAUTHENTICATED")),
        ] {
            let request = app.client.get(format!("http://{}{path}", app.address));
            let request = secret.iter().fold(request, |request, secret| request.bearer_auth(secret));
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{secret:?}");
            if let Some(expected) = expected {
                assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
                assert_eq!(code(response).await, expected);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operation_over_http_needs_a_token_with_its_scope() {
    let app = start_with_tokens(|_access| {}).await;
    let all = [READ, RECORD, RECORD_GENERALLY, INTROSPECT];
    for (secret, allowed) in [
        ("reports", [true, false, false, true]),
        ("increments", [false, true, true, true]),
        ("increments,reports", [true; 4]),
    ] {
        for (query, is_allowed) in all.into_iter().zip(allowed) {
            let response = post(&app, Some(secret), query).await;
            let status = response.status().as_u16();
            let challenge = response.headers().get(header::WWW_AUTHENTICATE).cloned();
            let found = (status, code(response).await);
            if is_allowed {
                assert_eq!(found, (200, "none".to_owned()), "{secret} {query}");
            } else {
                assert_eq!(found, (403, "FORBIDDEN".to_owned()), "{secret} {query}");
                assert_eq!(challenge.unwrap(), "Bearer error=\"insufficient_scope\"");
            }
        }
    }
    for (secret, challenge) in [(None, "Bearer"), (Some("wrong"), "Bearer error=\"invalid_token\"")] {
        for query in all {
            let response = post(&app, secret, query).await;
            assert_eq!(response.status(), 401, "{query}");
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], challenge);
            assert_eq!(code(response).await, "UNAUTHENTICATED");
        }
    }
    // A request without a token is refused before its query is parsed.
    assert_eq!(post(&app, None, "{").await.status(), 401);
    assert_eq!(app.counts().await.values().sum::<i64>(), 4, "two tokens, two forms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_event_streams_and_etags_need_the_same_scope() {
    let app = start_with_tokens(|_access| {}).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    let json = "application/json";
    let tag = get(&app, Some("reports"), READ, json).await.headers()[header::ETAG].clone();
    for (secret, status) in [(None, 401), (Some("wrong"), 401), (Some("increments"), 403), (Some("reports"), 304)] {
        let url = format!("http://{}/graphql", app.address);
        let mut request = app.client.get(url).query(&[("query", READ)]).header("accept", json);
        request = request.header(header::IF_NONE_MATCH, tag.clone());
        if let Some(secret) = secret {
            request = request.bearer_auth(secret);
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{secret:?}");
    }
    for (secret, status) in [(None, 401), (Some("increments"), 403), (Some("reports"), 200)] {
        let response = get(&app, secret, WATCH, "text/event-stream").await;
        assert_eq!(response.status(), status, "{secret:?}");
        let is_stream = response.headers()[header::CONTENT_TYPE] == "text/event-stream";
        assert_eq!(is_stream, status == 200);
    }
    for path in ["/", "/graphiql", "/schema.graphql", "/health/live", "/health/ready"] {
        let url = format!("http://{}{path}", app.address);
        assert_eq!(app.client.get(url).send().await.unwrap().status(), 200, "{path} is open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_takes_its_token_from_connection_init_or_from_the_upgrade() {
    let app = start_with_tokens(|_access| {}).await;
    for (payload, reason) in [
        (Value::Null, "a token is needed"),
        (json!({}), "a token is needed"),
        (json!({ "authorization": "Bearer wrong" }), "the token is not known here"),
        (json!({ "authorization": "reports" }), "must be 'Bearer TOKEN'"),
        (json!({ "authorization": 1 }), "must be 'Bearer TOKEN'"),
    ] {
        let closed = initialised(&app, payload.clone()).await.1.unwrap_err();
        assert_eq!(closed.code, 4403, "{payload} {closed:?}");
        assert!(closed.reason.starts_with("UNAUTHENTICATED: ") && closed.reason.contains(reason), "{closed:?}");
    }
    let bearer = |secret: &str| json!({ "Authorization": format!("Bearer {secret}") });
    let (mut socket, acknowledged) = initialised(&app, bearer("reports")).await;
    assert_eq!(acknowledged, Ok(json!({ "type": "connection_ack" })));
    assert_eq!(first_of_operation(&mut socket, WATCH).await["type"], "next");
    let (mut socket, _) = initialised(&app, bearer("increments")).await;
    for (query, code) in [(WATCH, "FORBIDDEN"), (READ, "FORBIDDEN")] {
        let refused = first_of_operation(&mut socket, query).await;
        assert_eq!((&refused["type"], &refused["payload"][0]["extensions"]["code"]), (&json!("error"), &json!(code)));
    }
    assert_eq!(first_of_operation(&mut socket, RECORD_GENERALLY).await["type"], "next");

    let (status, answer) =
        refused_upgrade(WebSocket::open_with(&app.address, &[("authorization", "Bearer wrong")]).await);
    assert_eq!(
        (status, &answer["errors"][0]["extensions"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED"))
    );
    let mut socket = WebSocket::open_with(&app.address, &[("authorization", "Bearer reports")]).await.unwrap();
    assert_eq!(socket.init(Value::Null).await, Ok(json!({ "type": "connection_ack" })));
    assert_eq!(
        first_of_operation(&mut socket, RECORD_GENERALLY).await["payload"][0]["extensions"]["code"],
        "FORBIDDEN"
    );
    assert_eq!(first_of_operation(&mut socket, READ).await["type"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_scope_needs_no_token_and_takes_no_increments_older_than_24_hours() {
    let app = start_with_tokens(|access| access.anonymous = vec![Scope::Increments]).await;
    assert_eq!(post(&app, None, RECORD).await.status(), 200);
    let refused = post(&app, None, READ).await;
    assert_eq!((refused.status().as_u16(), code(refused).await), (401, "UNAUTHENTICATED".to_owned()));
    assert_eq!(post(&app, Some("wrong"), RECORD).await.status(), 401, "a wrong token is not none");

    let general = RECORD.replace("{ views }", "{ ... on RecordPageViewsPayload { views } }");
    let now = storage::clock::process_now();
    let (recent, old) = (now - TimeDelta::hours(23), now - TimeDelta::hours(25));
    for query in [RECORD, &general] {
        for (secret, at, refused) in [
            (None, recent, None),
            (None, old, Some("input.increments[1].at must not be more than 24 hours ago without a token")),
            (Some("increments"), old, None),
        ] {
            let input = json!({ "increments": [{ "page": "/a" }, { "page": "/a", "at": at.to_rfc3339() }] });
            let body = json!({ "query": query, "variables": { "input": input } });
            let mut request = app.client.post(format!("http://{}/graphql", app.address)).json(&body);
            if let Some(secret) = secret {
                request = request.bearer_auth(secret);
            }
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(answer["errors"][0]["message"].as_str(), refused, "{query} {secret:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_allowed_origins_get_cors_headers_and_sockets() {
    let ours = "https://stats.example.org";
    let app = start_with_tokens(|access| access.allow_origin = vec![ours.parse().unwrap()]).await;
    let url = format!("http://{}/graphql", app.address);
    for (origin, is_allowed) in [(ours, true), ("https://example.org", false), ("null", false)] {
        let preflight = app.client.request(reqwest::Method::OPTIONS, &url).header("origin", origin);
        let preflight = preflight
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let headers = preflight.send().await.unwrap().headers().clone();
        let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
        assert_eq!(allowed, is_allowed.then_some(origin));
        let names = headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(names.contains("authorization") && names.contains("content-type"), "{names}");

        // Why it was refused is for an allowed page to read, too.
        let refused =
            app.client.post(&url).header("origin", origin).json(&json!({ "query": READ })).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), is_allowed);

        let opened = WebSocket::open_with(&app.address, &[("origin", origin)]).await;
        if is_allowed {
            opened.unwrap();
        } else {
            let (status, answer) = refused_upgrade(opened);
            assert_eq!(
                (status, &answer["errors"][0]["extensions"]["code"]),
                (StatusCode::FORBIDDEN, &json!("FORBIDDEN"))
            );
        }
    }
}

#[test]
fn server_without_tokens_listens_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (&["--listen", "0.0.0.0:0"][..], "--anonymous increments,reports"),
        (&["--listen", "[::]:0"], "--tokens-file"),
        (&["--token", "reports mysecret"], "--token, number 1"),
        (&["--tokens-file", "nowhere"], "nowhere"),
        (&["--anonymous", "everything"], "increments"),
        (&["--allow-origin", "*"], "an origin is"),
        (&["--host", "http://stats.example.org"], "a host is a name"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytics"));
        let output = command.args(arguments).current_dir(&folder).env_remove("DATABASE_URL").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("mysecret"), "{stderr}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing was begun");
}

/// The secret that `analytics token` prints, and the line for the server.
fn new_token(database: &TestDatabase, scopes: &str) -> (String, String) {
    let printed = succeed(database, &["token", "--scopes", scopes, "--client", "shop"]);
    let values: Vec<_> = printed.lines().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect();
    let [secret, line] = <[String; 2]>::try_from(values).unwrap();
    assert!(line.ends_with(" shop"), "{line}");
    (secret, line)
}

/// A process with tokens from a file and from the environment, at the log level `trace`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_has_no_token_no_hash_and_no_client_address() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let (reports, reports_line) = new_token(&database, "reports");
    let (old, old_line) = new_token(&database, "increments");
    let (new, new_line) = new_token(&database, "increments,reports");
    assert!(reports != old && old != new);
    let (file, log) = (database.folder.path().join("tokens"), database.folder.path().join("log"));
    std::fs::write(&file, format!("# for the dashboard\n{reports_line}\n")).unwrap();

    let mut command = analytics(
        &database,
        &["serve", "--listen", "0.0.0.0:0", "--log", "trace,tungstenite=trace,tungstenite::protocol=trace"],
    );
    command.args([
        "--tokens-file",
        file.to_str().unwrap(),
        "--trust-forwarded-for",
        "1",
        "--refresh-cron",
        "* * * * * *",
    ]);
    command.env("ANALYTICS_TOKEN", format!("{old_line};{new_line}")).stderr(std::fs::File::create(&log).unwrap());
    let server = Server::of(command);
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    let address = format!("127.0.0.1:{port}");

    let client = reqwest::Client::builder().local_address(Some("127.0.0.77".parse().unwrap())).build().unwrap();
    let forwarded = ("x-forwarded-for", "203.0.113.77");
    for (secret, query, status) in [
        (&reports, READ, 200),
        (&old, RECORD, 200),
        (&new, RECORD, 200),
        (&new, READ, 200),
        (&reports, RECORD, 403),
        (&format!("{reports}0"), READ, 401),
    ] {
        let variables = if query == RECORD { json!({ "input": variables()["input"] }) } else { Value::Null };
        let request =
            client.post(format!("http://{address}/graphql")).bearer_auth(secret).header(forwarded.0, forwarded.1);
        let response = request.json(&json!({ "query": query, "variables": variables })).send().await.unwrap();
        assert_eq!(response.status(), status, "{}", response.text().await.unwrap());
    }
    for secret in [&reports, &format!("{reports}0")] {
        let mut socket = WebSocket::open_with(&address, &[forwarded]).await.unwrap();
        let answer = socket.init(json!({ "authorization": format!("Bearer {secret}") })).await;
        assert_eq!(answer.is_ok(), *secret == reports, "{answer:?}");
        if *secret == reports {
            assert_eq!(first_of_operation(&mut socket, WATCH).await["type"], "next");
        }
        drop(WebSocket::open_with(&address, &[forwarded, ("authorization", &format!("Bearer {secret}"))]).await);
    }
    server.signal("TERM");
    let mut server = server;
    server.child.wait().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("DEBUG") && log.contains("stopped"), "it was talkative");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines = [reports_line, old_line, new_line];
    let hashes = lines.iter().map(|line| line.split_once("sha256:").unwrap().1.replace(" shop", ""));
    let secrets = [&reports, &old, &new].into_iter().flat_map(|secret| [secret.clone(), hex(secret)]);
    let addresses = ["127.0.0.77", "203.0.113.77"].map(str::to_owned);
    for secret in hashes.chain(secrets).chain(addresses) {
        let line = log.lines().find(|line| line.to_ascii_lowercase().contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}
