//! Intervals of whole hours, and their buckets, cut in the caller's zone.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use entity::Hour;

use super::{
    calendar::{add_days, add_months, first_of_month, midnight},
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
    /// Before this hour only whole days are kept.
    hours_since: Option<Hour>,
}

/// Why there is no such interval or series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// The range is turned around.
    #[error("interval.range.end must not be before interval.range.start")]
    Reversed,
    /// Dates of other years are not comparable as texts, which is how SQLite keeps them.
    #[error("interval.range.{bound} must lie in the years {first} to {last}")]
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
    /// From `start` up to `end`, both cut at the hour below.
    ///
    /// # Errors
    /// Those of [`Range::new`].
    pub fn of_range(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, IntervalError> {
        Range::new(start, end).map(Range::interval)
    }

    /// From `start` up to `end`, both cut at the hour below.
    pub(super) fn cut(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        let (first, last) = (Hour::containing(start), Hour::containing(end));
        Self::of_hours(first, last, first.start() == start && last.start() == end)
    }

    pub(super) fn of_hours(start: Hour, end: Hour, exact: bool) -> Self {
        Self { start, end, exact, hours_since: None }
    }

    /// The same, cut at the day below where it lies before `hours_since`, of which the report has no hours any more.
    #[must_use]
    pub fn with_hours_since(self, hours_since: Option<NaiveDate>) -> Self {
        let wider = Self { hours_since: hours_since.map(|date| Hour::new(date, 0)), ..self };
        let (start, end) = (wider.floor(self.start), wider.floor(self.end));
        Self { start, end, exact: self.exact && (start, end) == (self.start, self.end), ..wider }
    }

    /// The latest hour up to `hour` at which the report can be cut.
    fn floor(&self, hour: Hour) -> Hour {
        if self.hours_since.is_some_and(|since| hour < since) { hour.day_start() } else { hour }
    }

    /// The hours at which buckets of `granularity` begin, and the interval's end. The first and the last
    /// bucket are cut at the interval's ends. Empty for an empty interval.
    ///
    /// # Errors
    /// [`IntervalError::TooManyPoints`].
    pub fn buckets(&self, granularity: Granularity, zone: Tz) -> Result<Vec<Hour>, IntervalError> {
        if self.start >= self.end {
            return Ok(Vec::new());
        }
        let hours = self.end.since(self.start);
        let mut next: Box<dyn FnMut() -> Hour> = if granularity == Granularity::Hour {
            let mut hour = self.start;
            Box::new(move || {
                hour = hour.plus(1);
                hour
            })
        } else {
            let mut day = first_day(granularity, self.start.start().with_timezone(&zone).date_naive());
            Box::new(move || {
                day = next_day(granularity, day);
                Hour::containing(midnight(zone, day))
            })
        };
        let mut cuts = vec![self.start];
        loop {
            let cut = next();
            if cut >= self.end {
                break;
            }
            // Cut below, one may fall together with the one before it.
            let cut = self.floor(cut);
            if cuts.last().is_some_and(|last| *last < cut) {
                cuts.push(cut);
            }
            if cuts.len() > POINTS_MAX {
                return Err(IntervalError::TooManyPoints { hours });
            }
        }
        cuts.push(self.end);
        Ok(cuts)
    }
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
    use chrono_tz::{Europe::Berlin, UTC};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn range(start: &str, end: &str) -> Interval {
        Interval::cut(at(start), at(end))
    }

    #[test]
    fn buckets_fill_the_interval() {
        let interval = range("2026-03-27T22:00:00Z", "2026-04-08T06:00:00Z");
        let starts = |granularity, zone| -> Vec<String> {
            let cuts = interval.buckets(granularity, zone).unwrap();
            cuts.iter().map(|cut| cut.start().format("%m-%dT%H").to_string()).collect()
        };
        assert_eq!(starts(Granularity::Week, UTC), ["03-27T22", "03-30T00", "04-06T00", "04-08T06"]);
        assert_eq!(starts(Granularity::Month, UTC), ["03-27T22", "04-01T00", "04-08T06"]);
        // Berlin's midnight moves from 23:00 to 22:00 in UTC.
        assert_eq!(starts(Granularity::Day, Berlin)[..4], ["03-27T22", "03-27T23", "03-28T23", "03-29T22"]);
        assert_eq!(starts(Granularity::Hour, UTC).len(), 11 * 24 + 8 + 1);
    }

    #[test]
    fn where_hours_were_dropped_days_are_whole() {
        let since = Some("2026-04-01".parse().unwrap());
        let inexact = range("2026-03-30T22:00:00Z", "2026-04-02T22:00:00Z").with_hours_since(since);
        assert_eq!(
            (inexact.start.start(), inexact.end.start()),
            (at("2026-03-30T00:00:00Z"), at("2026-04-02T22:00:00Z"))
        );
        assert!(!inexact.exact);
        let cuts = |granularity| -> Vec<String> {
            let cuts = inexact.buckets(granularity, Berlin).unwrap();
            cuts.iter().map(|cut| cut.start().format("%m-%dT%H").to_string()).collect()
        };
        assert_eq!(cuts(Granularity::Day), ["03-30T00", "03-31T00", "04-01T22", "04-02T22"]);
        assert_eq!(cuts(Granularity::Hour)[..4], ["03-30T00", "03-31T00", "04-01T00", "04-01T01"]);
        assert!(range("2026-04-01T05:00:00Z", "2026-04-02T22:00:00Z").with_hours_since(since).exact);
    }

    #[test]
    fn a_series_is_bounded() {
        let long = range("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        assert!(matches!(long.buckets(Granularity::Hour, UTC), Err(IntervalError::TooManyPoints { .. })));
        assert!(long.buckets(Granularity::Day, UTC).is_ok());
        let endless = range("0001-01-01T00:00:00Z", "9999-12-31T23:00:00Z");
        for granularity in [Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month] {
            assert!(endless.buckets(granularity, UTC).is_err());
        }
    }
}
