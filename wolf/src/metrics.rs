//! Metrics of refreshes, by the `metrics` facade: without an installed recorder nothing is measured.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use sea_orm::{ConnectionTrait, Statement};
use storage::{Connections, Database};
use tokio::{sync::Mutex, time::timeout};
use tracing::warn;

use crate::refresh::marked_hours;

const REFRESH_DURATION: &str = "analytics_refresh_duration_seconds";
const ROWS_CHANGED: &str = "analytics_report_rows_changed_total";
const STALE_HOURS: &str = "analytics_stale_hour_backlog";

/// Each histogram with the upper bounds of its buckets, in seconds: a refresh without stale hours takes milliseconds, one
/// of a large view minutes.
pub const HISTOGRAMS: [(&str, &[f64]); 1] = [(
    REFRESH_DURATION,
    &[0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0],
)];

/// How long to wait for the database.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The shortest time between two queries, however often the metrics are read.
const PAUSE: Duration = Duration::from_secs(1);

/// The metrics of refreshes.
#[derive(Clone, Debug)]
pub(crate) struct RefreshMetrics {
    succeeded: Histogram,
    failed: Histogram,
    rows_changed: Counter,
}

impl RefreshMetrics {
    pub(crate) fn new() -> Self {
        describe_histogram!(
            REFRESH_DURATION,
            "Time of a refresh. Standing by while another process refreshes does not count."
        );
        describe_counter!(ROWS_CHANGED, "Rows of the report that refreshes changed.");
        Self {
            succeeded: histogram!(REFRESH_DURATION, "outcome" => "succeeded"),
            failed: histogram!(REFRESH_DURATION, "outcome" => "failed"),
            rows_changed: counter!(ROWS_CHANGED),
        }
    }

    pub(crate) fn succeeded(&self, rows_changed: i64, took: Duration) {
        self.rows_changed.increment(u64::try_from(rows_changed).unwrap_or_default());
        self.succeeded.record(took);
    }

    pub(crate) fn failed(&self, took: Duration) {
        self.failed.record(took);
    }
}

/// The gauge of stale hours.
#[derive(Debug)]
pub struct StaleHours {
    db: Connections,
    gauge: Gauge,
    counted_at: Mutex<Option<Instant>>,
}

impl StaleHours {
    /// Creates the gauge for `database`. The query that counts them waits for no refresh.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        describe_gauge!(
            STALE_HOURS,
            "Hours that have counts which are not in the report yet; NaN while the database does not say."
        );
        Self { db: database.readers.clone(), gauge: gauge!(STALE_HOURS), counted_at: Mutex::default() }
    }

    /// Counts the stale hours and sets the gauge, at most once a second and within two seconds.
    pub async fn observe(&self) {
        let mut counted_at = self.counted_at.lock().await;
        if counted_at.is_some_and(|counted_at| counted_at.elapsed() < PAUSE) {
            return;
        }
        let backend = self.db.get_database_backend();
        let sql = format!("SELECT count(*) FROM ({}) AS stale", marked_hours(backend));
        let hours = async {
            let row = self.db.query_one_raw(Statement::from_string(backend, sql)).await?;
            row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))
        };
        let hours = match timeout(ANSWER_MAX, hours).await {
            Ok(Ok(hours)) => hours as f64,
            Ok(Err(error)) => {
                warn!(error = &error as &dyn Error, "the stale hours can't be counted");
                f64::NAN
            }
            Err(_elapsed) => {
                warn!("the stale hours can't be counted: the database does not answer");
                f64::NAN
            }
        };
        self.gauge.set(hours);
        *counted_at = Some(Instant::now());
    }
}
