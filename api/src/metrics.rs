//! The metrics of this crate.
//!
//! Each part describes its metrics when it is created, so a process exposes the metrics of the parts that it has.
//! Gauges of existing figures are set only when the metrics are requested. Without an installed metrics recorder
//! nothing is measured.

use std::time::{Duration, Instant};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tracing::{Instrument, debug_span};

use crate::{freshness::Freshness, reports::CacheFigures, schema::Code};

const INCREMENTS_RECORDED: &str = "analytics_increments_recorded_total";
const VIEWS_RECORDED: &str = "analytics_views_recorded_total";
const COMMIT_INCREMENTS: &str = "analytics_commit_increments";
const COMMIT_DURATION: &str = "analytics_commit_duration_seconds";
const QUEUE: &str = "analytics_queue_increments";
const QUEUE_MAX: &str = "analytics_queue_max_increments";
const CACHE_REQUESTS: &str = "analytics_cache_requests_total";
const CACHE_BYTES: &str = "analytics_cache_bytes";
const REPORT_AGE: &str = "analytics_report_age_seconds";
const REPORT_AS_OF: &str = "analytics_report_as_of_timestamp_seconds";
const OPERATION_DURATION: &str = "analytics_operation_duration_seconds";
const NOT_MODIFIED: &str = "analytics_not_modified_total";
const RESPONSE_CACHE_HITS: &str = "analytics_response_cache_hits_total";
const RESPONSE_CACHE_BYTES: &str = "analytics_response_cache_bytes";
const ERRORS: &str = "analytics_errors_total";
const RATE_LIMITED: &str = "analytics_rate_limited_total";
const SUBSCRIBERS: &str = "analytics_subscribers";

/// The histograms, each with the upper bounds of its buckets.
pub const HISTOGRAMS: [(&str, &[f64]); 3] = [
    (COMMIT_INCREMENTS, &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 60_000.0]),
    (COMMIT_DURATION, &SECONDS),
    (OPERATION_DURATION, &SECONDS),
];

/// The upper bounds of the buckets of durations, in seconds: from cached responses to ones that no client waits for.
const SECONDS: [f64; 14] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The metrics of recording, updated once per commit.
#[derive(Debug)]
pub(crate) struct Commits {
    increments: Counter,
    views: Counter,
    sizes: Histogram,
    committed: Histogram,
    failed: Histogram,
}

impl Commits {
    pub(crate) fn new() -> Self {
        describe_counter!(
            INCREMENTS_RECORDED,
            "Increments that were committed. What a retry sends again is not counted again."
        );
        describe_counter!(VIEWS_RECORDED, "Views of these increments.");
        describe_histogram!(COMMIT_INCREMENTS, "Increments that were committed together.");
        describe_histogram!(COMMIT_DURATION, "Time of a commit, with its tries.");
        describe_gauge!(QUEUE, "Increments that are accepted and not committed yet.");
        describe_gauge!(QUEUE_MAX, "So many increments may be in the queue; more are refused.");
        Self {
            increments: counter!(INCREMENTS_RECORDED),
            views: counter!(VIEWS_RECORDED),
            sizes: histogram!(COMMIT_INCREMENTS),
            committed: histogram!(COMMIT_DURATION, "outcome" => "committed"),
            failed: histogram!(COMMIT_DURATION, "outcome" => "failed"),
        }
    }

    /// Records a commit of `size` increments, of which `increments` were new, with `views` views in sum.
    pub(crate) fn committed(&self, size: usize, increments: usize, views: i64, took: Duration) {
        self.increments.increment(u64::try_from(increments).unwrap_or_default());
        self.views.increment(u64::try_from(views).unwrap_or_default());
        self.sizes.record(size as f64);
        self.committed.record(took);
    }

    /// Records the time of a commit that failed.
    pub(crate) fn failed(&self, took: Duration) {
        self.failed.record(took);
    }
}

/// Sets the gauges of the increments that wait to be recorded, and of the most that may wait.
pub(crate) fn observe_queue(waiting: usize, capacity: usize) {
    gauge!(QUEUE).set(waiting as f64);
    gauge!(QUEUE_MAX).set(capacity as f64);
}

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

pub(crate) fn describe_freshness() {
    describe_gauge!(REPORT_AGE, "How long ago the report was current; NaN before the first refresh.");
    describe_gauge!(
        REPORT_AS_OF,
        "The asOf of the report, in seconds since 1970; ahead of the clock after one went back, and NaN before the first refresh."
    );
}

/// Sets the gauges of the report's age and time; NaN without a known refresh.
pub(crate) fn observe_freshness(known: Option<&Freshness>) {
    let staleness = known.and_then(|known| known.staleness(Instant::now()));
    let age = staleness.and_then(|staleness| staleness.to_std().ok());
    gauge!(REPORT_AGE).set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    let as_of = known.and_then(|known| known.as_of);
    gauge!(REPORT_AS_OF).set(as_of.map_or(f64::NAN, |as_of| as_of.timestamp_micros() as f64 / 1e6));
}

/// The metrics of the operations that clients send.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) queries: Executions,
    pub(crate) mutations: Executions,
    pub(crate) not_modified: Counter,
    pub(crate) from_memory: Counter,
}

/// The durations of operations of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Executions {
    kind: &'static str,
    durations: Histogram,
}

impl Executions {
    fn of(kind: &'static str) -> Self {
        Self { kind, durations: histogram!(OPERATION_DURATION, "kind" => kind) }
    }

    /// Runs `execution` in a span and records its duration.
    pub(crate) async fn measure<T>(&self, execution: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = execution.instrument(debug_span!("operation", operation.kind = self.kind)).await;
        self.durations.record(begun.elapsed());
        answer
    }
}

impl Operations {
    pub(crate) fn new() -> Self {
        describe_histogram!(
            OPERATION_DURATION,
            "Time from when a query or mutation was read to when its answer was there."
        );
        describe_counter!(NOT_MODIFIED, "Queries answered by 304: the client had the answer already.");
        describe_counter!(RESPONSE_CACHE_HITS, "Queries answered by a whole answer that was in memory.");
        describe_gauge!(RESPONSE_CACHE_BYTES, "Memory that whole answers take, about.");
        describe_counter!(
            ERRORS,
            "Errors that were answered, by their code. What many subscribers are told at once counts once."
        );
        describe_counter!(
            RATE_LIMITED,
            "Requests, operations and mutations of tokens and addresses that sent too many, or too many increments."
        );
        describe_gauge!(SUBSCRIBERS, "Sockets and event streams that are open.");
        for code in Code::ALL {
            errors(code).increment(0);
        }
        rate_limited().increment(0);
        Self {
            queries: Executions::of("query"),
            mutations: Executions::of("mutation"),
            not_modified: counter!(NOT_MODIFIED),
            from_memory: counter!(RESPONSE_CACHE_HITS),
        }
    }
}

pub(crate) fn observe_response_cache(bytes: u64) {
    gauge!(RESPONSE_CACHE_BYTES).set(bytes as f64);
}

/// Returns the counter of the errors with this code.
pub(crate) fn errors(code: Code) -> Counter {
    counter!(ERRORS, "code" => code.as_str())
}

/// Returns the counter of requests, operations and mutations that a rate limit refused.
pub(crate) fn rate_limited() -> Counter {
    counter!(RATE_LIMITED)
}

pub(crate) fn observe_subscribers(sockets: usize, event_streams: usize) {
    gauge!(SUBSCRIBERS, "kind" => "socket").set(sockets as f64);
    gauge!(SUBSCRIBERS, "kind" => "event_stream").set(event_streams as f64);
}
