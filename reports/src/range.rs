//! Requested ranges: from one instant to another.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::UTC;

use super::{
    calendar::Calendar,
    interval::{Interval, IntervalError},
};

/// The years that a range may begin and end in.
const YEARS: RangeInclusive<i32> = 1..=9_999;

/// The time from one instant to another, both in the years 1 to 9999, which both databases support.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Range {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Range {
    /// Returns the range from `start` to `end`.
    ///
    /// # Errors
    /// [`IntervalError::Reversed`] when `end` is before `start`, [`IntervalError::Year`] outside of the years 1 to
    /// 9999.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, IntervalError> {
        for (bound, at) in [("start", start), ("end", end)] {
            if !YEARS.contains(&at.year()) {
                return Err(IntervalError::Year { bound, first: *YEARS.start(), last: *YEARS.end() });
            }
        }
        if end < start { Err(IntervalError::Reversed) } else { Ok(Self { start, end }) }
    }

    /// Returns the hours of the range, with both ends floored to whole hours of local time.
    #[must_use]
    pub fn interval(self, calendar: Calendar) -> Interval {
        let [start, end] = [self.start, self.end].map(|bound| calendar.cut(bound));
        Interval::of_hours(start, end, start.start() == self.start && end.start() == self.end)
    }
}

impl Interval {
    /// Returns the hours from `start` to `end`, both rounded down to whole hours.
    ///
    /// # Errors
    /// Those of [`Range::new`].
    pub fn of_range(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, IntervalError> {
        Range::new(start, end).map(|range| range.interval(Calendar::new(UTC, None)))
    }
}
