//! Intervals of whole hours, and their division into buckets in the caller's time zone.

use std::{iter, mem};

use chrono::{NaiveDate, NaiveDateTime};
use entity::Hour;

use super::calendar::{Calendar, add_days, add_months, first_of_month};

/// The most points of a series.
pub const POINTS_MAX: usize = 10_000;

/// The size of a series' buckets, in the caller's time zone.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// One hour.
    Hour,
    /// Midnight to midnight.
    Day,
    /// From the calendar's first day of a week to the next one.
    Week,
    /// A calendar month.
    Month,
}

/// A range of whole hours in UTC, from `start` to `end`, which is excluded.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// The first hour.
    pub start: Hour,
    /// The hour after the last one.
    pub end: Hour,
    /// Whether the requested interval begins and ends exactly at `start` and `end`, and was not floored to the report's
    /// resolution: whole hours of UTC, or whole days of UTC where hours were dropped for their age.
    pub exact: bool,
}

/// One point of a series.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The first hour.
    pub start: Hour,
    /// The hour after the last one.
    pub end: Hour,
    /// The local date and time of `start`.
    pub local_start: NaiveDateTime,
    /// The sum of the bucket's views.
    pub views: i64,
    /// Whether the bucket is a whole hour, day, week or month, and not cut by the interval's ends.
    pub whole: bool,
}

/// The error of an interval or series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// The range ends before it starts.
    #[error("filter.interval.range.end must not be before filter.interval.range.start")]
    Reversed,
    /// A bound lies outside of the supported years. SQLite compares dates as texts, which needs years of four digits.
    #[error("filter.interval.range.{bound} must lie in the years {first} to {last}")]
    Year {
        /// The name of the bound: `start` or `end`.
        bound: &'static str,
        /// The first supported year.
        first: i32,
        /// The last supported year.
        last: i32,
    },
    /// The series would have more than 10,000 points.
    #[error("series.granularity: of {hours} hours there would be more than {POINTS_MAX} points; choose a coarser one")]
    TooManyPoints {
        /// The interval's length in hours.
        hours: i32,
    },
}

impl Interval {
    /// Returns the hours from `start` to `end`; an empty interval when `end` is before `start`.
    pub(super) fn of_hours(start: Hour, end: Hour, exact: bool) -> Self {
        Self { start, end: end.max(start), exact }
    }

    /// Returns whether the interval has no hours.
    pub(super) fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Returns the interval's buckets in chronological order, with 0 views. The first and the last bucket are cut at
    /// the interval's ends.
    ///
    /// # Errors
    /// [`IntervalError::TooManyPoints`] when there would be more than 10,000.
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

    /// Returns the number of the interval's buckets.
    ///
    /// # Errors
    /// [`IntervalError::TooManyPoints`] when there would be more than 10,000.
    pub fn points(self, granularity: Granularity, calendar: Calendar) -> Result<usize, IntervalError> {
        let points = self.cuts(granularity, calendar).take(POINTS_MAX + 1).count();
        if points > POINTS_MAX {
            return Err(IntervalError::TooManyPoints { hours: self.end.since(self.start) });
        }
        Ok(points)
    }

    /// Returns the start of each bucket, and its end in the calendar, which may be after the interval's end.
    fn cuts(self, granularity: Granularity, calendar: Calendar) -> impl Iterator<Item = (Hour, Hour)> {
        let mut hour = self.start;
        let mut day = first_day(granularity, calendar, calendar.date(self.start));
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
                // Two boundaries are equal where the zone skipped the day between them, or where hours were dropped.
                if cut > start {
                    return Some((mem::replace(&mut start, cut.min(self.end)), cut));
                }
            }
            None
        })
    }
}

impl Bucket {
    /// Returns whether the bucket was over at the newest refresh, so that all of its views are counted, by the hour in which
    /// that looked.
    #[must_use]
    pub fn is_complete(&self, looked_at: Option<Hour>) -> bool {
        looked_at.is_some_and(|looked_at| self.end <= looked_at)
    }
}

/// Returns whether a bucket of `granularity` begins with `hour`.
fn begins_bucket(granularity: Granularity, calendar: Calendar, hour: Hour) -> bool {
    granularity == Granularity::Hour
        || calendar.day_start(first_day(granularity, calendar, calendar.date(hour))) == hour
}

/// Returns the first day of the bucket that contains `day`.
fn first_day(granularity: Granularity, calendar: Calendar, day: NaiveDate) -> NaiveDate {
    match granularity {
        Granularity::Hour | Granularity::Day => day,
        Granularity::Week => calendar.week_of(day),
        Granularity::Month => first_of_month(day),
    }
}

/// Returns the first day of the bucket after the one that begins on `day`.
fn next_day(granularity: Granularity, day: NaiveDate) -> NaiveDate {
    match granularity {
        Granularity::Hour | Granularity::Day => add_days(day, 1),
        Granularity::Week => add_days(day, 7),
        Granularity::Month => add_months(day, 1),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use chrono_tz::{Europe::Berlin, UTC};

    use super::{super::range::Range, *};

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
    fn buckets_are_cut_at_the_intervals_ends_and_fill_it() {
        let [utc, berlin] = [UTC, Berlin].map(|zone| Calendar::new(zone, None));
        let interval = range("2026-03-27T22:00:00Z", "2026-04-08T06:00:00Z", utc);
        assert_eq!(starts(interval, Granularity::Week, utc), ["03-27T22", "03-30T00", "04-06T00"]);
        assert_eq!(starts(interval, Granularity::Month, utc), ["03-27T22", "04-01T00"]);
        // Midnight in Berlin moves from 23:00 to 22:00 UTC.
        assert_eq!(starts(interval, Granularity::Day, berlin)[..4], ["03-27T22", "03-27T23", "03-28T23", "03-29T22"]);
        assert_eq!(starts(interval, Granularity::Hour, utc).len(), 11 * 24 + 8);
    }

    #[test]
    fn buckets_are_whole_utc_days_where_hours_were_dropped() {
        let calendar = Calendar::new(Berlin, Some("2026-04-01".parse().unwrap()));
        // From midnight to midnight in Berlin. The first one, 30 March, has only its day in UTC left.
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
    fn series_of_more_than_10000_points_is_refused() {
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
