//! GraphQL clients and compilers that applications use, against a server: each runs the scenario of
//! `tests/clients/scenario.mjs`, or compiles operations against the schema of the server.

use graphql_client::{GraphQLQuery, Response};
use serde_json::{Value, json};

use crate::{
    app::{Rung, TestDatabase},
    client_scripts::Script,
    process::Server,
    websocket::WebSocket,
};

/// How long a client or a compiler may take, on a busy machine.
const LIMIT_SECONDS: &str = "180";
const WRONG_TIME: &str = "input.increments[0].at must be an RFC 3339 time with an offset from UTC, such as \
                          2026-11-20T10:00:00Z, not \"2026-11-20 10:00\"";

/// A server that refreshes every second.
async fn server() -> (TestDatabase, Server) {
    server_on(Rung::Sqlite).await
}

async fn server_on(rung: Rung) -> (TestDatabase, Server) {
    let database = TestDatabase::create(rung).await;
    database.migrate().await.close().await.unwrap();
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    (database, server)
}

async fn run(server: &Server, script: &str, arguments: &[&str]) -> Vec<Value> {
    let url = server.url("");
    Script::start(script, &[&[url.as_str(), "--limit", LIMIT_SECONDS], arguments].concat()).finish(script).await
}

/// Checks the line that a scenario prints: what it recorded, got by subscription and by query, and the error of a
/// mistake.
fn assert_scenario(lines: &Value, page: &str, title: &str) {
    let recorded = &lines["recorded"];
    let counts = [&recorded["increments"], &recorded["views"], &recorded["duplicate"]];
    assert_eq!(counts, [&json!(1), &json!(3), &json!(false)], "{lines}");
    let report = json!({
        "totals": { "views": 3, "pages": 1 },
        "pages": { "nodes": [{ "page": page, "title": title, "views": 3 }] },
    });
    assert_eq!([&lines["live"], &lines["report"]], [&report, &report], "{lines}");
    assert_eq!(lines["errors"], json!([{ "message": WRONG_TIME, "code": "BAD_USER_INPUT" }]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apollo_client_completes_the_scenario() {
    let (_database, server) = server().await;
    let lines = run(&server, "apollo.mjs", &[]).await;
    assert_scenario(&lines[0], "/apollo", "apollo");
}

/// After the first refusal the client sends whole queries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apollo_client_falls_back_from_persisted_queries() {
    for method in ["POST", "GET"] {
        let (_database, server) = server().await;
        let lines = run(&server, "apollo.mjs", &["--persisted", &method.to_lowercase()]).await;
        assert_scenario(&lines[0], "/apollo", "apollo");
        let sent: Vec<_> = lines[1]["sent"].as_array().unwrap().iter().map(|sent| sent.as_str().unwrap()).collect();
        assert_eq!(sent[0], format!("{method} hash"), "{sent:?}");
        assert_eq!(sent[1..], ["POST query"; 4], "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urql_completes_the_scenario() {
    for arguments in [&[][..], &["--events"]] {
        let (_database, server) = server().await;
        let lines = run(&server, "urql.mjs", arguments).await;
        assert_scenario(&lines[0], "/urql", "urql");
    }
}

/// With its defaults: gql offers both subprotocols, and looks for the server's choice in a header of one spelling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gql_of_python_completes_the_scenario() {
    let (_database, server) = server().await;
    for sockets in ["websockets", "aiohttp"] {
        let lines = run(&server, "scenario.py", &["--sockets", sockets]).await;
        assert_scenario(&lines[0], &format!("/gql-{sockets}"), "gql");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_compiler_accepts_the_schema_of_the_server() {
    let (_database, server) = server().await;
    let lines = run(&server, "relay.mjs", &[]).await;
    let operations: Vec<_> = lines.iter().filter_map(|line| line["operation"].as_str()).collect();
    assert_eq!(operations, ["projectMutation", "projectQuery", "projectSubscription"]);
    for line in &lines[..3] {
        assert!(line["answer"]["data"].is_object() && line["answer"].get("errors").is_none(), "{line}");
    }
    let refused = lines[3]["refused"].as_str().unwrap();
    assert!(refused.contains("`Freshness` has no field `nothing`"), "{refused}");
}

/// On both databases: what a subscription brings is shown by a query of the same filter, which does not ask again, and
/// what another query of it has asked for is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_of_apollo_and_relay_merge_reports_by_their_id() {
    for rung in [Rung::Sqlite, Rung::MaterializedView] {
        let (_database, server) = server_on(rung).await;
        let apollo = run(&server, "apollo-cache.mjs", &[]).await;
        assert_eq!(apollo, [json!({ "shown": [1, 3], "requests": 2, "reports": 2, "series": 7 })], "{rung:?}");
        let (_database, server) = server_on(rung).await;
        let relay = run(&server, "relay-store.mjs", &[]).await;
        assert_eq!(relay, [json!({ "before": 1, "after": 3, "series": 7, "queries": 0 })], "{rung:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_graphql_codegen_match_the_responses() {
    let (_database, server) = server().await;
    let lines = run(&server, "codegen.mjs", &[]).await;
    assert_eq!([&lines[0]["generated"], &lines[0]["right"]], [&json!([]), &json!([])], "{lines:?}");
    let wrong: Vec<_> = lines[0]["wrong"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(wrong.len(), 3, "an answer's number, a missing page, two filters of which one may be: {wrong:#?}");
}

/// `schema.graphql` and introspection are the same schema, and each part of it has a description.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn introspection_equals_the_schema_file_and_every_part_has_a_description() {
    let (_database, server) = server().await;
    let lines = &run(&server, "schema.mjs", &[]).await[0];
    for wrong in ["differences", "undescribed", "unspecified"] {
        assert_eq!(lines[wrong], json!([]), "{wrong}");
    }
    let urls: Vec<_> = lines["urls"].as_object().unwrap().keys().collect();
    assert_eq!(urls, ["DateTime", "LocalDateTime", "SafeInt"]);
    // Descriptions of ours, where the library has its own.
    for (name, words) in
        [("schema", "the report of them"), ("DateTime", "such as `2026-11-20T10:00:00Z`"), ("SafeInt", "JavaScript")]
    {
        let description = lines["descriptions"][name].as_str().unwrap();
        assert!(description.contains(words), "{name}: {description}");
    }
}

/// Operations that Rust's `graphql_client` has compiled against `schema.graphql`.
#[allow(unreachable_pub, reason = "the macro's code")]
mod compiled {
    use graphql_client::GraphQLQuery;

    type DateTime = chrono::DateTime<chrono::Utc>;
    type SafeInt = i64;

    #[derive(Debug, GraphQLQuery)]
    #[graphql(
        schema_path = "schema.graphql",
        query_path = "tests/it/clients/scenario.graphql",
        response_derives = "Debug",
        variables_derives = "Clone"
    )]
    pub(super) struct Record;

    #[derive(Debug, GraphQLQuery)]
    #[graphql(
        schema_path = "schema.graphql",
        query_path = "tests/it/clients/scenario.graphql",
        response_derives = "Debug",
        variables_derives = "Clone"
    )]
    pub(super) struct Report;

    #[derive(Debug, GraphQLQuery)]
    #[graphql(
        schema_path = "schema.graphql",
        query_path = "tests/it/clients/scenario.graphql",
        response_derives = "Debug",
        variables_derives = "Clone"
    )]
    pub(super) struct Live;
}

async fn ask<Q: GraphQLQuery>(server: &Server, variables: Q::Variables) -> Response<Q::ResponseData> {
    let request = server.client.post(server.url("/graphql")).json(&Q::build_query(variables));
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql_client_of_rust_completes_the_scenario() {
    use compiled::{Live, Record, Report, live, record, report};
    let (_database, server) = server().await;
    let input = record::RecordPageViewsInput {
        increments: vec![record::PageViewIncrement {
            page: "/rust".to_owned(),
            views: 3,
            at: Some("2026-11-20T10:00:00Z".parse().unwrap()),
            title: Some("Rust".to_owned()),
        }],
        idempotency_key: Some("rust".to_owned()),
    };
    for is_again in [false, true] {
        let recorded = ask::<Record>(&server, record::Variables { input: input.clone() }).await.data.unwrap();
        let recorded = recorded.record_page_views;
        assert_eq!((recorded.increments, recorded.views, recorded.duplicate), (1, 3, is_again));
    }

    let filter = live::ReportFilter {
        pages: Some(live::PageFilter::Names(vec!["/rust".to_owned()])),
        interval: Some(live::IntervalInput::Period(live::Period::ALL_TIME)),
        time_zone: None,
        week_start: None,
    };
    let mut socket = WebSocket::connect(&server.address).await;
    let payload = Live::build_query(live::Variables { filter: Some(filter) });
    socket.subscribe_with("1", &json!(payload)).await;
    loop {
        let mut message = socket.next().await;
        let lines: Response<live::ResponseData> = serde_json::from_value(message["payload"].take()).unwrap();
        if lines.data.unwrap().report.totals.views == 3 {
            break;
        }
    }

    let filter = report::ReportFilter {
        pages: Some(report::PageFilter::Prefix("/r".to_owned())),
        interval: Some(report::IntervalInput::Range(report::TimeRange {
            start: "2026-11-20T00:00:00Z".parse().unwrap(),
            end: "2026-11-21T00:00:00Z".parse().unwrap(),
        })),
        time_zone: Some("Europe/Berlin".to_owned()),
        week_start: None,
    };
    let report = ask::<Report>(&server, report::Variables { filter: Some(filter) }).await.data.unwrap().report;
    assert_eq!((report.totals.views, report.totals.pages), (3, 1));
    let [page] = report.pages.nodes.as_slice() else { panic!("{report:?}") };
    assert_eq!((page.page.as_str(), page.title.as_deref(), page.views), ("/rust", Some("Rust"), 3));

    let input = record::RecordPageViewsInput { increments: Vec::new(), idempotency_key: None };
    let refused = ask::<Record>(&server, record::Variables { input }).await.errors.unwrap();
    assert_eq!(refused[0].message, "input.increments must be 1 to 10000 increments, not 0");
    assert_eq!(refused[0].extensions.as_ref().unwrap()["code"], "BAD_USER_INPUT");
}
