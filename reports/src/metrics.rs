//! The metrics of the cache. Without an installed metrics recorder nothing is measured.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::cache::CacheFigures;

const CACHE_REQUESTS: &str = "analytics_cache_requests_total";
const CACHE_BYTES: &str = "analytics_cache_bytes";

pub(crate) fn describe_cache() {
    describe_counter!(
        CACHE_REQUESTS,
        "Parts of reports that were asked for: a hit was in memory, a miss waited for a computation."
    );
    describe_gauge!(CACHE_BYTES, "Memory that kept parts of reports take, about.");
}

pub(crate) fn observe_cache(figures: CacheFigures) {
    counter!(CACHE_REQUESTS, "result" => "hit").absolute(figures.hits);
    counter!(CACHE_REQUESTS, "result" => "miss").absolute(figures.misses);
    gauge!(CACHE_BYTES).set(figures.bytes as f64);
}
