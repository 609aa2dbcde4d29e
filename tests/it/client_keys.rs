//! The scope of an idempotency key is its client, whichever token the client uses; also across the upgrade that
//! introduced it.

use api::access::{Scope, Token, TokenText};
use increments::{Client, IdempotencyKey, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    app::{Rung, TestApp, TestDatabase, increment},
    on_all_databases, process, upgrades,
};

/// In the common form, which takes the fast path, and in the general one.
const RECORD: [&str; 2] = [
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { duplicate } }",
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { ... { duplicate } } }",
];
/// Tokens by their secrets, and the names of their clients: the first two are one client's.
const TOKENS: [(&str, Option<&str>); 5] =
    [("old", Some("shop")), ("rotated", Some("shop")), ("blog", Some("blog")), ("first", None), ("second", None)];

/// A server with these tokens, which also records without a token.
async fn serve(database: TestDatabase, tokens: &[(&str, Option<&str>)]) -> TestApp {
    let line = |(secret, name): &(&str, Option<&str>)| {
        let name = name.map(|name| name.parse().unwrap());
        TokenText::from(Token::of_secret(secret, "increments".parse().unwrap(), name).to_string())
    };
    let token = tokens.iter().map(line).collect();
    TestApp::serve(database, |settings| {
        settings.http.access.token = token;
        settings.http.access.anonymous = vec![Scope::Increments];
        settings.http.access.anonymous_views = 1_000;
    })
    .await
}

async fn send(app: &TestApp, secret: Option<&str>, mutation: &str, key: &str, increments: &Value) -> Value {
    let input = json!({ "increments": increments, "idempotencyKey": key });
    let body = json!({ "query": mutation, "variables": { "input": input } });
    let mut request = app.client.post(format!("http://{}/graphql", app.address)).json(&body);
    if let Some(secret) = secret {
        request = request.bearer_auth(secret);
    }
    request.send().await.unwrap().json().await.unwrap()
}

/// Returns whether it was a duplicate, or the error.
async fn record(app: &TestApp, secret: Option<&str>, key: &str, page: &str) -> Result<bool, String> {
    let mutation = RECORD[key.len() % RECORD.len()];
    outcome(&send(app, secret, mutation, key, &json!([{ "page": page }])).await)
}

fn outcome(answer: &Value) -> Result<bool, String> {
    match answer.pointer("/errors/0/message") {
        None => Ok(answer["data"]["recordPageViews"]["duplicate"].as_bool().unwrap()),
        Some(message) => Err(message.as_str().unwrap().to_owned()),
    }
}

async fn idempotency_key_is_scoped_to_its_client(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    database.migrate().await.close().await.unwrap();
    let app = serve(database, &TOKENS).await;
    let callers = [Some("old"), Some("blog"), Some("first"), Some("second"), None];
    for key in ["1", "22"] {
        for caller in callers {
            assert_eq!(record(&app, caller, key, "/a").await, Ok(false), "{caller:?} {key}");
        }
        for caller in callers.into_iter().chain([Some("rotated")]) {
            assert_eq!(record(&app, caller, key, "/a").await, Ok(true), "{caller:?} {key}, again");
            let refused = record(&app, caller, key, "/b").await.unwrap_err();
            assert!(refused.contains("used before"), "{caller:?}: {refused}");
        }
    }
    // The other way round, and with other increments.
    assert_eq!(record(&app, Some("rotated"), "333", "/a").await, Ok(false));
    assert_eq!(record(&app, Some("old"), "333", "/a").await, Ok(true));
    assert_eq!(
        record(&app, Some("blog"), "333", "/b").await,
        Ok(false),
        "the same key of another client is another key"
    );
    assert_eq!(app.counts().await.values().sum::<i64>(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotency_key_is_scoped_to_its_client_on_sqlite() {
    idempotency_key_is_scoped_to_its_client(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotency_key_is_scoped_to_its_client_on_postgres() {
    idempotency_key_is_scoped_to_its_client(Rung::Table).await;
}

on_all_databases! {
    async fn equal_keys_of_two_concurrent_clients_both_count(app: TestApp) {
        const KEYS: i64 = 50;
        let clients = ["a", "b"].map(|name| Client::of_token("sha256:00", Some(&name.parse().unwrap())));
        let mut sending = JoinSet::new();
        for number in 0..KEYS {
            for client in clients.iter().chain(&clients) {
                let key = IdempotencyKey::of_client(format!("key {number}"), client.clone()).unwrap();
                let increments = vec![increment("/a", "2026-03-01T00:00:00Z".parse().unwrap(), 1)];
                let (recorder, request) = (app.recorder.clone(), Request::new(increments, Some(key)));
                sending.spawn(async move { recorder.record(request).await.unwrap().duplicate });
            }
        }
        let duplicates = sending.join_all().await.into_iter().filter(|duplicate| *duplicate).count();
        assert_eq!(duplicates, 100, "each was sent twice by each of two clients");
        assert_eq!(app.counts().await.values().sum::<i64>(), 2 * KEYS);
    }
}

/// A retry over the restart with which a token gets its client's name.
async fn naming_a_token_keeps_its_idempotency_keys(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    database.migrate().await.close().await.unwrap();
    let app = serve(database, &[("first", None), ("second", None)]).await;
    assert_eq!(record(&app, Some("first"), "1", "/a").await, Ok(false));
    app.stop.cancel();
    let database = TestDatabase { url: app.test_database.url.clone(), rung, folder: tempfile::tempdir().unwrap() };
    let named = serve(database, &[("first", Some("shop")), ("second", Some("blog")), ("new", Some("shop"))]).await;
    assert_eq!(record(&named, Some("first"), "1", "/a").await, Ok(true));
    assert_eq!(record(&named, Some("first"), "1", "/b").await, Ok(false), "under its name the key is new");
    assert_eq!(record(&named, Some("second"), "1", "/a").await, Ok(false), "it was another token's");
    assert_eq!(record(&named, Some("new"), "1", "/b").await, Ok(true), "one name is one client");
    assert_eq!(named.counts().await.values().sum::<i64>(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn naming_a_token_keeps_its_idempotency_keys_on_sqlite() {
    naming_a_token_keeps_its_idempotency_keys(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn naming_a_token_keeps_its_idempotency_keys_on_postgres() {
    naming_a_token_keeps_its_idempotency_keys(Rung::Table).await;
}

/// Retries across the upgrade, of each kind of client: before it all clients shared one space of keys.
async fn key_from_before_the_upgrade_counts_once(rung: Rung) {
    let database = upgrades::restore(rung).await;
    process::succeed(&database, &["migrate", "up"]);
    let app = serve(database, &TOKENS).await;
    let before = app.counts().await;
    for (key, increments) in upgrades::RECORDED {
        let increments: Value = serde_json::from_str(increments).unwrap();
        for caller in [Some("old"), Some("rotated"), Some("first"), None] {
            for mutation in RECORD {
                let answer = send(&app, caller, mutation, key, &increments).await;
                assert_eq!(outcome(&answer), Ok(true), "{caller:?} {key}: {answer}");
            }
        }
    }
    assert_eq!(app.counts().await, before);
    // With other increments it is another request.
    assert_eq!(record(&app, Some("blog"), "first", "/other").await, Ok(false));
    assert_eq!(record(&app, Some("blog"), "first", "/other").await, Ok(true));
    let log = format!("{}/access.log", upgrades::FOLDER);
    let again = process::succeed(&app.test_database, &["import", "--include-bots", &log]);
    assert!(again.contains("imported before"), "{again}");
    assert_eq!(app.counts().await.values().sum::<i64>(), before.values().sum::<i64>() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_from_before_the_upgrade_counts_once_on_sqlite() {
    key_from_before_the_upgrade_counts_once(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_from_before_the_upgrade_counts_once_on_postgres() {
    key_from_before_the_upgrade_counts_once(Rung::Table).await;
}

/// The downgrade keeps one of equal keys; after the upgrade it counts for every client.
async fn downgrade_keeps_one_of_equal_keys(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    database.migrate().await.close().await.unwrap();
    let app = serve(database, &TOKENS).await;
    for caller in [Some("old"), Some("blog"), None] {
        assert_eq!(record(&app, caller, "1", "/a").await, Ok(false));
    }
    // Down to before the clients had keys of their own.
    while process::succeed(&app.test_database, &["migrate", "status"]).contains("applied m20261126_000005_clients") {
        process::succeed(&app.test_database, &["migrate", "down"]);
    }
    process::succeed(&app.test_database, &["migrate", "up"]);
    for caller in [Some("old"), Some("blog"), Some("second"), None] {
        assert_eq!(record(&app, caller, "1", "/a").await, Ok(true), "{caller:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downgrade_keeps_one_of_equal_keys_on_sqlite() {
    downgrade_keeps_one_of_equal_keys(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downgrade_keeps_one_of_equal_keys_on_postgres() {
    downgrade_keeps_one_of_equal_keys(Rung::Table).await;
}
