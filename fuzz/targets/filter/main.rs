//! Any filter, as variables and in a document, against the real service on an SQLite file: never a panic, no error
//! without a code or with one that blames the server, and no figure that the counts do not have.
//!
//! The first byte chooses the form of the rest:
//!
//! | byte | the rest |
//! |---|---|
//! | `b` | the body of a POST |
//! | `q`, `g`, `s` | a document, sent by POST, by GET, and for a stream of events |
//! | `v` | the variables of [`service::REPORT`], in JSON |
//! | any other | the choices from which [`choice::variables`] makes variables, mostly valid ones |
#![no_main]

mod choice;
mod model;
mod service;

use axum::http::StatusCode;
use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use serde_json::{Value, json};
use service::{REPORT, Service};

/// What a query asked for may come with a later refresh.
const NOT_FRESH_ENOUGH: &str = "NOT_FRESH_ENOUGH";
/// Errors that a client can cause.
const CODES: [&str; 8] = [
    "BAD_USER_INPUT",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "PAYLOAD_TOO_LARGE",
    "ANSWER_TOO_LARGE",
    NOT_FRESH_ENOUGH,
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let service = Service::get();
    let text = String::from_utf8_lossy(rest);
    match kind {
        b'b' => check(&service.post(rest.to_vec())),
        b'q' => check(&service.post(json!({ "query": text }).to_string())),
        b'g' => check(&service.get_by_address(&text)),
        b's' => check(&service.subscribe(json!({ "query": text }).to_string())),
        b'v' => match serde_json::from_str(&text) {
            Ok(variables) => report(service, &variables),
            // Not JSON; the byte `b` tries such bodies.
            Err(_wrong) => {}
        },
        _ => {
            if let Ok(variables) = choice::variables(&mut Unstructured::new(rest)) {
                report(service, &variables);
            }
        }
    }
});

/// Queries a whole report, and the pages after the listed ones.
fn report(service: &Service, variables: &Value) {
    let answer = ask(service, variables);
    let report = &answer.1["data"]["report"];
    if report.is_null() {
        return;
    }
    let pages = &variables["filter"]["pages"];
    model::check(&service.counts, pages, report);
    if variables["after"].is_null() {
        let listed = model::check_pages(&service.counts, pages, report, 0);
        if report["pages"]["pageInfo"]["hasNextPage"] == true && listed > 0 {
            let mut next = variables.clone();
            next["after"] = report["pages"]["pageInfo"]["endCursor"].clone();
            let (_, next) = ask(service, &next);
            // The clock moves on: at the end of an hour the second may be another interval.
            if next["data"]["report"]["interval"] == report["interval"] {
                model::check_pages(&service.counts, pages, &next["data"]["report"], listed);
            }
        }
    }
}

fn ask(service: &Service, variables: &Value) -> (StatusCode, Value) {
    let answer = service.post(json!({ "query": REPORT, "variables": variables }).to_string());
    check(&answer);
    answer
}

/// Checks that a response has data or errors, and that each error has a code that a client can cause.
fn check((status, answer): &(StatusCode, Value)) {
    assert!(!status.is_server_error(), "{status}: {answer}");
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_ne!(errors.is_empty(), answer["data"].is_null(), "data or errors: {answer}");
    for error in errors {
        let code = error["extensions"]["code"].as_str().unwrap_or("none");
        assert!(CODES.contains(&code), "{answer}");
        assert_eq!(error["extensions"]["retryable"], code == NOT_FRESH_ENOUGH, "{answer}");
    }
}
