//! The metrics of the report's age. Without an installed metrics recorder nothing is measured.

use std::time::Instant;

use metrics::{describe_gauge, gauge};

use super::status::Freshness;

const REPORT_AGE: &str = "analytics_report_age_seconds";
const REPORT_AS_OF: &str = "analytics_report_as_of_timestamp_seconds";

pub(super) fn describe_freshness() {
    describe_gauge!(REPORT_AGE, "How long ago the report was current; NaN before the first refresh.");
    describe_gauge!(
        REPORT_AS_OF,
        "The asOf of the report, in seconds since 1970; ahead of the clock after one went back, and NaN before the first refresh."
    );
}

/// Sets the gauges of the report's age and time; NaN without a known refresh.
pub(super) fn observe_freshness(known: Option<&Freshness>) {
    let staleness = known.and_then(|known| known.staleness(Instant::now()));
    let age = staleness.and_then(|staleness| staleness.to_std().ok());
    gauge!(REPORT_AGE).set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    let as_of = known.and_then(|known| known.as_of);
    gauge!(REPORT_AS_OF).set(as_of.map_or(f64::NAN, |as_of| as_of.timestamp_micros() as f64 / 1e6));
}
