//! What interval is asked for, what it comes to at a moment, and what it is compared with.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use entity::Hour;

use super::{
    calendar::{Step, add_days, add_months, first_of_month, midnight},
    interval::{Interval, IntervalError},
};
use crate::increments::AHEAD_MAX;

/// The years that a range may begin and end in.
const YEARS: RangeInclusive<i32> = 1..=9_999;

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

/// What a report is compared with.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The period before: yesterday, the 7 days before, the calendar month before; of a range, what is as long.
    PreviousPeriod,
    /// The same dates and times a year before.
    SamePeriodLastYear,
}

/// The interval that is asked for. What a period comes to depends on the clock and on the report; a range does not.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IntervalChoice {
    /// One of the predefined intervals.
    Period(Period),
    /// Any hours.
    Range(Range),
}

/// From a moment up to another, both in years that all databases know.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Range {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Range {
    /// From `start` up to `end`.
    ///
    /// # Errors
    /// [`IntervalError::Reversed`] when it ends before it starts, [`IntervalError::Year`] outside of the years 1 to 9999.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, IntervalError> {
        for (bound, at) in [("start", start), ("end", end)] {
            if !YEARS.contains(&at.year()) {
                return Err(IntervalError::Year { bound, first: *YEARS.start(), last: *YEARS.end() });
            }
        }
        if end < start { Err(IntervalError::Reversed) } else { Ok(Self { start, end }) }
    }

    /// The hours that it comes to, cut at the hour below.
    #[must_use]
    pub fn interval(self) -> Interval {
        Interval::cut(self.start, self.end)
    }
}

impl IntervalChoice {
    /// What it comes to in `zone` at `now`; `first` is the first counted hour, if there is any.
    #[must_use]
    pub fn interval(self, zone: Tz, now: DateTime<Utc>, first: Option<Hour>) -> Interval {
        let until_now = |start: Hour| Interval::of_hours(start, Hour::containing(now).plus(1), true);
        match self {
            Self::Range(range) => range.interval(),
            Self::Period(Period::Last24Hours) => until_now(Hour::containing(now).plus(-23)),
            Self::Period(Period::AllTime) => {
                // What was recorded a little ahead of the clock is counted too.
                let end = Hour::containing(now + AHEAD_MAX).plus(1);
                let start = first.unwrap_or(end);
                Interval::of_hours(start, end.max(start), true)
            }
            Self::Period(period) => match period.days(zone, now) {
                Some(days) => Interval::cut(midnight(zone, days.from), midnight(zone, days.to)),
                None => until_now(Hour::containing(now)),
            },
        }
    }

    /// What its interval at `now` is compared with; nothing when there is no such period: `ALL_TIME` has none before
    /// it, and 29 February none in most years.
    ///
    /// Of an interval that is not over yet only the part counts that is counted already: up to `as_of`, cut at the
    /// hour below. What it is compared with ends at the same time of its own days: Tuesday noon is compared with last
    /// Tuesday noon, however long the days were.
    #[must_use]
    pub fn previous(
        self,
        comparison: Comparison,
        zone: Tz,
        now: DateTime<Utc>,
        as_of: Option<DateTime<Utc>>,
    ) -> Option<Interval> {
        let interval = self.interval(zone, now, None);
        let year = Step::Months(12);
        let counted = as_of.map_or(interval.start, Hour::containing).max(interval.start);
        // The part that is counted, when that is not all.
        let part = Some(counted).filter(|counted| *counted < interval.end);
        let days = match self {
            Self::Period(Period::AllTime) => return None,
            Self::Period(period) => period.days(zone, now),
            Self::Range(_) => None,
        };
        let (start, end, cut) = match (days, comparison) {
            (Some(days), _) => {
                let step = if comparison == Comparison::PreviousPeriod { days.step } else { year };
                let [from, to] = [days.from, days.to].map(|day| midnight(zone, step.day_before(day)));
                (from, to, part.map(|part| if part == interval.start { from } else { step.before(zone, part.start()) }))
            }
            (None, Comparison::PreviousPeriod) => {
                let length = interval.end.since(interval.start);
                let before = |hour: Hour| hour.plus(-length).start();
                (before(interval.start), interval.start.start(), part.map(before))
            }
            (None, Comparison::SamePeriodLastYear) => {
                let (start, end) = match self {
                    Self::Range(range) => (range.start, range.end),
                    Self::Period(_) => (interval.start.start(), interval.end.start()),
                };
                let before = |at| year.before(zone, at);
                (before(start), before(end), part.map(|part| before(part.start())))
            }
        };
        if start >= end && interval.start < interval.end {
            return None;
        }
        // Nothing was counted in years that databases order differently.
        let first = NaiveDate::from_ymd_opt(*YEARS.start(), 1, 1).unwrap_or_default().and_time(Default::default());
        let [start, end] = [start, cut.map_or(end, |cut| cut.min(end))].map(|at| at.max(first.and_utc()));
        let mut previous = Interval::cut(start, end.max(start));
        previous.exact &= interval.exact;
        Some(previous)
    }
}

/// Local days, from the first one up to and without the last one.
struct LocalDays {
    from: NaiveDate,
    to: NaiveDate,
    /// How far back the period before lies.
    step: Step,
}

impl Period {
    /// The local days that it comes to, if it is made of days.
    fn days(self, zone: Tz, now: DateTime<Utc>) -> Option<LocalDays> {
        let today = now.with_timezone(&zone).date_naive();
        let month = first_of_month(today);
        let year = add_months(month, -i32::try_from(today.month0()).unwrap_or_default());
        let (from, to, step) = match self {
            Self::Today => (today, add_days(today, 1), Step::Days(1)),
            Self::Yesterday => (add_days(today, -1), today, Step::Days(1)),
            Self::Last7Days => (add_days(today, -6), add_days(today, 1), Step::Days(7)),
            Self::Last30Days => (add_days(today, -29), add_days(today, 1), Step::Days(30)),
            Self::ThisMonth => (month, add_months(month, 1), Step::Months(1)),
            Self::LastMonth => (add_months(month, -1), month, Step::Months(1)),
            Self::Last12Months => (add_months(month, -11), add_months(month, 1), Step::Months(12)),
            Self::ThisYear => (year, add_months(year, 12), Step::Months(12)),
            Self::Last24Hours | Self::AllTime => return None,
        };
        Some(LocalDays { from, to, step })
    }
}

#[cfg(test)]
mod tests;
