//! The metrics of recording. Without an installed metrics recorder nothing is measured.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const INCREMENTS_RECORDED: &str = "analytics_increments_recorded_total";
const VIEWS_RECORDED: &str = "analytics_views_recorded_total";
const COMMIT_INCREMENTS: &str = "analytics_commit_increments";
const COMMIT_DURATION: &str = "analytics_commit_duration_seconds";
const QUEUE: &str = "analytics_queue_increments";
const QUEUE_MAX: &str = "analytics_queue_max_increments";

/// The histograms, each with the upper bounds of its buckets: numbers of increments, and durations in seconds.
pub const HISTOGRAMS: [(&str, &[f64]); 2] = [
    (COMMIT_INCREMENTS, &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 60_000.0]),
    (COMMIT_DURATION, &storage::DURATION_BUCKETS),
];

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
