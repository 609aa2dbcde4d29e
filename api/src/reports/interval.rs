//! Intervals and buckets: cut in the caller's zone, counted in UTC hours.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use entity::Hour;

use crate::increments::AHEAD_MAX;

/// The years that a range may begin and end in.
const YEARS: RangeInclusive<i32> = 1..=9_999;
/// A series has at most this many points.
const POINTS_MAX: usize = 10_000;

/// The predefined intervals.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// From midnight to the next midnight.
    Today,
    /// The day before today.
    Yesterday,
    /// The current hour and the 23 before it.
    Last24Hours,
    /// Today and the 6 days before it.
    Last7Days,
    /// Today and the 29 days before it.
    Last30Days,
    /// The calendar month that today is in.
    ThisMonth,
    /// The calendar month before that.
    LastMonth,
    /// This month and the 11 before it.
    Last12Months,
    /// The calendar year that today is in.
    ThisYear,
    /// From the first counted hour to the end of the current one.
    AllTime,
}

/// The size of a series' buckets, cut in the caller's zone. Weeks begin on Monday.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
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
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
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
    #[error("interval.range.{0} must lie in the years {first} to {last}", first = YEARS.start(), last = YEARS.end())]
    Year(&'static str),
    /// A series of it would be too long.
    #[error("series.granularity: of {hours} hours there would be more than {POINTS_MAX} points; choose a coarser one")]
    TooManyPoints {
        /// The interval's length.
        hours: i32,
    },
}

impl Interval {
    /// The interval of `period` in `zone` at `now`; `first` is the first counted hour, if there is any.
    #[must_use]
    pub fn of_period(period: Period, zone: Tz, now: DateTime<Utc>, first: Option<Hour>) -> Self {
        let today = now.with_timezone(&zone).date_naive();
        let month = first_of_month(today);
        let days = |from: NaiveDate, to: NaiveDate| Self::cut(midnight(zone, from), midnight(zone, to));
        let hours_until_now = |start: Hour| Self::of_hours(start, Hour::containing(now).plus(1), true);
        match period {
            Period::Today => days(today, add_days(today, 1)),
            Period::Yesterday => days(add_days(today, -1), today),
            Period::Last24Hours => hours_until_now(Hour::containing(now).plus(-23)),
            Period::Last7Days => days(add_days(today, -6), add_days(today, 1)),
            Period::Last30Days => days(add_days(today, -29), add_days(today, 1)),
            Period::ThisMonth => days(month, add_months(month, 1)),
            Period::LastMonth => days(add_months(month, -1), month),
            Period::Last12Months => days(add_months(month, -11), add_months(month, 1)),
            Period::ThisYear => {
                let year = add_months(month, -i32::try_from(today.month0()).unwrap_or_default());
                days(year, add_months(year, 12))
            }
            Period::AllTime => {
                // What was recorded a little ahead of the clock is counted too.
                let end = Hour::containing(now + AHEAD_MAX).plus(1);
                let start = first.unwrap_or(end);
                Self::of_hours(start, end.max(start), true)
            }
        }
    }

    /// From `start` up to `end`, both cut at the hour below.
    ///
    /// # Errors
    /// [`IntervalError::Reversed`] when it ends before it starts, [`IntervalError::Year`] outside of the years 1 to 9999.
    pub fn of_range(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, IntervalError> {
        for (bound, at) in [("start", start), ("end", end)] {
            if !YEARS.contains(&at.year()) {
                return Err(IntervalError::Year(bound));
            }
        }
        if end < start {
            return Err(IntervalError::Reversed);
        }
        Ok(Self::cut(start, end))
    }

    fn cut(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        let (first, last) = (Hour::containing(start), Hour::containing(end));
        Self::of_hours(first, last, first.start() == start && last.start() == end)
    }

    fn of_hours(start: Hour, end: Hour, exact: bool) -> Self {
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

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

fn add_days(day: NaiveDate, days: i64) -> NaiveDate {
    let step = Days::new(days.unsigned_abs());
    let moved = if days < 0 { day.checked_sub_days(step) } else { day.checked_add_days(step) };
    moved.unwrap_or(NaiveDate::MAX)
}

fn add_months(day: NaiveDate, months: i32) -> NaiveDate {
    let step = Months::new(months.unsigned_abs());
    let moved = if months < 0 { day.checked_sub_months(step) } else { day.checked_add_months(step) };
    moved.unwrap_or(NaiveDate::MAX)
}

/// When `day` begins in `zone`: at midnight, or where a clock that is put forward leaves midnight out, when it
/// shows the first time after it; the earlier of two midnights where it is put back.
fn midnight(zone: Tz, day: NaiveDate) -> DateTime<Utc> {
    let midnight = NaiveDateTime::new(day, NaiveTime::MIN);
    // No clock has ever been put forward by more than a day (Samoa and Kiribati left out a whole one).
    const STEP_MINUTES: i64 = 15;
    const STEPS: i64 = 24 * 4;
    (0..=STEPS)
        .find_map(|step| zone.from_local_datetime(&(midnight + TimeDelta::minutes(step * STEP_MINUTES))).earliest())
        .map_or_else(|| midnight.and_utc(), |start| start.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America::New_York, America::Sao_Paulo, Asia::Kolkata, Europe::Berlin, UTC};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(interval: Interval) -> i32 {
        interval.end.since(interval.start)
    }

    #[test]
    fn periods_are_the_callers_days() {
        let now = at("2026-03-01T02:30:00Z");
        let utc = Interval::of_period(Period::Today, UTC, now, None);
        assert_eq!((utc.start.start(), utc.end.start()), (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z")));
        // In New York it is still February.
        let york = Interval::of_period(Period::ThisMonth, New_York, now, None);
        assert_eq!((york.start.start(), york.end.start()), (at("2026-02-01T05:00:00Z"), at("2026-03-01T05:00:00Z")));
        let last = Interval::of_period(Period::Last24Hours, New_York, now, None);
        assert_eq!((last.start.start(), last.end.start()), (at("2026-02-28T03:00:00Z"), at("2026-03-01T03:00:00Z")));
        let year = Interval::of_period(Period::ThisYear, UTC, now, None);
        assert_eq!((year.start.start(), year.end.start()), (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")));
        assert_eq!(hours(Interval::of_period(Period::Last7Days, UTC, now, None)), 7 * 24);
        assert_eq!(hours(Interval::of_period(Period::Last30Days, UTC, now, None)), 30 * 24);
        let months = Interval::of_period(Period::Last12Months, UTC, now, None);
        assert_eq!(
            (months.start.start(), months.end.start()),
            (at("2025-04-01T00:00:00Z"), at("2026-04-01T00:00:00Z"))
        );
        let yesterday = Interval::of_period(Period::Yesterday, UTC, now, None);
        assert_eq!(yesterday.end, utc.start);
        let last_month = Interval::of_period(Period::LastMonth, UTC, now, None);
        assert_eq!(last_month.start.start(), at("2026-02-01T00:00:00Z"));
    }

    #[test]
    fn all_time_begins_with_the_first_count() {
        let now = at("2026-03-01T02:30:00Z");
        let first = Hour::containing(at("2015-05-17T10:00:00Z"));
        let all = Interval::of_period(Period::AllTime, UTC, now, Some(first));
        assert_eq!((all.start, all.end.start()), (first, at("2026-03-01T03:00:00Z")));
        assert_eq!(hours(Interval::of_period(Period::AllTime, UTC, now, None)), 0);
    }

    #[test]
    fn days_are_23_and_25_hours_long_when_clocks_change() {
        for (now, length) in [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25), ("2026-10-26T12:00:00Z", 24)]
        {
            assert_eq!(hours(Interval::of_period(Period::Today, Berlin, at(now), None)), length, "{now}");
        }
        // In São Paulo clocks were put forward at midnight: the day began at 01:00, which is 03:00 in UTC.
        let day = Interval::of_period(Period::Today, Sao_Paulo, at("2018-11-04T12:00:00Z"), None);
        assert_eq!((day.start.start(), hours(day)), (at("2018-11-04T03:00:00Z"), 23));
    }

    #[test]
    fn half_hour_zones_are_cut_at_the_hour_below_and_say_so() {
        let day = Interval::of_period(Period::Today, Kolkata, at("2026-01-10T12:00:00Z"), None);
        assert_eq!((day.start.start(), hours(day), day.exact), (at("2026-01-09T18:00:00Z"), 24, false));
        assert!(Interval::of_period(Period::Today, Berlin, at("2026-01-10T12:00:00Z"), None).exact);
    }

    #[test]
    fn ranges_are_cut_at_whole_hours() {
        let range = Interval::of_range(at("2026-01-01T00:30:00Z"), at("2026-01-01T05:00:00Z")).unwrap();
        assert_eq!((range.start.start(), hours(range), range.exact), (at("2026-01-01T00:00:00Z"), 5, false));
        assert_eq!(
            Interval::of_range(at("2026-01-02T00:00:00Z"), at("2026-01-01T00:00:00Z")),
            Err(IntervalError::Reversed)
        );
    }

    #[test]
    fn buckets_fill_the_interval() {
        let interval = Interval::of_range(at("2026-03-27T22:00:00Z"), at("2026-04-08T06:00:00Z")).unwrap();
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
        let range = Interval::of_range(at("2026-03-30T22:00:00Z"), at("2026-04-02T22:00:00Z")).unwrap();
        let range = range.with_hours_since(since);
        assert_eq!((range.start.start(), range.end.start()), (at("2026-03-30T00:00:00Z"), at("2026-04-02T22:00:00Z")));
        assert!(!range.exact);
        let cuts = |granularity| -> Vec<String> {
            let cuts = range.buckets(granularity, Berlin).unwrap();
            cuts.iter().map(|cut| cut.start().format("%m-%dT%H").to_string()).collect()
        };
        assert_eq!(cuts(Granularity::Day), ["03-30T00", "03-31T00", "04-01T22", "04-02T22"]);
        assert_eq!(cuts(Granularity::Hour)[..4], ["03-30T00", "03-31T00", "04-01T00", "04-01T01"]);
        assert!(
            Interval::of_range(at("2026-04-01T05:00:00Z"), at("2026-04-02T22:00:00Z"))
                .unwrap()
                .with_hours_since(since)
                .exact
        );
    }

    #[test]
    fn a_series_is_bounded() {
        let long = Interval::of_range(at("2000-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).unwrap();
        assert!(matches!(long.buckets(Granularity::Hour, UTC), Err(IntervalError::TooManyPoints { .. })));
        assert!(long.buckets(Granularity::Day, UTC).is_ok());
        let endless = Interval::of_range(at("0001-01-01T00:00:00Z"), at("9999-12-31T23:00:00Z")).unwrap();
        for granularity in [Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month] {
            assert!(endless.buckets(granularity, UTC).is_err());
        }
    }
}
