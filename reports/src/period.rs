//! Requested intervals: periods and ranges, their hours at a given time, and the hours that they are compared with.

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use entity::Hour;

use super::{
    calendar::{Calendar, CalendarOffset, add_days, add_months, first_of_month},
    interval::{Bucket, Granularity, Interval},
    present::PresentHour,
    range::Range,
};

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

/// The interval that a report is compared with.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The period before, such as yesterday, the 7 days before or the calendar month before. For a range: an interval
    /// of the same length that ends where the range starts.
    PreviousPeriod,
    /// The same dates and times a year before.
    SamePeriodLastYear,
    /// The same weekdays and times 52 weeks before.
    SameWeekdaysLastYear,
}

/// The requested interval. The hours of a period depend on the clock and on the report, those of a range do not.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IntervalChoice {
    /// One of the predefined intervals.
    Period(Period),
    /// An interval between two instants.
    Range(Range),
}

/// The hours that are counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The site's first counted hour.
    pub from: Hour,
    /// The hour after the last one that was over at the newest refresh.
    pub until: Hour,
}

/// The hours of an interval that are compared, and the hours of another interval that they are compared with.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compared {
    /// The beginning of the interval, as far as its hours are over and counted.
    pub part: Interval,
    /// The beginning of the other interval, up to the same date and time of day.
    pub other: Interval,
    /// The whole other interval.
    pub whole: Interval,
    /// How far the other interval is away.
    step: Step,
}

/// How far two intervals are apart that are compared.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Hours(i32),
    Calendar(CalendarOffset),
}

impl IntervalChoice {
    /// Returns the hours of the interval in `calendar`. `now` returns the present hour, and is called only for intervals that
    /// depend on it. `first` is the first counted hour, if there is any.
    #[must_use]
    pub fn interval(self, calendar: Calendar, now: impl FnOnce() -> PresentHour, first: Option<Hour>) -> Interval {
        match self {
            Self::Range(range) => range.interval(calendar),
            Self::Period(Period::AllTime) => {
                let end = now().last_recordable.plus(1);
                let start = first.unwrap_or(end);
                let kept = calendar.floor(start);
                Interval::of_hours(kept, end.max(start), kept == start)
            }
            Self::Period(period) => {
                let hour = now().hour;
                match period.days(calendar.date(hour)) {
                    Some(LocalDays { from, to, .. }) => {
                        let exact = [from, to].iter().all(|day| calendar.begins_exactly(*day));
                        Interval::of_hours(calendar.day_start(from), calendar.day_start(to), exact)
                    }
                    None => {
                        let (start, end) = (hour.plus(-23), hour.plus(1));
                        let exact = [start, end].iter().all(|hour| calendar.is_exact(*hour));
                        Interval::of_hours(calendar.floor(start), end, exact && !calendar.is_dropped(start))
                    }
                }
            }
        }
    }

    /// Returns the hours of the interval at the present hour `now()` that are compared, and the hours that they are compared with.
    ///
    /// Returns `None` when there is nothing to compare with: `ALL_TIME` has no period before it, 29 February is missing
    /// in most years, and a period that begins before the first counted hour was not counted as a whole.
    ///
    /// An interval that is not over yet is compared up to its last counted whole hour. The other interval ends at the
    /// same local time: Tuesday noon is compared with last Tuesday noon, even if the clocks were changed in between.
    #[must_use]
    pub fn compared(
        self,
        comparison: Comparison,
        calendar: Calendar,
        now: impl Fn() -> PresentHour,
        counted: Counted,
    ) -> Option<Compared> {
        let days = match self {
            Self::Period(Period::AllTime) => return None,
            Self::Period(period) => period.days(calendar.date(now().hour)),
            Self::Range(_) => None,
        };
        let interval = self.interval(calendar, now, None);
        let until = counted.until.clamp(interval.start, interval.end);
        let compared = match days {
            Some(days) => compared_days(&days, comparison, calendar, interval, until),
            None => self.compared_hours(comparison, calendar, interval, until),
        };
        compared.filter(|compared| compared.other.start >= counted.from)
    }

    /// Returns the comparison of `interval` up to `until`, for the last 24 hours and for ranges.
    fn compared_hours(
        self,
        comparison: Comparison,
        calendar: Calendar,
        interval: Interval,
        until: Hour,
    ) -> Option<Compared> {
        let step = match comparison {
            Comparison::PreviousPeriod => Step::Hours(interval.end.since(interval.start)),
            Comparison::SamePeriodLastYear => Step::Calendar(YEAR),
            Comparison::SameWeekdaysLastYear => Step::Calendar(WEEKS_OF_YEAR),
        };
        let before = |hour: Hour| step.before(hour, calendar);
        let [start, end] = [interval.start, interval.end].map(before);
        if start >= end && !interval.is_empty() {
            return None;
        }
        let bounds = [interval.start, interval.end].map(|hour| calendar.local(hour));
        if comparison == Comparison::SamePeriodLastYear && self.has_leap_day_between(bounds) {
            return None;
        }
        // Where hours were dropped, the other interval consists of whole days. Both sides have the same number of
        // hours.
        let uncut = if until == interval.start { start } else { before(until).max(start) };
        let first = calendar.kept(start);
        let shifted = first.plus(uncut.since(start));
        let last = calendar.kept(shifted).max(first);
        let part = Interval { end: until.plus(-shifted.since(last).max(0)).max(interval.start), ..interval };
        let is_alike = |hour: Hour, other: Hour| calendar.is_exact(hour) == calendar.is_exact(other);
        let exact = interval.exact
            && (first, last) == (start, uncut)
            && is_alike(interval.start, first)
            && is_alike(until, last);
        let whole = Interval::of_hours(first, calendar.kept(end).max(first), exact);
        Some(Compared { part, other: Interval::of_hours(first, last, exact), whole, step })
    }

    /// Returns whether a leap day prevents the comparison of `bounds` with the same dates a year before. It does if it
    /// makes the last 24 hours a day longer or shorter, or if a bound of a range lies within 29 February.
    fn has_leap_day_between(self, bounds: [NaiveDateTime; 2]) -> bool {
        let before = bounds.map(|bound| YEAR.before(bound));
        match self {
            Self::Period(_) => bounds[1] - bounds[0] != before[1] - before[0],
            Self::Range(_) => bounds.iter().zip(before).any(|(bound, before)| bound.time() != before.time()),
        }
    }
}

const YEAR: CalendarOffset = CalendarOffset::Months(12);
const WEEKS_OF_YEAR: CalendarOffset = CalendarOffset::Days(52 * 7);

impl Step {
    /// Returns the hour that is compared with `hour`.
    fn before(self, hour: Hour, calendar: Calendar) -> Hour {
        match self {
            Self::Hours(hours) => hour.plus(-hours),
            Self::Calendar(offset) => calendar.first_at(offset.before(calendar.local(hour))),
        }
    }
}

impl Compared {
    /// Returns the buckets of the other interval that are compared with `buckets` of the interval, one for each, with 0 views.
    /// One without a counterpart is empty: the 31st of a month after one of 30 days, or an hour of a day whose hours were
    /// dropped. Days of the other interval that are no day's counterpart are left out.
    pub(super) fn buckets(self, buckets: &[Bucket], granularity: Granularity, calendar: Calendar) -> Vec<Bucket> {
        let before = |hour: Hour| {
            let hour = calendar.kept(self.step.before(hour, calendar));
            hour.clamp(self.whole.start, self.whole.end)
        };
        let mut reached = self.whole.start;
        let counterpart = |bucket: &Bucket| {
            let start = before(bucket.start).max(reached);
            let mut end = before(bucket.end).max(start);
            match granularity {
                Granularity::Hour if calendar.is_dropped(start) && !calendar.is_dropped(bucket.start) => end = start,
                Granularity::Hour if !calendar.is_dropped(start) => end = end.min(start.plus(1)).max(start),
                Granularity::Day if matches!(self.step, Step::Calendar(_)) => end = end.min(calendar.next_day(start)),
                _ => {}
            }
            reached = end;
            Bucket { start, end, local_start: calendar.local(start), views: 0, whole: bucket.whole }
        };
        buckets.iter().map(counterpart).collect()
    }
}

/// Returns the comparison of `interval` up to `until`, for an interval that consists of the local `days`.
fn compared_days(
    days: &LocalDays,
    comparison: Comparison,
    calendar: Calendar,
    interval: Interval,
    until: Hour,
) -> Option<Compared> {
    let step = match comparison {
        Comparison::PreviousPeriod => days.step,
        Comparison::SamePeriodLastYear => YEAR,
        Comparison::SameWeekdaysLastYear => WEEKS_OF_YEAR,
    };
    let [from, to] = [days.from, days.to].map(|day| step.day_before(day));
    let [start, end] = [from, to].map(|day| calendar.day_start(day));
    if start >= end || interval.is_empty() {
        return None;
    }
    let begins_exactly = |day| calendar.begins_exactly(day);
    let whole = Interval::of_hours(start, end, interval.exact && begins_exactly(from) && begins_exactly(to));
    let (until, end, ends_exactly) = if until == interval.end {
        (until, end, begins_exactly(to))
    } else if until == interval.start {
        (until, start, true)
    } else {
        let same = calendar.first_at(step.before(calendar.local(until)));
        // A day whose hours were dropped has no parts, so whole days are compared.
        let (until, same) = if calendar.is_dropped(same) {
            let day = calendar.date(until);
            (calendar.day_start(day), calendar.day_start(step.day_before(day)))
        } else {
            (until, same)
        };
        (until, same.clamp(start, end), calendar.is_exact(same))
    };
    let exact = interval.exact && begins_exactly(from) && ends_exactly;
    let part = Interval { end: until, ..interval };
    Some(Compared { part, other: Interval::of_hours(start, end, exact), whole, step: Step::Calendar(step) })
}

/// The local days from `from` to `to`, which is excluded.
struct LocalDays {
    from: NaiveDate,
    to: NaiveDate,
    /// The offset of the period before.
    step: CalendarOffset,
}

impl Period {
    /// Returns the local days of the period on the day `today`, or `None` if it does not consist of days.
    fn days(self, today: NaiveDate) -> Option<LocalDays> {
        let month = first_of_month(today);
        let year = add_months(month, -i32::try_from(today.month0()).unwrap_or_default());
        let (from, to, step) = match self {
            Self::Today => (today, add_days(today, 1), CalendarOffset::Days(1)),
            Self::Yesterday => (add_days(today, -1), today, CalendarOffset::Days(1)),
            Self::Last7Days => (add_days(today, -6), add_days(today, 1), CalendarOffset::Days(7)),
            Self::Last30Days => (add_days(today, -29), add_days(today, 1), CalendarOffset::Days(30)),
            Self::ThisMonth => (month, add_months(month, 1), CalendarOffset::Months(1)),
            Self::LastMonth => (add_months(month, -1), month, CalendarOffset::Months(1)),
            Self::Last12Months => (add_months(month, -11), add_months(month, 1), CalendarOffset::Months(12)),
            Self::ThisYear => (year, add_months(year, 12), CalendarOffset::Months(12)),
            Self::Last24Hours | Self::AllTime => return None,
        };
        Some(LocalDays { from, to, step })
    }
}

#[cfg(test)]
mod tests;
