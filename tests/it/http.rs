//! HTTP: status and form of responses, refused requests, limits of queries.

use serde_json::{Value, json};

use crate::{
    app::{Rung, TestApp},
    client_scripts::Script,
    on_all_databases,
};

on_all_databases! {
    async fn responses_follow_graphql_over_http(app: TestApp) {
        let url = format!("http://{}/graphql", app.address);
        let get = async |query: &str, accept: &str| {
            let request = app.client.get(&url).query(&[("query", query)]).header("accept", accept);
            request.send().await.unwrap()
        };
        let response = get("{ freshness { status } }", "application/graphql-response+json").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/graphql-response+json; charset=utf-8");
        let response = get("{ freshness { status } }", "application/json").await;
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");

        // A mutation by GET could be sent by any page that a browser shows.
        let mutation = "mutation { recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
        let response = get(mutation, "application/json").await;
        assert_eq!((response.status(), &response.headers()["allow"]), (reqwest::StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap()));
        assert!(app.counts().await.is_empty());

        for (query, code) in [("{", "GRAPHQL_PARSE_FAILED"), ("{ nothing }", "GRAPHQL_VALIDATION_FAILED")] {
            let response = get(query, "application/graphql-response+json").await;
            assert_eq!(response.status(), 400, "{query}");
            let answer: Value = response.json().await.unwrap();
            assert_eq!(answer["errors"][0]["extensions"], json!({ "code": code, "retryable": false }), "{answer}");
            assert_eq!(answer.get("data"), None);
            assert_eq!(get(query, "application/json").await.status(), 200, "{query}");
        }
    }

    async fn malformed_request_is_refused_with_its_status(app: TestApp) {
        let url = format!("http://{}/graphql", app.address);
        let post = async |content_type: &str, body: String| {
            let request = app.client.post(&url).header("content-type", content_type).body(body);
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let answer: Value = response.json().await.unwrap();
            (status, answer["errors"][0]["extensions"]["code"].as_str().unwrap().to_owned())
        };
        let bad = |status| (status, "BAD_USER_INPUT".to_owned());
        let query = json!({ "query": "{ freshness { status } }" }).to_string();
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            assert_eq!(post(content_type, query.clone()).await, bad(415), "{content_type}");
        }
        for body in ["", "{", "[]", "1", "{}", r#"{"query":1}"#, r#"{"query":"{ freshness { status } }","variables":[]}"#] {
            assert_eq!(post("application/json", body.to_owned()).await, bad(400), "{body}");
        }
        let batch = format!("[{query},{query}]");
        assert_eq!(post("application/json", batch).await, bad(400), "there are no batches");
        let too_large = |status| (status, "PAYLOAD_TOO_LARGE".to_owned());
        assert_eq!(post("application/json", " ".repeat(8 * 1024 * 1024 + 1)).await, too_large(413));
        let long = json!({ "query": format!("{{ freshness {{ status }} }} #{}", "x".repeat(64 * 1024)) }).to_string();
        assert_eq!(post("application/json", long).await, too_large(413));
    }

    async fn query_over_the_complexity_or_depth_limit_is_refused(app: TestApp) {
        let costly = "{ report { pages(first: 1000) { edges { node { page title views share } } nodes { page title views share } } } }";
        assert!(app.errors(costly, json!({})).await.is_empty());
        let reports: Vec<_> = (0..50).map(|index| format!("r{index}: report {{ pages(first: 1000) {{ edges {{ node {{ page views }} }} }} }}")).collect();
        let errors = app.errors(&format!("{{ {} }}", reports.join(" ")), json!({})).await;
        assert_eq!(errors[0].0, "GRAPHQL_VALIDATION_FAILED", "{errors:?}");
        let introspection = "{ __schema { types { fields { type { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType { name } } } } } } } } } } } } } } } } } }";
        let errors = app.errors(introspection, json!({})).await;
        assert_eq!(errors[0].0, "GRAPHQL_VALIDATION_FAILED", "{errors:?}");
    }

    async fn pages_schema_and_health_are_served_whatever_the_database_has(app: TestApp) {
        let get = async |path: &str| app.client.get(format!("http://{}{path}", app.address)).send().await.unwrap();
        let page = get("/graphiql").await;
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        assert!(page.text().await.unwrap().contains("GraphiQL"));
        assert_eq!(get("/graphiql/graphiql.min.js").await.headers()["content-type"], "text/javascript");
        assert_eq!(get("/graphiql/nothing.js").await.status(), 404);
        assert_eq!(get("/graphiql/vendor.sh").await.status(), 404);
        assert_eq!(get("/schema.graphql").await.text().await.unwrap(), api::graphql::sdl());
        assert_eq!(get("/health/live").await.status(), 200);
        assert_eq!(get("/health/ready").await.status(), 200);
        while migration::status(&app.database.background).await.unwrap().steps.iter().any(|step| step.applied) {
            app.database.migrate(migration::down).await.unwrap();
        }
        assert_eq!(get("/health/live").await.status(), 200);
        let errors = app.errors("{ report { totals { views } } }", json!({})).await;
        assert_eq!(errors[0].0, "INTERNAL_SERVER_ERROR", "{errors:?}");
        assert!(!errors[0].1.contains("page_views_report"), "the message has no internals: {errors:?}");
    }
}

/// The audits of the npm package `graphql-http` for servers of GraphQL over HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_audits_of_graphql_http_pass() {
    let app = TestApp::start(Rung::Sqlite).await;
    let url = format!("http://{}", app.address);
    let audits = Script::start("audits.mjs", &[&url]).finish("audits.mjs").await;
    assert_eq!(audits.len(), 61);
    let not_passed: Vec<_> = audits.iter().filter(|audit| audit["status"] != "ok").collect();
    assert!(not_passed.is_empty(), "{not_passed:#?}");
}

/// However the mutation is written, and whichever form is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutation_by_get_is_refused_with_405() {
    let app = TestApp::start(Rung::Sqlite).await;
    let record = "{ recordPageViews(input: { increments: [{ page: \"/a\" }] }) { views } }";
    for (query, name) in [
        (format!("mutation {record}"), ""),
        (format!("mutation M {record}"), ""),
        (format!("mutation M {record}"), "M"),
        (format!("query Q {{ freshness {{ status }} }} mutation M {record}"), "M"),
    ] {
        for accept in ["application/json", "application/graphql-response+json", "text/event-stream"] {
            for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
                let request = app.client.request(method.clone(), format!("http://{}/graphql", app.address));
                let request = request.query(&[("query", query.as_str()), ("operationName", name)]);
                let response = request.header("accept", accept).send().await.unwrap();
                assert_eq!(response.status(), 405, "{method} {query} {accept}");
            }
        }
    }
    assert!(app.counts().await.is_empty());
}

/// Before anything is validated, let alone executed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_over_a_document_limit_is_refused_before_validation() {
    let app = TestApp::start(Rung::Sqlite).await;
    let doubling: String = (0..25)
        .map(|level| format!("fragment F{level} on Report {{ ...F{next} ...F{next} }} ", next = level + 1))
        .collect();
    for (query, expected) in [
        // Would overflow the parser's stack, and so end the process.
        (format!("{{ a(b: {}", "[".repeat(60_000)), "brackets must not be nested deeper than 64"),
        (
            format!("{{ a(b: {}1{}) }}", "{c: ".repeat(10_000), "}".repeat(10_000)),
            "brackets must not be nested deeper than 64",
        ),
        (
            format!(
                "{{ {} }}",
                (0..101).map(|i| format!("a{i}: report {{ totals {{ views }} }} ")).collect::<String>()
            ),
            "at most 100 aliases",
        ),
        (format!("{{ {} }}", "report { totals { views } } ".repeat(102)), "at most 100 aliases"),
        (format!("{{ report {{ ...F0 }} }} {doubling} fragment F25 on Report {{ __typename }}"), "at most 2000 fields"),
        (format!("{{ report({}) {{ __typename }} }}", "filter: null ".repeat(5_000)), "at most 2000 fields"),
    ] {
        let errors = app.errors(&query, json!({})).await;
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].0, "GRAPHQL_VALIDATION_FAILED", "{errors:?}");
        assert!(errors[0].1.contains(expected), "{errors:?}");
    }
    let subscription = app.errors("subscription { freshness { status } }", json!({})).await;
    assert_eq!(subscription[0].0, "BAD_USER_INPUT", "{subscription:?}");
    assert!(subscription[0].1.contains("text/event-stream"), "{subscription:?}");
}
