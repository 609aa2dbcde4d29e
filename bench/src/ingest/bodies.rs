//! What clients send: increments of pages that are viewed as pages are, a few very often.

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
/// The same increments in every run.
const SEED: u64 = 42;

const QUERY: &str =
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt duplicate } }";

/// Requests of the same number of increments.
#[derive(Debug)]
pub(super) struct Bodies {
    bodies: Vec<Bytes>,
    pub(super) batch: usize,
}

impl Bodies {
    pub(super) fn new(batch: usize) -> Self {
        let mut pages = pages();
        let body = |_| {
            let increments: Vec<_> =
                pages.by_ref().take(batch).map(|page| json!({ "page": page, "views": 1 })).collect();
            let body = json!({ "query": QUERY, "variables": { "input": { "increments": increments } } });
            Bytes::from(body.to_string())
        };
        Self { bodies: (0..INCREMENTS.div_euclid(batch).min(50_000)).map(body).collect(), batch }
    }

    /// The `index`th of them, again and again.
    pub(super) fn get(&self, index: usize) -> Bytes {
        self.bodies[index % self.bodies.len()].clone()
    }
}

/// Names of pages, without end.
pub(super) fn pages() -> Box<dyn Iterator<Item = String> + Send> {
    match Zipf::new(PAGES, EXPONENT) {
        Ok(zipf) => Box::new(zipf.sample_iter(StdRng::seed_from_u64(SEED)).map(|page| format!("/page/{page:05.0}"))),
        // The parameters are constants, and valid.
        Err(_) => Box::new(std::iter::empty()),
    }
}
