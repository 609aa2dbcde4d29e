//! Limits of recording without a token: few increments, few views, no replaced titles.

use std::{collections::BTreeMap, num::NonZeroU32};

use api::access::{AccessSettings, Scope};
use entity::page;
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use super::{RECORD, initialised, start_with_tokens, tokens};
use crate::app::{Rung, TestApp, TestDatabase};

/// In the general form.
const GENERAL: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { ... { views } } }";
/// In one operation twice.
const TWICE: &str = "mutation ($input: RecordPageViewsInput!) {
    a: recordPageViews(input: $input) { views } b: recordPageViews(input: $input) { views } }";

fn open_to_record(access: &mut AccessSettings) {
    access.anonymous = vec![Scope::Increments];
}

/// So many increments of so many views each.
fn input(increments: usize, views: i64) -> Value {
    json!({ "input": { "increments": vec![json!({ "page": "/a", "views": views }); increments] } })
}

async fn post(app: &TestApp, secret: Option<&str>, query: &str, variables: &Value) -> Value {
    let body = json!({ "query": query, "variables": variables });
    let mut request = app.client.post(format!("http://{}/graphql", app.address)).json(&body);
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    request.send().await.unwrap().json().await.unwrap()
}

/// The code and the message of the first error.
fn refusal(answer: &Value) -> (&str, &str) {
    let error = &answer["errors"][0];
    (error["extensions"]["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_increments_and_views_have_their_own_limits() {
    let app = start_with_tokens(open_to_record).await;
    let cases = [
        (101, 1, "input.increments must be 1 to 100 increments without a token, not 101"),
        (1, 2, "input.increments[0].views must be 1 to 1 without a token, not 2"),
        (100, 1, ""),
    ];
    for (increments, views, message) in cases {
        let code = if message.is_empty() { "" } else { "BAD_USER_INPUT" };
        let variables = input(increments, views);
        for query in [RECORD, GENERAL] {
            let answer = post(&app, None, query, &variables).await;
            assert_eq!(refusal(&answer), (code, message), "{query}");
            let known = post(&app, Some("increments"), query, &variables).await;
            assert_eq!(refusal(&known), ("", ""), "{query}");
        }
        for (authorization, expected) in
            [(json!({}), (code, message)), (json!({ "authorization": "Bearer increments" }), ("", ""))]
        {
            let (mut socket, _) = initialised(&app, authorization).await;
            let payload = json!({ "query": GENERAL, "variables": variables });
            socket.subscribe_with("1", &payload).await;
            let message = socket.next().await;
            assert_eq!(refusal(&message["payload"]), expected, "{message}");
        }
    }
    let known = 3 * (101 + 2 + 100);
    assert_eq!(app.counts().await.values().sum::<i64>(), known + 3 * 100);

    let app = start_with_tokens(|access| {
        open_to_record(access);
        (access.anonymous_increments, access.anonymous_views) = (1, 7);
    })
    .await;
    assert_eq!(refusal(&post(&app, None, RECORD, &input(1, 7)).await), ("", ""));
    assert_eq!(refusal(&post(&app, None, RECORD, &input(2, 1)).await).0, "BAD_USER_INPUT");
    assert_eq!(refusal(&post(&app, None, RECORD, &input(1, 8)).await).0, "BAD_USER_INPUT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_increment_counts_against_the_rate_limit() {
    let slow = |access: &mut AccessSettings| {
        open_to_record(access);
        (access.rate_limit, access.rate_burst) = (1, NonZeroU32::new(90).unwrap());
        (access.rate_limit_increments, access.rate_burst_increments) = (1, NonZeroU32::new(300).unwrap());
    };
    for query in [RECORD, GENERAL, TWICE] {
        let app = start_with_tokens(slow).await;
        let answer = post(&app, None, query, &input(91, 1)).await;
        let message = "input.increments must be at most 90, which is --rate-burst, not 91";
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", message), "{query}");
        let mut recorded = 0;
        let refused = loop {
            let answer = post(&app, None, query, &input(25, 1)).await;
            if answer.get("errors").is_some() {
                break answer;
            }
            recorded += if query == TWICE { 50 } else { 25 };
        };
        assert_eq!(refusal(&refused).0, "OVERLOADED", "{refused}");
        assert_eq!(refused["errors"][0]["extensions"]["retryable"], true);
        assert!(refusal(&refused).1.contains("too many increments, try again in "), "{refused}");
        // The quota refills while the test runs, but by far fewer than one request's increments for each request.
        assert!(recorded <= 90 + 25, "{query}: {recorded}");

        let answer = post(&app, Some("increments"), query, &input(301, 1)).await;
        let message = "input.increments must be at most 300, which is --rate-burst-increments, not 301";
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", message), "{query}");
        let known = if query == TWICE { 150 } else { 300 };
        assert_eq!(refusal(&post(&app, Some("increments"), query, &input(known, 1)).await), ("", ""), "{query}");
        assert_eq!(refusal(&post(&app, Some("increments"), query, &input(300, 1)).await).0, "OVERLOADED", "{query}");
    }
}

/// The title of each page.
async fn titles(app: &TestApp) -> BTreeMap<String, Option<String>> {
    let pages = page::Entity::find().all(&app.database.readers).await.unwrap();
    pages.into_iter().map(|page| (page.name, page.title)).collect()
}

async fn anonymous_increment_replaces_no_title(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    database.migrate().await.close().await.unwrap();
    let url = database.url.clone();
    let open = |settings: &mut crate::app::Settings| {
        settings.http.access = tokens();
        open_to_record(&mut settings.http.access);
    };
    let app = TestApp::serve(database, open).await;
    let known = Some("increments");
    let record = async |app: &TestApp, secret: Option<&str>, page: &str, title: Option<&str>| {
        let variables = json!({ "input": { "increments": [{ "page": page, "title": title }] } });
        let answer = post(app, secret, RECORD, &variables).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        titles(app).await[page].clone()
    };
    let ours = Some("Ours".to_owned());
    assert_eq!(record(&app, known, "/a", Some("Ours")).await, ours);
    assert_eq!(record(&app, None, "/a", Some("Theirs")).await, ours);
    assert_eq!(
        record(&app, known, "/a", Some("Theirs")).await.as_deref(),
        Some("Theirs"),
        "a client with a token replaces titles"
    );
    assert_eq!(record(&app, known, "/a", Some("Ours")).await, ours);
    assert_eq!(record(&app, None, "/b", Some("First")).await.as_deref(), Some("First"), "the page has none");
    assert_eq!(record(&app, None, "/b", Some("Second")).await.as_deref(), Some("First"));
    assert_eq!(record(&app, known, "/b", Some("Second")).await.as_deref(), Some("Second"));
    assert_eq!(record(&app, known, "/c", None).await, None);
    assert_eq!(record(&app, None, "/c", Some("First")).await.as_deref(), Some("First"));
    app.refresh().await;

    // A process whose cache of pages is empty, in one request and in concurrent ones.
    let database = TestDatabase { url, rung, folder: tempfile::tempdir().unwrap() };
    let other = TestApp::serve(database, open).await;
    let pages = ["/a", "/b", "/c", "/d"].map(|page| json!({ "page": page, "title": "Theirs" }));
    let variables = json!({ "input": { "increments": pages } });
    let answers = futures_util::future::join_all((0..20).map(|_| post(&other, None, GENERAL, &variables))).await;
    assert!(answers.iter().all(|answer| answer.get("errors").is_none()), "{answers:?}");
    let expected = [("/a", "Ours"), ("/b", "Second"), ("/c", "First"), ("/d", "Theirs")];
    let expected = expected.map(|(page, title)| (page.to_owned(), Some(title.to_owned())));
    assert_eq!(titles(&other).await, expected.into());
    assert_eq!(record(&other, known, "/a", Some("Theirs")).await.as_deref(), Some("Theirs"), "it was not the page's");
    app.refresh().await;
    assert_eq!(wolf::verify(&app.database).await.unwrap().differences, [], "what was written was marked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_increment_replaces_no_title_on_sqlite() {
    anonymous_increment_replaces_no_title(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_increment_replaces_no_title_on_postgres() {
    anonymous_increment_replaces_no_title(Rung::Table).await;
}
