//! The common form of the mutation takes a path past the general executor: both must respond alike.

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::{app::TestApp, on_all_databases};

/// How many inputs are drawn.
const INPUTS: usize = 400;

/// In the common form.
const PREPARED: &str = "mutation Record($input: RecordPageViewsInput!) { done: recordPageViews(input: $input) \
                        { increments views time: recordedAt duplicate __typename } }";
/// The same with a fragment, which takes the general path.
const GENERAL: &str = "mutation Record($input: RecordPageViewsInput!) { done: recordPageViews(input: $input) \
                       { ... on RecordPageViewsPayload { increments views time: recordedAt duplicate __typename } } }";

/// Inputs, right and wrong in every way that JSON allows.
fn input() -> impl Strategy<Value = Value> {
    let wrong = || {
        prop_oneof![
            Just(Value::Null),
            Just(json!(true)),
            Just(json!(1.0)),
            Just(json!(-1)),
            Just(json!(9_007_199_254_740_992_u64)),
            Just(json!("")),
            Just(json!("\u{0}")),
            Just(json!([])),
            Just(json!({})),
            Just(json!({ "page": "/x" })),
        ]
    };
    let or_wrong = move |right: BoxedStrategy<Value>| prop_oneof![30 => right, 1 => wrong()];
    let page = or_wrong("[/a-z\"\\\\é]{1,8}".prop_map(Value::from).boxed());
    let views = or_wrong((1..1_000_010_i64).prop_map(Value::from).boxed());
    let at = or_wrong(
        prop_oneof![
            20 => Just(json!("2026-02-26T20:00:00Z")),
            1 => Just(json!("2026-02-26T20:00:00.123456+05:30")),
            1 => Just(json!("2026-02-26 20:00:00Z")),
            1 => Just(json!("1999-12-31T23:59:59Z")),
            1 => Just(json!("2999-01-01T00:00:00Z")),
            1 => Just(json!("yesterday")),
        ]
        .boxed(),
    );
    let title = or_wrong("[a-z]{1,8}".prop_map(Value::from).boxed());
    let field =
        |name: &'static str, value: BoxedStrategy<Value>| proptest::option::of(value.prop_map(move |v| (name, v)));
    let increment = (
        prop_oneof![30 => page.clone().prop_map(|page| Some(("page", page))), 1 => Just(None)],
        field("views", views.boxed()),
        field("at", at.boxed()),
        field("title", title.boxed()),
        prop_oneof![50 => Just(None), 1 => Just(Some(("other", json!(1))))],
    );
    let increment = increment.prop_map(|(page, views, at, title, other)| {
        Value::Object(
            [page, views, at, title, other].into_iter().flatten().map(|(name, v)| (name.to_owned(), v)).collect(),
        )
    });
    let increments = or_wrong(vec(or_wrong(increment.boxed()), 0..4).prop_map(Value::from).boxed());
    let key = proptest::option::of(or_wrong("[a-c]{1,2}".prop_map(Value::from).boxed()));
    (increments, key, prop_oneof![50 => Just(None), 1 => Just(Some(json!(1)))]).prop_map(|(increments, key, other)| {
        let mut input = json!({ "increments": increments });
        if let Some(key) = key {
            input["idempotencyKey"] = key;
        }
        if let Some(other) = other {
            input["other"] = other;
        }
        input
    })
}

/// Executes `query`, and replaces the time in the response by whether it is well-formed.
async fn answer(app: &TestApp, query: &str, variables: &Value, accept: &str) -> (u16, Value) {
    let body = json!({ "query": query, "operationName": "Record", "variables": variables });
    let url = format!("http://{}/graphql", app.address);
    let response = app.client.post(url).header("accept", accept).json(&body).send().await.unwrap();
    let status = response.status().as_u16();
    let mut answer: Value = response.json().await.unwrap();
    if let Some(time) = answer.pointer_mut("/data/done/time") {
        let text = time.take();
        let is_time = text.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok();
        *time = json!([is_time, text.as_str().unwrap().ends_with("+00:00")]);
    }
    (status, answer)
}

on_all_databases! {
    async fn fast_path_responds_like_the_general_executor(app: TestApp) {
        let seed = [7; 32];
        let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let (mut recorded, mut refused, mut expected) = (0, 0, 0);
        for number in 0..INPUTS {
            let input = input().new_tree(&mut runner).unwrap().current();
            let accept = if number % 2 == 0 { "application/json" } else { "application/graphql-response+json" };
            let mut answers = Vec::new();
            for query in [PREPARED, GENERAL] {
                let mut input = input.clone();
                // A key of its own, so that each is the first.
                if let Some(Value::String(key)) = input.get_mut("idempotencyKey") && !key.contains('\u{0}') && !key.is_empty() {
                    *key = format!("{number} {}", answers.len());
                }
                answers.push(answer(&app, query, &json!({ "input": input }), accept).await);
            }
            assert_eq!(answers[0], answers[1], "{input}");
            match answers[0].1.pointer("/data/done/views").and_then(Value::as_i64) {
                Some(views) => {
                    recorded += 1;
                    expected += 2 * views;
                }
                None => refused += 1,
            }
        }
        assert!(recorded > 50 && refused > 50, "{recorded} were recorded, {refused} refused");
        assert_eq!(app.counts().await.values().sum::<i64>(), expected);
    }

    async fn fast_path_error_has_its_path(app: TestApp) {
        let variables = |page: &str| json!({ "input": { "increments": [{ "page": page }], "idempotencyKey": "key" } });
        answer(&app, PREPARED, &variables("/a"), "application/json").await;
        let prepared = answer(&app, PREPARED, &variables("/b"), "application/json").await;
        assert_eq!(prepared, answer(&app, GENERAL, &variables("/b"), "application/json").await);
        assert_eq!(prepared.1["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{prepared:?}");
        assert_eq!(prepared.1["errors"][0]["path"], json!(["done"]));
        assert_eq!(prepared.1["data"], Value::Null);
    }
}
