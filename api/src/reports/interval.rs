//! Intervals of whole hours, and their buckets, cut in the caller's zone.

use std::{iter, mem};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::UTC;
use entity::Hour;

use super::{
    calendar::{Calendar, add_days, add_months, first_of_month},
    period::Range,
};

/// A series has at most this many points.
const POINTS_MAX: usize = 10_000;

/// The size of a series' buckets, cut in the caller's zone. Weeks begin on Monday.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// One hour.
    Hour,
    /// Midnight to midnight.
    Day,
    /// Monday to Monday.
    Week,
    /// A calendar month.
    Month,
}

/// Whole hours in UTC, from `start` up to and without `end`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// The first hour.
    pub start: Hour,
    /// The hour after the last one.
    pub end: Hour,
    /// Whether the interval that was asked for begins and ends where the report can be cut: at whole hours of UTC,
    /// and at whole days where hours were dropped.
    pub exact: bool,
}

/// One point of a series.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its first hour.
    pub start: Hour,
    /// The hour after its last one.
    pub end: Hour,
    /// What the calendar calls its start.
    pub local_start: NaiveDateTime,
    /// The sum of its views.
    pub views: i64,
    /// Whether it is all of its day, week or month: not cut by the interval's ends.
    pub whole: bool,
}

/// Why there is no such interval or series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// The range is turned around.
    #[error("filter.interval.range.end must not be before filter.interval.range.start")]
    Reversed,
    /// Dates of other years are not comparable as texts, which is how SQLite keeps them.
    #[error("filter.interval.range.{bound} must lie in the years {first} to {last}")]
    Year {
        /// `start` or `end`.
        bound: &'static str,
        /// The first year there is.
        first: i32,
        /// The last one.
        last: i32,
    },
    /// A series of it would be too long.
    #[error("series.granularity: of {hours} hours there would be more than {POINTS_MAX} points; choose a coarser one")]
    TooManyPoints {
        /// The interval's length.
        hours: i32,
    },
}

impl Interval {
    /// Returns the hours from `start` up to `end`, both cut at the hour below.
    ///
    /// # Errors
    /// Those of [`Range::new`].
    pub fn of_range(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, IntervalError> {
        Range::new(start, end).map(|range| range.interval(Calendar::new(UTC, None)))
    }

    /// Returns the hours from `start` up to `end`; none when it ends before it starts.
    pub(super) fn of_hours(start: Hour, end: Hour, exact: bool) -> Self {
        Self { start, end: end.max(start), exact }
    }

    /// Returns whether there is no hour in it.
    pub(super) fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Returns its buckets of `granularity` in the order of time, without views. The first and the last one are cut at the
    /// interval's ends.
    ///
    /// # Errors
    /// [`IntervalError::TooManyPoints`].
    pub(super) fn buckets(self, granularity: Granularity, calendar: Calendar) -> Result<Vec<Bucket>, IntervalError> {
        let mut buckets = Vec::with_capacity(self.points(granularity, calendar)?);
        for (start, cut) in self.cuts(granularity, calendar) {
            let end = cut.min(self.end);
            let begins = start != self.start || begins_bucket(granularity, calendar, start);
            let local_start = calendar.local(start);
            buckets.push(Bucket { start, end, local_start, views: 0, whole: begins && end == cut });
        }
        Ok(buckets)
    }

    /// Returns how many buckets of `granularity` it has.
    ///
    /// # Errors
    /// [`IntervalError::TooManyPoints`].
    pub fn points(self, granularity: Granularity, calendar: Calendar) -> Result<usize, IntervalError> {
        let points = self.cuts(granularity, calendar).take(POINTS_MAX + 1).count();
        if points > POINTS_MAX {
            return Err(IntervalError::TooManyPoints { hours: self.end.since(self.start) });
        }
        Ok(points)
    }

    /// Returns the start of each bucket, and the end that the calendar gives it, which may be behind the interval's.
    fn cuts(self, granularity: Granularity, calendar: Calendar) -> impl Iterator<Item = (Hour, Hour)> {
        let mut hour = self.start;
        let mut day = first_day(granularity, calendar.date(self.start));
        let mut next = move || match granularity {
            Granularity::Hour => {
                hour = hour.plus(1);
                calendar.floor(hour)
            }
            Granularity::Day | Granularity::Week | Granularity::Month => {
                day = next_day(granularity, day);
                calendar.day_start(day)
            }
        };
        let mut start = self.start;
        iter::from_fn(move || {
            while start < self.end {
                let cut = next();
                // Two are the same where the zone skipped the day between them, or where hours were dropped.
                if cut > start {
                    return Some((mem::replace(&mut start, cut.min(self.end)), cut));
                }
            }
            None
        })
    }
}

impl Bucket {
    /// Returns whether it was over when the Wolf looked last, so that all of it is counted.
    #[must_use]
    pub fn is_complete(&self, looked_at: Option<DateTime<Utc>>) -> bool {
        looked_at.is_some_and(|looked_at| self.end.start() <= looked_at)
    }
}

/// Returns whether a bucket of `granularity` begins with `hour`.
fn begins_bucket(granularity: Granularity, calendar: Calendar, hour: Hour) -> bool {
    granularity == Granularity::Hour || calendar.day_start(first_day(granularity, calendar.date(hour))) == hour
}

fn first_day(granularity: Granularity, day: NaiveDate) -> NaiveDate {
    match granularity {
        Granularity::Hour | Granularity::Day => day,
        Granularity::Week => day.week(chrono::Weekday::Mon).checked_first_day().unwrap_or(day),
        Granularity::Month => first_of_month(day),
    }
}

fn next_day(granularity: Granularity, day: NaiveDate) -> NaiveDate {
    match granularity {
        Granularity::Hour | Granularity::Day => add_days(day, 1),
        Granularity::Week => add_days(day, 7),
        Granularity::Month => add_months(day, 1),
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn range(start: &str, end: &str, calendar: Calendar) -> Interval {
        Range::new(at(start), at(end)).unwrap().interval(calendar)
    }

    fn starts(interval: Interval, granularity: Granularity, calendar: Calendar) -> Vec<String> {
        let buckets = interval.buckets(granularity, calendar).unwrap();
        assert_eq!(buckets.last().map(|bucket| bucket.end), Some(interval.end));
        buckets.iter().map(|bucket| bucket.start.start().format("%m-%dT%H").to_string()).collect()
    }

    #[test]
    fn buckets_fill_the_interval() {
        let [utc, berlin] = [UTC, Berlin].map(|zone| Calendar::new(zone, None));
        let interval = range("2026-03-27T22:00:00Z", "2026-04-08T06:00:00Z", utc);
        assert_eq!(starts(interval, Granularity::Week, utc), ["03-27T22", "03-30T00", "04-06T00"]);
        assert_eq!(starts(interval, Granularity::Month, utc), ["03-27T22", "04-01T00"]);
        // Berlin's midnight moves from 23:00 to 22:00 in UTC.
        assert_eq!(starts(interval, Granularity::Day, berlin)[..4], ["03-27T22", "03-27T23", "03-28T23", "03-29T22"]);
        assert_eq!(starts(interval, Granularity::Hour, utc).len(), 11 * 24 + 8);
    }

    #[test]
    fn where_hours_were_dropped_days_are_whole() {
        let calendar = Calendar::new(Berlin, Some("2026-04-01".parse().unwrap()));
        // Berlin's midnights, of which the first one is that of 30 March in UTC.
        let interval = range("2026-03-29T22:00:00Z", "2026-04-02T22:00:00Z", calendar);
        let expected = (at("2026-03-30T00:00:00Z"), at("2026-04-02T22:00:00Z"), false);
        assert_eq!((interval.start.start(), interval.end.start(), interval.exact), expected);
        assert_eq!(starts(interval, Granularity::Day, calendar), ["03-30T00", "03-31T00", "04-01T00", "04-01T22"]);
        assert_eq!(
            starts(interval, Granularity::Hour, calendar)[..4],
            ["03-30T00", "03-31T00", "04-01T00", "04-01T01"]
        );
        assert!(range("2026-04-01T05:00:00Z", "2026-04-02T22:00:00Z", calendar).exact);
    }

    #[test]
    fn a_series_is_bounded() {
        let utc = Calendar::new(UTC, None);
        let long = range("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z", utc);
        assert!(matches!(long.buckets(Granularity::Hour, utc), Err(IntervalError::TooManyPoints { .. })));
        assert!(long.buckets(Granularity::Day, utc).is_ok());
        let endless = range("0001-01-01T00:00:00Z", "9999-12-31T23:00:00Z", utc);
        for granularity in [Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month] {
            assert!(endless.buckets(granularity, utc).is_err());
        }
    }
}
