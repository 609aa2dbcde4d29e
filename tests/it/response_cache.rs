//! The cache of whole responses: valid until the next refresh, and behind authorization and rate limit.

use std::num::NonZeroU32;

use reports::CacheFigures;
use serde_json::{Value, json};

use crate::{
    access::token,
    app::{Rung, TestApp},
    random_queries::generator::{self, Generator, INTROSPECTION},
    wait::eventually,
};

const REPORT: &str = "query ($of: IntervalInput) { report(filter: { interval: $of }) {
    freshness { refreshId asOf status } totals { views pages } series(granularity: MONTH) { views }
} }";
const YEAR: [&str; 2] = ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"];

fn year() -> Value {
    json!({ "of": { "range": { "start": YEAR[0], "end": YEAR[1] } } })
}

async fn start(rung: Rung) -> TestApp {
    TestApp::start_with(rung, |settings| settings.http.response_cache_bytes = 1024 * 1024).await
}

/// Sends a GET, and returns status, headers without the date, and body.
async fn get(app: &TestApp, query: &str, variables: &Value, tag: Option<&str>) -> (u16, Vec<(String, String)>, String) {
    let parameters = [("query", query), ("variables", &variables.to_string())];
    let request = app.client.get(format!("http://{}/graphql", app.address)).query(&parameters);
    let request = tag.map_or(request.try_clone().unwrap(), |tag| request.header("if-none-match", tag));
    let response = request.send().await.unwrap();
    let headers = response.headers().iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (response.status().as_u16(), headers, response.text().await.unwrap())
}

/// Whether no result of the report was needed since `before`.
fn asked_nothing(before: CacheFigures, app: &TestApp) -> bool {
    let after = app.reader.cache_figures();
    (after.hits, after.misses) == (before.hits, before.misses)
}

async fn cached_response_is_sent_until_the_next_refresh_in(rung: Rung) {
    let app = start(rung).await;
    app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
    app.refresh().await;
    let mut last = None;
    for round in 0..3 {
        let first = app.data(REPORT, year()).await;
        assert_eq!(first["report"]["totals"]["views"], 3 + round);
        assert_ne!(last, Some(first.clone()), "it has the freshness of its refresh");
        let got = get(&app, REPORT, &year(), None).await;
        let figures = app.reader.cache_figures();
        for _ in 0..3 {
            assert_eq!(app.data(REPORT, year()).await, first);
            let again = get(&app, REPORT, &year(), None).await;
            assert_eq!(again, got, "with the same headers");
            let tag = again.1.iter().find(|(name, _)| name == "etag").unwrap();
            assert_eq!(get(&app, REPORT, &year(), Some(&tag.1)).await.0, 304);
        }
        assert!(asked_nothing(figures, &app), "{rung:?}");
        last = Some(first);
        app.record([("/b", "2026-04-01T00:00:00Z", 1)]).await;
        app.refresh().await;
    }
    // Another text, name or variable is another entry.
    let figures = app.reader.cache_figures();
    app.data(&REPORT.replace("views pages", "views"), year()).await;
    let mut spring = year();
    spring["of"]["range"]["end"] = json!("2026-03-02T00:00:00Z");
    assert_eq!(app.data(REPORT, spring).await["report"]["totals"]["views"], 3);
    assert!(!asked_nothing(figures, &app));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_response_is_sent_until_the_next_refresh() {
    for rung in [Rung::Sqlite, Rung::MaterializedView, Rung::Table] {
        cached_response_is_sent_until_the_next_refresh_in(rung).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_with_staleness_or_errors_is_not_cached() {
    let app = start(Rung::Sqlite).await;
    app.refresh().await;
    for query in
        ["{ freshness { stalenessSeconds } }", "{ report { totals { views } freshness { stalenessSeconds } } }"]
    {
        let first = app.data(query, json!({})).await;
        eventually("another staleness", async || app.data(query, json!({})).await != first).await;
    }
    // Longer than any query, so it is not looked up.
    let padded = format!("{REPORT} # {}", "x".repeat(60 * 1024));
    let long = json!({ "of": { "range": { "start": YEAR[0], "end": YEAR[1] } }, "unused": "x".repeat(5 * 1024) });
    app.data(&padded, long.clone()).await;
    let figures = app.reader.cache_figures();
    app.data(&padded, long).await;
    assert!(!asked_nothing(figures, &app));
    let wrong = "{ report { pages(first: 2000) { nodes { page } } } }";
    for _ in 0..2 {
        assert_eq!(app.errors(wrong, json!({})).await[0].0, "BAD_USER_INPUT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_response_needs_authorization_and_counts_against_the_rate_limit() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| {
        settings.http.response_cache_bytes = 1024 * 1024;
        let access = &mut settings.http.access;
        access.token = ["reports", "increments"].map(|scope| token(scope, scope)).to_vec();
        (access.rate_limit, access.rate_burst) = (1, NonZeroU32::new(6).unwrap());
    })
    .await;
    app.refresh().await;
    let ask = async |secret: Option<&str>| {
        let request = app.client.post(format!("http://{}/graphql", app.address));
        let request = secret.map_or(request.try_clone().unwrap(), |secret| request.bearer_auth(secret));
        request.json(&json!({ "query": REPORT, "variables": year() })).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(Some("reports")).await, 200);
    let figures = app.reader.cache_figures();
    assert_eq!(ask(Some("reports")).await, 200);
    assert!(asked_nothing(figures, &app), "the response is cached");
    assert_eq!((ask(None).await, ask(Some("increments")).await, ask(Some("wrong")).await), (401, 403, 401));
    // A cached response counts against the rate limit, too.
    let mut status = 200;
    for _ in 0..20 {
        status = ask(Some("reports")).await;
        if status != 200 {
            break;
        }
    }
    assert_eq!(status, 429);
}

/// For random queries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_response_of_any_query_equals_a_computed_one() {
    let app = start(Rung::Table).await;
    let schema = app.data(INTROSPECTION, json!({})).await;
    let mut generator = Generator::new(&schema["__schema"], 7);
    let queries: Vec<_> = (0..150).map(|_| format!("{{ {} }}", generator::print(&generator.query()))).collect();
    let mut from_memory = 0;
    for views in 1..4 {
        app.record([("/a", "2026-03-01T00:00:00Z", views), ("/b", "2025-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        for query in &queries {
            let first = app.execute(query, json!({})).await;
            let figures = app.reader.cache_figures();
            let again = app.execute(query, json!({})).await;
            from_memory += u32::from(asked_nothing(figures, &app));
            if !query.contains("stalenessSeconds") {
                assert_eq!(again, first, "{query}");
            }
            // Another text of the same meaning is computed.
            let otherwise = app.execute(&format!("{query} # {views}"), json!({})).await;
            if !query.contains("stalenessSeconds") {
                assert_eq!(otherwise, first, "{query}");
            }
        }
    }
    assert!(from_memory > 100, "only {from_memory} came from memory");
}
