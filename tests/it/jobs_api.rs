//! Changes of what was counted, by GraphQL: who may ask for them, what is refused, and how they are told of.

use api::access::{AccessSettings, Scope};
use entity::job;
use reqwest::{Response, header};
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::{
    access::token,
    app::{Rung, TestApp, TestDatabase},
    event_streams::first_event,
    on_all_databases,
    process::{self, Server, analytics},
    wait::wait_for,
    websocket::WebSocket,
};

const RENAME: &str = "mutation ($input: RenamePageInput!) { renamePage(input: $input) { job { id kind status reason \
                      requestedAt finishedAt pages views error } recordedAt duplicate } }";
const REMOVE_PAGES: &str =
    "mutation ($input: RemovePagesInput!) { removePages(input: $input) { job { id kind status } duplicate } }";
const REMOVE_VIEWS: &str =
    "mutation ($input: RemoveViewsInput!) { removeViews(input: $input) { job { id kind status } duplicate } }";
const CORRECT: &str =
    "mutation ($input: CorrectViewsInput!) { correctViews(input: $input) { job { id kind status } duplicate } }";
const UNDO: &str =
    "mutation ($input: UndoImportInput!) { undoImport(input: $input) { job { id kind status } duplicate } }";
const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
const JOBS: &str = "query ($first: Int, $after: String) { jobs(first: $first, after: $after) { edges { cursor node { id } } \
                    nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
const TOTALS: &str = "query ($filter: ReportFilter) { report(filter: $filter) { totals { views pages } } }";

/// All sets of scopes; a token's secret is the text of its scopes.
const SCOPES: [&str; 7] = [
    "manage",
    "reports",
    "increments",
    "increments,reports",
    "increments,manage",
    "reports,manage",
    "increments,reports,manage",
];
const ALL: &str = "increments,reports,manage";

/// A service with a token of every set of scopes.
async fn start(rung: Rung, change: impl FnOnce(&mut AccessSettings)) -> TestApp {
    let mut access = AccessSettings { token: SCOPES.map(|scopes| token(scopes, scopes)).into(), ..Default::default() };
    change(&mut access);
    TestApp::start_with(rung, |settings| settings.http.access = access).await
}

async fn post(app: &TestApp, secret: Option<&str>, query: &str, variables: &Value) -> Response {
    let url = format!("http://{}/graphql", app.address);
    let request = app.client.post(url).json(&json!({ "query": query, "variables": variables }));
    let request = secret.iter().fold(request, |request, secret| request.bearer_auth(secret));
    request.send().await.unwrap()
}

async fn answer(app: &TestApp, query: &str, variables: Value) -> Value {
    post(app, Some(ALL), query, &variables).await.json().await.unwrap()
}

/// Executes an operation with all scopes, and returns its data.
async fn data(app: &TestApp, query: &str, variables: Value) -> Value {
    let mut answer = answer(app, query, variables).await;
    assert_eq!(answer.get("errors"), None, "{query}");
    answer["data"].take()
}

/// The code and the message of the only error.
async fn error(app: &TestApp, query: &str, input: &Value) -> (String, String) {
    let answer = answer(app, query, json!({ "input": input })).await;
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("{query} {input}: {answer}"));
    assert_eq!(errors.len(), 1, "{answer}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&errors[0]["extensions"]["code"]), text(&errors[0]["message"]))
}

async fn waiting(app: &TestApp) -> u64 {
    job::Entity::find().count(&app.database.readers).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_handed_over_and_seen_with_the_scope_manage_only() {
    for anonymous in [vec![], vec![Scope::Increments, Scope::Reports]] {
        let app = start(Rung::Sqlite, |access| access.anonymous.clone_from(&anonymous)).await;
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        let one = "mutation { renamePage(input: { from: \"/a\", to: \"/b\" }) { duplicate } }";
        let hidden = "mutation { ...Hidden } fragment Hidden on Mutation { ... { undoImport(input: { importId: 1 }) { \
                      duplicate } } }";
        let both = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } \
                    removePages(input: { pages: { names: [\"/a\"] } }) { duplicate } }";
        let mixed = "{ job(id: 1) { id } report { totals { views } } }";
        for (query, needed) in [
            (one, &["manage"][..]),
            (hidden, &["manage"]),
            (both, &["increments", "manage"]),
            ("{ job(id: 1) { id } }", &["manage"]),
            ("{ jobs { nodes { id } } limits { pageBytes } }", &["manage"]),
            (mixed, &["reports", "manage"]),
            ("mutation { requestRefresh { requestedAt } }", &["manage"]),
        ] {
            for scopes in SCOPES.map(Some).into_iter().chain([None]) {
                let response = post(&app, scopes, query, &Value::Null).await;
                let (status, answer) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
                let may =
                    scopes.is_some_and(|scopes| needed.iter().all(|one| scopes.split(',').any(|has| has == *one)));
                let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
                let expected = match scopes {
                    _ if may => (200, if query == hidden { "BAD_USER_INPUT" } else { "" }),
                    Some(_) => (403, "FORBIDDEN"),
                    None => (401, "UNAUTHENTICATED"),
                };
                assert_eq!((status, code), expected, "{scopes:?} {query}: {answer}");
            }
        }
        // Over a socket, and as an event stream.
        for scopes in SCOPES {
            let mut socket = WebSocket::open(&app.address).await.unwrap();
            socket.init(json!({ "authorization": format!("Bearer {scopes}") })).await.unwrap();
            let watch = "subscription { job(id: 1) { status } }";
            socket.subscribe("watch", watch).await;
            let message = socket.next_of("watch").await;
            let url = format!("http://{}/graphql", app.address);
            let stream = app.client.get(url).bearer_auth(scopes).query(&[("query", watch)]);
            let stream = stream.header(header::ACCEPT, "text/event-stream");
            if scopes.contains("manage") {
                assert_eq!(message["payload"]["data"]["job"]["status"], "QUEUED", "{scopes}: {message}");
                assert!(first_event(stream).await.contains("QUEUED"), "{scopes}");
            } else {
                assert_eq!(message["payload"][0]["extensions"]["code"], "FORBIDDEN", "{scopes}: {message}");
                assert_eq!(stream.send().await.unwrap().status(), 403, "{scopes}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_without_a_token_never_has_the_scope_manage() {
    let app = TestApp::start(Rung::Sqlite).await;
    let errors = app.errors("mutation { undoImport(input: { importId: 1 }) { duplicate } }", json!({})).await;
    assert_eq!(errors[0].0, "FORBIDDEN");
    assert!(errors[0].1.contains("this server has no tokens: start it with --tokens-file"), "{errors:?}");
    let database = TestDatabase::create(Rung::Sqlite).await;
    for (flag, variable) in [(&["--anonymous", "reports,manage"][..], None), (&[], Some("manage"))] {
        let mut command = analytics(&database, &["serve", "--listen", "127.0.0.1:0"]);
        command.args(flag).envs(variable.map(|value| ("ANALYTICS_ANONYMOUS", value)));
        let output = command.output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("manage is never given to requests without a token"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutation_by_get_changes_nothing() {
    let app = start(Rung::Sqlite, |_access| {}).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    let query = "mutation { removePages(input: { pages: { names: [\"/a\"] } }) { duplicate } }";
    let url = format!("http://{}/graphql", app.address);
    for accept in ["application/json", "text/event-stream"] {
        let request = app.client.get(&url).bearer_auth(ALL).query(&[("query", query)]).header(header::ACCEPT, accept);
        assert_eq!(request.send().await.unwrap().status(), 405);
    }
    assert_eq!(waiting(&app).await, 0);
}

/// Wrong inputs of renames and of removals of pages, each with its mutation, and the message of each.
fn wrong_renames_and_removals() -> Vec<((&'static str, Value), String)> {
    let (long, names) = ("x".repeat(1_025), vec!["/a"; 1_001]);
    vec![
        ((RENAME, json!({ "from": "/none", "to": "/b" })), "input.from: there is no page \"/none\"".to_owned()),
        ((RENAME, json!({ "from": "/a", "to": "/a" })), "input.to: a page can't be renamed to itself".to_owned()),
        ((RENAME, json!({ "from": "", "to": "/b" })), "input.from must be 1 to 1024 bytes long, not 0".to_owned()),
        ((RENAME, json!({ "from": "/a", "to": long })), "input.to must be 1 to 1024 bytes long, not 1025".to_owned()),
        (
            (RENAME, json!({ "from": "/a", "to": "/\u{202e}b" })),
            "input.to must not have bidirectional control characters, such as \\u{202e}".to_owned(),
        ),
        ((RENAME, json!({ "from": "/a" })), "input.to must be given".to_owned()),
        (
            (RENAME, json!({ "from": "/a", "to": "/b", "keepAlias": null })),
            "input.keepAlias must not be null".to_owned(),
        ),
        (
            (RENAME, json!({ "from": "/a", "to": "/b", "reason": long })),
            "input.reason must be at most 1024 bytes long, not 1025".to_owned(),
        ),
        (
            (RENAME, json!({ "from": "/a", "to": "/b", "reason": "a\u{0}" })),
            "input.reason must not have control characters".to_owned(),
        ),
        (
            (RENAME, json!({ "from": "/a", "to": "/b", "idempotencyKey": "" })),
            "input.idempotencyKey must be 1 to 128 characters long, not 0".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "names": [] } })),
            "input.pages.names must be 1 to 1000 names, not 0".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "names": names } })),
            "input.pages.names must be at most 1000 names, not 1001".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "names": ["/a", ""] } })),
            "input.pages.names[1] must be 1 to 1024 bytes long, not 0".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "names": ["/a", "/none"] } })),
            "input.pages.names: there is no page \"/none\"".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "prefix": "" } })),
            "input.pages.prefix must be 1 to 1024 bytes long, not 0".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "contains": "\u{0}" } })),
            "input.pages.contains must not have control characters".to_owned(),
        ),
        (
            (REMOVE_PAGES, json!({ "pages": { "search": { "text": "" } } })),
            "input.pages.search.text must be 1 to 1024 bytes long, not 0".to_owned(),
        ),
        ((REMOVE_PAGES, json!({})), "input.pages must be given".to_owned()),
    ]
}

/// The same of removals of a time, corrections and imports.
fn wrong_times_and_counts() -> Vec<((&'static str, Value), String)> {
    let correct = |field: &str, value: Value| {
        let mut input = json!({ "page": "/a", "hour": "2026-03-01T00:00:00Z", "views": 1, "reason": "why" });
        input[field] = value;
        (CORRECT, input)
    };
    let views = "input.views must be -1000000000 to 1000000000 and not 0, not ";
    let hour = |field: &str| format!("{field} must be a whole hour of UTC, such as 2026-11-20T10:00:00Z, not ");
    vec![
        ((REMOVE_VIEWS, json!({})), "input.end must be given".to_owned()),
        ((REMOVE_VIEWS, json!({ "end": "2026-03-01T00:30:00Z" })), hour("input.end") + "2026-03-01T00:30:00Z"),
        (
            (REMOVE_VIEWS, json!({ "start": "2026-03-01T00:00:00.5Z", "end": "2026-03-02T00:00:00Z" })),
            hour("input.start") + "2026-03-01T00:00:00.500Z",
        ),
        (
            // Half an hour beside the hours of UTC.
            (REMOVE_VIEWS, json!({ "end": "2026-03-01T00:00:00+05:30" })),
            hour("input.end") + "2026-02-28T18:30:00Z",
        ),
        (
            (REMOVE_VIEWS, json!({ "start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:00:00Z" })),
            "input.end must be after input.start".to_owned(),
        ),
        (
            (REMOVE_VIEWS, json!({ "end": "+12026-03-01T00:00:00Z" })),
            "input.end must lie in the years 1 to 9999".to_owned(),
        ),
        (correct("page", json!("/none")), "input.page: there is no page \"/none\"".to_owned()),
        (correct("views", json!(0)), format!("{views}0")),
        (correct("views", json!(1_000_000_001)), format!("{views}1000000001")),
        (correct("views", json!(-1_000_000_001)), format!("{views}-1000000001")),
        (correct("hour", json!("2026-03-01T00:59:00Z")), hour("input.hour") + "2026-03-01T00:59:00Z"),
        (correct("hour", json!("2199-03-01T00:00:00Z")), "input.hour must not be more than 5 minutes ahead".to_owned()),
        (correct("hour", json!("1999-03-01T00:00:00Z")), "input.hour must not be before the year 2000".to_owned()),
        (correct("reason", json!(" ")), "input.reason must be 1 to 1024 bytes long, and not of spaces only".to_owned()),
        (correct("reason", Value::Null), "input.reason must not be null".to_owned()),
        ((UNDO, json!({ "importId": "x" })), "input.importId must be the digits of a whole number".to_owned()),
        ((UNDO, json!({ "importId": 7 })), "input.importId: there is no import with this id".to_owned()),
    ]
}

/// An error is one message, which names the field and the limit; nothing is handed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_is_refused_with_its_field_and_limit() {
    let app = start(Rung::Sqlite, |_access| {}).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    for ((query, input), message) in wrong_renames_and_removals().into_iter().chain(wrong_times_and_counts()) {
        assert_eq!(error(&app, query, &input).await, ("BAD_USER_INPUT".to_owned(), message), "{query} {input}");
    }
    assert_eq!(waiting(&app).await, 0);
    for (query, message) in [
        ("{ job(id: \"x\") { id } }", "job.id must be the digits of a whole number"),
        ("{ jobs(first: 1001) { nodes { id } } }", "jobs.first must be 0 to 1000, not 1001"),
        ("{ jobs(first: -1) { nodes { id } } }", "jobs.first must be 0 to 1000, not -1"),
        ("{ jobs(after: \"x\") { nodes { id } } }", "jobs.after is not a cursor of this list"),
    ] {
        let refused = answer(&app, query, json!({})).await;
        assert_eq!(refused["errors"][0]["message"], message, "{query}");
        assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    assert_eq!(data(&app, "{ job(id: 7) { id } }", json!({})).await, json!({ "job": null }));
}

on_all_databases! {
    async fn job_is_handed_over_once_for_its_key_and_listed(open: TestApp) {
        let app = start(open.test_database.rung, |_access| {}).await;
        app.record([("/a", "2026-03-01T00:00:00Z", 1), ("/c", "2026-03-01T00:00:00Z", 2)]).await;
        let input = json!({ "from": "/a", "to": "/b", "reason": " moved ", "idempotencyKey": "k" });
        let first = data(&app, RENAME, json!({ "input": input })).await["renamePage"].take();
        assert_eq!(first["duplicate"], false);
        let id = first["job"]["id"].as_str().unwrap().to_owned();
        for (field, value) in [
            ("kind", json!("RENAME_PAGE")), ("status", json!("QUEUED")), ("reason", json!(" moved ")),
            ("finishedAt", Value::Null), ("pages", json!(0)), ("views", json!(0)), ("error", Value::Null),
        ] {
            assert_eq!(first["job"][field], value, "{field}");
        }
        let again = data(&app, RENAME, json!({ "input": input })).await["renamePage"].take();
        assert_eq!((&again["duplicate"], &again["job"]), (&json!(true), &first["job"]));
        assert_eq!(waiting(&app).await, 1);
        // The same key for something else, and of another client.
        for (query, input) in [
            (RENAME, json!({ "from": "/c", "to": "/b", "idempotencyKey": "k" })),
            (REMOVE_PAGES, json!({ "pages": { "names": ["/a"] }, "idempotencyKey": "k" })),
        ] {
            let refused = ("BAD_USER_INPUT".to_owned(), "input.idempotencyKey: the key was used before, for another job".to_owned());
            assert_eq!(error(&app, query, &input).await, refused);
        }
        let other = post(&app, Some("manage"), RENAME, &json!({ "input": input })).await.json::<Value>().await.unwrap();
        assert_eq!(other["data"]["renamePage"]["duplicate"], false, "{other}");
        // Many at once with one key are one.
        let input = json!({ "end": "2026-03-01T00:00:00Z", "idempotencyKey": "many" });
        let variables = json!({ "input": input });
        let many = (0..8).map(|_| post(&app, Some(ALL), REMOVE_VIEWS, &variables));
        let mut ids = Vec::new();
        for response in futures_util::future::join_all(many).await {
            ids.push(response.json::<Value>().await.unwrap()["data"]["removeViews"]["job"]["id"].clone());
        }
        assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");

        let found = data(&app, "query ($id: ID!) { job(id: $id) { id status } }", json!({ "id": id })).await;
        assert_eq!(found["job"], json!({ "id": id, "status": "QUEUED" }));
        let whole = data(&app, JOBS, json!({})).await["jobs"].take();
        let number = |node: &Value| node["id"].as_str().unwrap().parse::<i64>().unwrap();
        let listed: Vec<_> = whole["nodes"].as_array().unwrap().iter().map(number).collect();
        assert_eq!((listed.len(), listed.is_sorted_by(|a, b| a > b)), (3, true), "newest first: {listed:?}");
        assert_eq!(whole["pageInfo"]["hasNextPage"], false);
        let (mut after, mut paged) = (Value::Null, Vec::new());
        loop {
            let part = data(&app, JOBS, json!({ "first": 1, "after": after })).await["jobs"].take();
            paged.extend(part["edges"].as_array().unwrap().iter().map(|edge| number(&edge["node"])));
            assert_eq!(part["pageInfo"]["hasPreviousPage"], after != Value::Null);
            after = part["pageInfo"]["endCursor"].clone();
            if part["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(paged, listed);
        assert_eq!(data(&app, JOBS, json!({ "first": 0 })).await["jobs"]["nodes"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_beyond_those_that_may_wait_is_refused_as_overloaded() {
    let app = start(Rung::Sqlite, |_access| {}).await;
    let fill = "INSERT INTO jobs (kind, task, status, requested_at, pages, views)
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                SELECT 'remove_views', '{}', 'queued', '2026-03-01T00:00:00+00:00', 0, 0 FROM n";
    app.database.background.execute_unprepared(fill).await.unwrap();
    let input = json!({ "input": { "end": "2026-03-01T00:00:00Z" } });
    let refused = answer(&app, REMOVE_VIEWS, input).await["errors"][0].take();
    assert_eq!(refused["extensions"], json!({ "code": "OVERLOADED", "retryable": true }));
    assert_eq!(refused["message"], "1000 jobs wait already; try again when the Wolf has done some");
}

/// A response that tells of jobs may change without a refresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_that_tells_of_jobs_is_never_taken_from_a_cache() {
    let access = AccessSettings { token: vec![token(ALL, ALL)], ..AccessSettings::default() };
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.access = access;
        settings.http.response_cache_bytes = 1024 * 1024;
    })
    .await;
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    let url = format!("http://{}/graphql", app.address);
    let get = async |query: &str| {
        let request = app.client.get(&url).bearer_auth(ALL).query(&[("query", query)]);
        let response = request.send().await.unwrap();
        (response.headers().get(header::ETAG).cloned(), response.json::<Value>().await.unwrap())
    };
    let report = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
    assert!(get(report).await.0.is_some());
    let mixed = "{ jobs { nodes { id } } report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
    let (tag, before) = get(mixed).await;
    assert_eq!((tag, &before["data"]["jobs"]["nodes"]), (None, &json!([])), "{before}");
    data(&app, REMOVE_VIEWS, json!({ "input": { "end": "2026-03-01T00:00:00Z" } })).await;
    let (_, after) = get(mixed).await;
    assert_eq!(after["data"]["jobs"]["nodes"].as_array().unwrap().len(), 1, "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_records_has_the_fields_of_jobs_and_another_has_not() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    database.migrate().await.close().await.unwrap();
    let tokens = database.folder.path().join("tokens");
    let line = api::access::Token::of_secret("secret", ALL.parse().unwrap(), None);
    std::fs::write(&tokens, line.to_string()).unwrap();
    for (services, has_jobs) in [("increments", true), ("reports", false), ("increments,reports", true)] {
        let arguments = ["--services", services, "--tokens-file", tokens.to_str().unwrap()];
        let server = Server::start(&database, &arguments);
        let schema = server.client.get(server.url("/schema.graphql")).send().await.unwrap().text().await.unwrap();
        for part in ["renamePage(", "type JobConnection", "jobs("] {
            assert_eq!(schema.contains(part), has_jobs, "{services} {part}");
        }
        let ask = async |query: &str| {
            let request = server.client.post(server.url("/graphql")).bearer_auth("secret");
            request.json(&json!({ "query": query })).send().await.unwrap().json::<Value>().await.unwrap()
        };
        let handed = ask("mutation { removeViews(input: { end: \"2026-03-01T00:00:00Z\" }) { job { id } } }").await;
        assert_eq!(handed.get("errors").is_none(), has_jobs, "{services}: {handed}");
        if let Some(id) = handed["data"]["removeViews"]["job"]["id"].as_str() {
            let stream = server.client.get(server.url("/graphql")).bearer_auth("secret");
            let watch = format!("subscription {{ job(id: {id}) {{ status }} }}");
            let stream = stream.query(&[("query", watch)]).header(header::ACCEPT, "text/event-stream");
            assert_eq!(first_event(stream).await, "{\"data\":{\"job\":{\"status\":\"QUEUED\"}}}", "{services}");
        }
    }
}

/// The row is changed as the Wolf changes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_to_a_job_sends_each_change_and_ends_with_the_job() {
    let app = start(Rung::Sqlite, |_access| {}).await;
    data(&app, REMOVE_VIEWS, json!({ "input": { "end": "2026-03-01T00:00:00Z" } })).await;
    let connect = async || {
        let mut socket = WebSocket::open(&app.address).await.unwrap();
        socket.init(json!({ "authorization": format!("Bearer {ALL}") })).await.unwrap();
        socket
    };
    let watch = "subscription { job(id: 1) { status pages } }";
    let mut sockets = [connect().await, connect().await];
    for socket in &mut sockets {
        socket.subscribe("watch", watch).await;
        let first = socket.next_of("watch").await;
        assert_eq!(first["payload"]["data"]["job"], json!({ "status": "QUEUED", "pages": 0 }));
    }
    for (change, status, pages) in [
        ("status = 'running'", "RUNNING", 0),
        ("pages = 3", "RUNNING", 3),
        ("status = 'done', task = NULL, finished_at = '2026-03-01T00:00:00+00:00'", "DONE", 3),
    ] {
        app.database.background.execute_unprepared(&format!("UPDATE jobs SET {change}")).await.unwrap();
        for socket in &mut sockets {
            let event = socket.next_of("watch").await;
            assert_eq!(event["payload"]["data"]["job"], json!({ "status": status, "pages": pages }));
        }
    }
    for socket in &mut sockets {
        assert_eq!(socket.next_of("watch").await["type"], "complete");
        // Of a job that has ended there is one event.
        socket.subscribe("again", watch).await;
        assert_eq!(socket.next_of("again").await["payload"]["data"]["job"]["status"], "DONE");
        assert_eq!(socket.next_of("again").await["type"], "complete");
        socket.subscribe("none", "subscription { job(id: 7) { status } }").await;
        let refused = socket.next_of("none").await;
        let message = "job.id: there is no job with this id";
        assert!(refused.to_string().contains(message), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_of_a_job_ends_when_its_token_loses_the_scope() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let tokens = database.folder.path().join("tokens");
    let write = |scopes: &str| {
        let line = api::access::Token::of_secret("secret", scopes.parse().unwrap(), None);
        std::fs::write(&tokens, line.to_string()).unwrap();
    };
    write("reports,manage");
    let arguments = ["--tokens-file", tokens.to_str().unwrap(), "--services", "increments,reports"];
    let server = Server::start(&database, &arguments);
    let query = "mutation { removeViews(input: { end: \"2026-03-01T00:00:00Z\" }) { job { id } } }";
    let request = server.client.post(server.url("/graphql")).bearer_auth("secret").json(&json!({ "query": query }));
    assert_eq!(request.send().await.unwrap().status(), 200);
    let watch = |query: &str| {
        let stream = server.client.get(server.url("/graphql")).bearer_auth("secret").query(&[("query", query)]);
        stream.header(header::ACCEPT, "text/event-stream").send()
    };
    let mut of_job = watch("subscription { job(id: 1) { status } }").await.unwrap();
    let mut of_report = watch("subscription { freshness { status } }").await.unwrap();
    for stream in [&mut of_job, &mut of_report] {
        assert!(stream.chunk().await.unwrap().is_some());
    }
    write("reports");
    let rest = wait_for("the end of the stream", of_job.text()).await.unwrap();
    assert!(rest.contains("FORBIDDEN") && rest.contains("the scope manage"), "{rest}");
    write("manage");
    let rest = wait_for("the end of the stream", of_report.text()).await.unwrap();
    assert!(rest.contains("FORBIDDEN") && rest.contains("the scope reports"), "{rest}");
}

/// The login of Increments hands jobs over and tells of them, and can change none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_of_increments_hands_jobs_over() {
    let admin = TestDatabase::create(Rung::MaterializedView).await;
    process::succeed(&admin, &["migrate", "--roles", "--role-prefix", "managing"]);
    let url = admin.url.replace("postgres@", "managing_increments@");
    let increments = TestDatabase { url, rung: admin.rung, folder: tempfile::tempdir().unwrap() };
    let tokens = increments.folder.path().join("tokens");
    let line = api::access::Token::of_secret("secret", "increments,manage".parse().unwrap(), None);
    std::fs::write(&tokens, line.to_string()).unwrap();
    let server = Server::start(&increments, &["--services", "increments", "--tokens-file", tokens.to_str().unwrap()]);
    let ask = async |query: &str, input: Value| {
        let body = json!({ "query": query, "variables": { "input": input } });
        let request = server.client.post(server.url("/graphql")).bearer_auth("secret").json(&body);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    ask(RECORD, json!({ "increments": [{ "page": "/a" }] })).await;
    let hour = "2026-03-01T00:00:00Z";
    for (query, input) in [
        (RENAME, json!({ "from": "/a", "to": "/b", "keepAlias": true, "idempotencyKey": "k" })),
        (REMOVE_PAGES, json!({ "pages": { "names": ["/a"] } })),
        (REMOVE_VIEWS, json!({ "end": hour })),
        (CORRECT, json!({ "page": "/a", "hour": hour, "views": -1, "reason": "why" })),
    ] {
        let handed = ask(query, input).await;
        assert_eq!(handed.get("errors"), None, "{query}: {handed}");
    }
    let unknown = ask(UNDO, json!({ "importId": 1 })).await;
    assert_eq!(unknown["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{unknown}");
    let listed = ask("{ jobs { nodes { id status } } }", Value::Null).await;
    assert_eq!(listed["data"]["jobs"]["nodes"].as_array().map(Vec::len), Some(4), "{listed}");
}

/// A preview is a report with the same pages and the same time: what it tells is what the job then changes.
async fn assert_done_as_previewed(app: &TestApp, filter: Value, mutation: &str, input: Value) {
    let preview = data(app, TOTALS, json!({ "filter": filter })).await["report"]["totals"].take();
    let whole = json!({ "filter": { "interval": { "period": "ALL_TIME" } } });
    let before = data(app, TOTALS, whole.clone()).await["report"]["totals"]["views"].as_i64().unwrap();
    let handed = data(app, mutation, json!({ "input": input })).await;
    let handed = handed.as_object().unwrap().values().next().unwrap();
    let recorded_at = handed.get("recordedAt").and_then(Value::as_str).map(ToOwned::to_owned);
    app.refresh().await;
    let done = "query ($id: ID!) { job(id: $id) { status pages views error finishedAt } freshness { asOf } }";
    let done = data(app, done, json!({ "id": handed["job"]["id"] })).await;
    let job = &done["job"];
    assert_eq!((&job["status"], &job["error"]), (&json!("DONE"), &Value::Null), "{mutation} {input}");
    assert!(job["finishedAt"].is_string());
    assert_eq!((&job["views"], &job["pages"]), (&preview["views"], &preview["pages"]), "{mutation} {input}");
    let left = data(app, TOTALS, json!({ "filter": filter })).await["report"]["totals"].take();
    assert_eq!(left, json!({ "views": 0, "pages": 0 }), "{mutation} {input}");
    let after = data(app, TOTALS, whole).await["report"]["totals"]["views"].as_i64().unwrap();
    assert_eq!(before - after, preview["views"].as_i64().unwrap(), "{mutation} {input}");
    let time = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    if let Some(recorded_at) = recorded_at {
        assert!(time(done["freshness"]["asOf"].as_str().unwrap()) >= time(&recorded_at));
    }
}

on_all_databases! {
    async fn preview_by_a_report_tells_what_a_removal_then_removes(open: TestApp) {
        let app = start(open.test_database.rung, |_access| {}).await;
        let hours = ["2026-02-28T23:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01T05:00:00Z", "2026-03-09T10:00:00Z"];
        let pages = ["/a", "/a/b", "/a/c", "/b", "/ä", "/spam?x", "/spam", "/z"];
        let titled = json!({ "increments": [{ "page": "/z", "title": "Über uns", "at": hours[0] }] });
        data(&app, RECORD, json!({ "input": titled })).await;
        for (number, page) in (1..).zip(pages) {
            app.record(hours.map(|hour| (page, hour, number))).await;
        }
        app.refresh().await;
        let all_time = json!({ "period": "ALL_TIME" });
        for (interval, pages, mutation, mut input) in [
            // An hour of one page; then pages in every way.
            (
                json!({ "range": { "start": hours[1], "end": hours[2] } }),
                json!({ "names": ["/b"] }),
                REMOVE_VIEWS,
                json!({ "start": hours[1], "end": hours[2] }),
            ),
            (all_time.clone(), json!({ "names": ["/b", "/ä"] }), REMOVE_PAGES, json!({})),
            (all_time.clone(), json!({ "prefix": "/a" }), REMOVE_PAGES, json!({})),
            (all_time.clone(), json!({ "contains": "?" }), REMOVE_PAGES, json!({})),
            (all_time, json!({ "search": { "text": "ÜBER" } }), REMOVE_PAGES, json!({})),
            // Before a time, of all pages that are left.
            (
                json!({ "range": { "start": "2000-01-01T00:00:00Z", "end": hours[2] } }),
                Value::Null,
                REMOVE_VIEWS,
                json!({ "end": hours[2] }),
            ),
        ] {
            if !pages.is_null() {
                input["pages"] = pages.clone();
            }
            assert_done_as_previewed(&app, json!({ "interval": interval, "pages": pages }), mutation, input).await;
        }
        let left = app.counts().await;
        assert_eq!(left.keys().map(|(page, ..)| page.as_str()).collect::<Vec<_>>(), ["/spam", "/spam"]);
        assert!(wolf::verify(&app.database).await.unwrap().differences.is_empty());
    }
}

on_all_databases! {
    async fn rename_correction_and_refusal_are_told_by_the_job(open: TestApp) {
        let app = start(open.test_database.rung, |_access| {}).await;
        let (hour, next) = ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z");
        app.record([("/old", hour, 3), ("/old", next, 4), ("/new", hour, 10)]).await;
        let handed = data(&app, RENAME, json!({ "input": { "from": "/old", "to": "/new", "keepAlias": true } })).await;
        let renamed = handed["renamePage"]["job"]["id"].clone();
        app.refresh().await;
        let job = "query ($id: ID!) { job(id: $id) { status views error } }";
        let done = data(&app, job, json!({ "id": renamed })).await["job"].take();
        assert_eq!(done, json!({ "status": "DONE", "views": 7, "error": null }));
        // Views of the alias count for its page.
        app.record([("/old", next, 5)]).await;
        app.refresh().await;
        let views = async |page: &str| {
            let filter = json!({ "interval": { "period": "ALL_TIME" }, "pages": { "names": [page] } });
            data(&app, TOTALS, json!({ "filter": filter })).await["report"]["totals"]["views"].clone()
        };
        assert_eq!((views("/old").await, views("/new").await), (json!(0), json!(22)));
        for (input, message) in [
            (json!({ "from": "/new", "to": "/old" }), "input.to: the new name is an alias of this page: "),
            (json!({ "from": "/other", "to": "/old" }), "input.to: the new name is an alias of another page: "),
        ] {
            let refused = error(&app, RENAME, &input).await;
            assert!(refused.0 == "BAD_USER_INPUT" && refused.1.starts_with(message), "{refused:?}");
        }
        let correct = async |views: i64| {
            let input = json!({ "page": "/new", "hour": hour, "views": views, "reason": "why" });
            let handed = data(&app, CORRECT, json!({ "input": input })).await;
            app.refresh().await;
            data(&app, job, json!({ "id": handed["correctViews"]["job"]["id"] })).await["job"].take()
        };
        assert_eq!(correct(-14).await["status"], "REFUSED");
        assert_eq!(correct(-13).await, json!({ "status": "DONE", "views": -13, "error": null }));
        assert_eq!(correct(1_000_000_000).await["views"], 1_000_000_000);
        let refused = correct(-1_000_000_000).await;
        assert_eq!(refused["status"], "DONE", "{refused}");
        let refused = correct(-1).await;
        assert!(refused["error"].as_str().is_some_and(|why| why.contains("0 views")), "{refused}");
        assert_eq!(views("/new").await, 9);
        assert!(wolf::verify(&app.database).await.unwrap().differences.is_empty());
    }
}
