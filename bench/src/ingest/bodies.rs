//! What clients send: increments of pages that are viewed as pages are, a few very often.

use std::sync::Arc;

use hyper::body::Bytes;
use rand::{SeedableRng, distr::Distribution, rngs::StdRng};
use rand_distr::Zipf;
use serde_json::json;

/// How many pages there are.
pub(super) const PAGES: f64 = 10_000.0;
/// Zipf's exponent, as the popularity of web pages has it.
pub(super) const EXPONENT: f64 = 1.0;
/// How many increments are drawn; requests take them by turns.
const INCREMENTS: usize = 640_000;
/// In how many requests at most.
const REQUESTS_MAX: usize = 50_000;
/// The same increments in every run.
const SEED: u64 = 42;

const QUERY: &str =
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt duplicate } }";

/// Requests of `batch` increments each.
pub(crate) fn bodies(batch: usize) -> Arc<[Bytes]> {
    let mut pages = pages();
    let body = |_| {
        let increments: Vec<_> = pages.by_ref().take(batch).map(|page| json!({ "page": page, "views": 1 })).collect();
        let body = json!({ "query": QUERY, "variables": { "input": { "increments": increments } } });
        Bytes::from(body.to_string())
    };
    (0..INCREMENTS.div_euclid(batch).min(REQUESTS_MAX)).map(body).collect()
}

/// Names of pages, without end.
pub(crate) fn pages() -> Box<dyn Iterator<Item = String> + Send> {
    match Zipf::new(PAGES, EXPONENT) {
        Ok(zipf) => Box::new(zipf.sample_iter(StdRng::seed_from_u64(SEED)).map(|page| format!("/page/{page:05.0}"))),
        // The parameters are constants, and valid.
        Err(_) => Box::new(std::iter::empty()),
    }
}
