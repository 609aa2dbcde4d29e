//! Detects wall clocks that were set back.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// How far a clock may be behind the elapsed time: two readings are never of exactly one moment.
const BEHIND_MAX: TimeDelta = TimeDelta::seconds(1);
/// One part in so many of the elapsed time that a clock may lose besides. Corrections slow a clock down by at most 500
/// millionths (adjtimex(2)).
const BEHIND_MAX_PART: i32 = 1_000;

/// Returns by how much a clock went back that showed `last` and shows `now` after the time `passed`. Returns `None` for
/// one that only runs slowly.
pub(crate) fn went_back(last: DateTime<Utc>, passed: TimeDelta, now: DateTime<Utc>) -> Option<TimeDelta> {
    let back = last + passed - now;
    (back > BEHIND_MAX + passed / BEHIND_MAX_PART).then_some(back)
}

/// Watches a wall clock for steps back.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    wall: DateTime<Utc>,
    monotonic: Instant,
}

impl ClockWatch {
    /// Begins with the present times of the wall clock and of the monotonic clock.
    pub(crate) fn new(wall: DateTime<Utc>, monotonic: Instant) -> Self {
        Self { wall, monotonic }
    }

    /// Returns by how much the wall clock went back since the last check.
    pub(crate) fn check(&mut self, wall: DateTime<Utc>, monotonic: Instant) -> Option<TimeDelta> {
        let last = std::mem::replace(self, Self { wall, monotonic });
        let passed = monotonic.saturating_duration_since(last.monotonic);
        went_back(last.wall, TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX), wall)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clock_that_went_back_is_reported_once_with_the_amount() {
        let (wall, monotonic) = (DateTime::UNIX_EPOCH + TimeDelta::days(20_000), Instant::now());
        let mut watch = ClockWatch::new(wall, monotonic);
        let later =
            |seconds: i64, passed| (wall + TimeDelta::seconds(seconds), monotonic + Duration::from_secs(passed));
        for (seconds, passed, back) in [
            (10, 10, None),
            // Set back by a minute.
            (-40, 20, Some(60)),
            (-30, 30, None),
            // Set forward, and back again.
            (90_000, 40, None),
            (-10, 50, Some(90_020)),
            // A little less than the error of a reading.
            (-1, 60, None),
            // Slowed down for a day, as much as corrections do.
            (86_339, 86_460, None),
            // More than that.
            (86_339 + 86_200, 86_460 + 86_400, Some(200)),
        ] {
            let (wall, monotonic) = later(seconds, passed);
            assert_eq!(watch.check(wall, monotonic), back.map(TimeDelta::seconds), "{seconds} s after {passed} s");
        }
    }
}
