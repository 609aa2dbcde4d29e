//! What clients send: increments of pages that are viewed as pages are, a few very often.

use std::sync::Arc;

use chrono::TimeDelta;
use hyper::body::Bytes;
use rand::{SeedableRng, distr::Distribution, rngs::StdRng, seq::SliceRandom};
use rand_distr::Zipf;
use serde_json::{Value, json};
use storage::clock;

/// How many pages there are.
pub(super) const PAGES: f64 = 10_000.0;
/// Zipf's exponent, as the popularity of web pages has it.
pub(super) const EXPONENT: f64 = 1.0;
/// How many increments are drawn; requests take them by turns.
pub(super) const INCREMENTS: usize = 640_000;
/// In how many requests at most.
const REQUESTS_MAX: usize = 50_000;
/// How many pages are new, and on how many days each of them is viewed.
pub(super) const NEW_PAGES: usize = 1_000_000;
pub(super) const NEW_DAYS: i64 = 3;
/// The same increments in every run.
const SEED: u64 = 42;

const QUERY: &str =
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt duplicate } }";

/// Requests of `batch` increments each.
pub(crate) fn bodies(batch: usize) -> Arc<[Bytes]> {
    let mut pages = pages();
    let body_of_pages = |_| body(pages.by_ref().take(batch).map(|page| json!({ "page": page, "views": 1 })).collect());
    (0..INCREMENTS.div_euclid(batch).min(REQUESTS_MAX)).map(body_of_pages).collect()
}

/// Requests of `batch` increments each: every one of so many new pages once a day, in another order each day.
pub(super) fn new_names(batch: usize) -> Arc<[Bytes]> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut pages: Vec<usize> = (0..NEW_PAGES).collect();
    let mut requests = Vec::new();
    for days_ago in (0..NEW_DAYS).rev() {
        pages.shuffle(&mut random);
        let at = clock::process_now() - TimeDelta::days(days_ago);
        let increment = |page: &usize| json!({ "page": format!("/new/{page:07}"), "views": 1, "at": at });
        requests.extend(pages.chunks(batch).map(|pages| body(pages.iter().map(increment).collect())));
    }
    requests.into()
}

fn body(increments: Vec<Value>) -> Bytes {
    let body = json!({ "query": QUERY, "variables": { "input": { "increments": increments } } });
    Bytes::from(body.to_string())
}

/// Names of pages, without end.
pub(crate) fn pages() -> Box<dyn Iterator<Item = String> + Send> {
    match Zipf::new(PAGES, EXPONENT) {
        Ok(zipf) => Box::new(zipf.sample_iter(StdRng::seed_from_u64(SEED)).map(|page| format!("/page/{page:05.0}"))),
        // The parameters are constants, and valid.
        Err(_) => Box::new(std::iter::empty()),
    }
}
