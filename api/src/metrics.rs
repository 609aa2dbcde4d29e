//! The metrics of operations, errors and subscribers. Without an installed metrics recorder nothing is measured.

use std::time::Instant;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tracing::{Instrument, debug_span};

const OPERATION_DURATION: &str = "analytics_operation_duration_seconds";
const NOT_MODIFIED: &str = "analytics_not_modified_total";
const RESPONSE_CACHE_HITS: &str = "analytics_response_cache_hits_total";
const RESPONSE_CACHE_BYTES: &str = "analytics_response_cache_bytes";
const ERRORS: &str = "analytics_errors_total";
const RATE_LIMITED: &str = "analytics_rate_limited_total";
const TOKENS_FILE_READS: &str = "analytics_tokens_file_reads_total";
const VIEWS_LEFT_OUT: &str = "analytics_views_left_out_total";
const LIVE_REPORT_EVENTS: &str = "analytics_live_report_events_total";
const SUBSCRIBERS: &str = "analytics_subscribers";

/// The histograms, each with the upper bounds of its buckets.
pub const HISTOGRAMS: [(&str, &[f64]); 1] = [(OPERATION_DURATION, &storage::DURATION_BUCKETS)];

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

/// How many events of live reports there were.
#[derive(Clone, Debug)]
pub(crate) struct LiveReportEvents {
    pub(crate) carried: Counter,
    pub(crate) executed: Counter,
}

impl LiveReportEvents {
    pub(crate) fn new() -> Self {
        describe_counter!(
            LIVE_REPORT_EVENTS,
            "Events of live reports: carried over from the one before where nothing but the freshness had changed, or executed."
        );
        let counter = |way: &'static str| counter!(LIVE_REPORT_EVENTS, "way" => way);
        Self { carried: counter("carried"), executed: counter("executed") }
    }
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
        rate_limited().increment(0);
        describe_counter!(
            TOKENS_FILE_READS,
            "Changes of the file of tokens that were put into force or refused. After a refusal the older tokens stay."
        );
        for outcome in ["applied", "refused"] {
            tokens_file_reads(outcome).increment(0);
        }
        Self {
            queries: Executions::of("query"),
            mutations: Executions::of("mutation"),
            not_modified: counter!(NOT_MODIFIED),
            from_memory: counter!(RESPONSE_CACHE_HITS),
        }
    }
}

pub(crate) fn tokens_file_reads(outcome: &'static str) -> Counter {
    counter!(TOKENS_FILE_READS, "outcome" => outcome)
}

pub(crate) fn observe_response_cache(bytes: u64) {
    gauge!(RESPONSE_CACHE_BYTES).set(bytes as f64);
}

/// Returns the counter of the errors with this code.
pub(crate) fn errors(code: &'static str) -> Counter {
    counter!(ERRORS, "code" => code)
}

/// Returns the counter of requests, operations and mutations that a rate limit refused.
pub(crate) fn rate_limited() -> Counter {
    counter!(RATE_LIMITED)
}

/// Describes the metric of views that are left out.
pub(crate) fn describe_views_left_out() {
    describe_counter!(VIEWS_LEFT_OUT, "Views from browsers that were in order and are not counted, by the reason.");
}

/// Returns the counter of views from browsers that are left out for this reason.
pub(crate) fn views_left_out(reason: &'static str) -> Counter {
    counter!(VIEWS_LEFT_OUT, "reason" => reason)
}

pub(crate) fn observe_subscribers(sockets: usize, event_streams: usize) {
    gauge!(SUBSCRIBERS, "kind" => "socket").set(sockets as f64);
    gauge!(SUBSCRIBERS, "kind" => "event_stream").set(event_streams as f64);
}
