//! The local date and time of the report's hours, in a time zone.
//!
//! Counts are kept by whole hours of UTC, but the offset of a time zone may have a fraction of an hour. One rule holds
//! for the boundaries of all periods and buckets and for "now": the zone's offset at the start of the UTC hour is
//! floored to whole hours (+5:30 counts as +5, -3:30 as -4), and the hour has the local date and time that this offset
//! gives.
//!
//! A day begins with the first hour that has its date or a later one, so that days follow each other without gaps. A
//! date that the zone skipped has no hours, and a date that the zone repeated is one day.
//!
//! Where hours were dropped for their age, only whole days of UTC are left. There dates are those of UTC in every zone.

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;
use entity::Hour;

const SECONDS_PER_HOUR: i32 = 3_600;
/// The greatest offset that any zone ever had from UTC, rounded up. (Manila's local mean time was 15:56:08 behind UTC,
/// Metlakatla's 15:13:42 ahead.)
const OFFSET_HOURS_MAX: i32 = 16;

/// The calendar of a time zone, for a report whose oldest hours may have been dropped.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Calendar {
    zone: Tz,
    /// The first hour that the report has. Before it there are only whole days of UTC. `None` if no hours were dropped.
    hours_since: Option<Hour>,
    /// The first day of a week.
    week_start: Weekday,
}

impl Calendar {
    /// Returns the calendar of `zone`, whose weeks begin on Monday. Before the day `hours_since` the report has no hours.
    #[must_use]
    pub fn new(zone: Tz, hours_since: Option<NaiveDate>) -> Self {
        Self { zone, hours_since: hours_since.map(|date| Hour::new(date, 0)), week_start: Weekday::Mon }
    }

    /// Returns the calendar with weeks that begin on `week_start`.
    #[must_use]
    pub fn with_weeks_from(self, week_start: Weekday) -> Self {
        Self { week_start, ..self }
    }

    /// Returns the start of the local day after the one that `hour` belongs to.
    pub(super) fn next_day(self, hour: Hour) -> Hour {
        self.day_start(add_days(self.date(hour), 1))
    }

    /// Returns the first day of the week of `day`.
    pub(super) fn week_of(self, day: NaiveDate) -> NaiveDate {
        day.week(self.week_start).checked_first_day().unwrap_or(day)
    }

    /// Returns the local date and time of `hour`.
    #[must_use]
    pub fn local(self, hour: Hour) -> NaiveDateTime {
        let offset = if self.is_dropped(hour) { 0 } else { self.offset(hour).div_euclid(SECONDS_PER_HOUR) };
        hour.plus(offset).start().naive_utc()
    }

    /// Returns the local day that `hour` belongs to.
    pub(super) fn date(self, hour: Hour) -> NaiveDate {
        let mut date = self.local(hour).date();
        // Clocks that are put back over midnight show the previous date again, but that day has ended.
        while date < NaiveDate::MAX && self.day_start(add_days(date, 1)) <= hour {
            date = add_days(date, 1);
        }
        date
    }

    /// Returns the first hour of the local day `date`, or of the next day if the zone skipped `date`.
    pub(super) fn day_start(self, date: NaiveDate) -> Hour {
        self.first_at(NaiveDateTime::new(date, NaiveTime::MIN))
    }

    /// Returns the first hour whose local date and time are `local` or later. Where only whole days of UTC are left,
    /// returns the start of the date of `local` in UTC.
    pub(super) fn first_at(self, local: NaiveDateTime) -> Hour {
        let named = Hour::containing(local.and_utc());
        if self.is_dropped(named) {
            return named.day_start();
        }
        let (first, last) = (named.plus(-OFFSET_HOURS_MAX), named.plus(OFFSET_HOURS_MAX));
        let offset = self.offset(first);
        // If the offset is the same on both sides, the clocks were not changed in between.
        let hour = if offset == self.offset(last) {
            named.plus(-offset.div_euclid(SECONDS_PER_HOUR))
        } else {
            let mut hours = (-OFFSET_HOURS_MAX..OFFSET_HOURS_MAX).map(|hours| named.plus(hours));
            hours.find(|hour| Self { hours_since: None, ..self }.local(*hour) >= local).unwrap_or(last)
        };
        self.hours_since.map_or(hour, |since| hour.max(since))
    }

    /// Returns `hour`, or the start of its UTC day where only whole days are left.
    pub(super) fn floor(self, hour: Hour) -> Hour {
        if self.is_dropped(hour) { hour.day_start() } else { hour }
    }

    /// Returns the boundary for a range that begins or ends at `instant`: the instant floored to whole hours of local
    /// time, so that a local midnight gives the start of its day. Where only whole days of UTC are left, local midnight
    /// and midnight in UTC both give the start of the day.
    pub(super) fn cut(self, instant: DateTime<Utc>) -> Hour {
        let fraction = self.offset(Hour::containing(instant)).rem_euclid(SECONDS_PER_HOUR);
        self.kept(Hour::containing(instant + TimeDelta::seconds(fraction.into())))
    }

    /// Returns `hour`. Where only whole days of UTC are left, returns the start of its local day or of its UTC day,
    /// whichever date is later.
    pub(super) fn kept(self, hour: Hour) -> Hour {
        if !self.is_dropped(hour) {
            return hour;
        }
        let local = Self { hours_since: None, ..self }.date(hour);
        Hour::new(local.max(hour.date()), 0)
    }

    /// Returns whether `hour` was dropped, so that only its whole UTC day is left.
    pub(super) fn is_dropped(self, hour: Hour) -> bool {
        self.hours_since.is_some_and(|since| hour < since)
    }

    /// Returns whether the zone's clocks show exactly the [local time](Self::local) of `hour` at its start.
    pub(super) fn is_exact(self, hour: Hour) -> bool {
        self.shown(hour.start()) == self.local(hour)
    }

    /// Returns whether the zone's clocks reach the day `date` exactly at the start of its first hour.
    pub(super) fn begins_exactly(self, date: NaiveDate) -> bool {
        let start = self.day_start(date).start();
        self.shown(start).date() >= date && self.shown(start - TimeDelta::seconds(1)).date() < date
    }

    /// Returns the date and time that the zone's clocks show at `instant`.
    fn shown(self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.with_timezone(&self.zone).naive_local()
    }

    /// Returns the zone's offset at the start of `hour`, in seconds east of UTC.
    fn offset(self, hour: Hour) -> i32 {
        self.zone.offset_from_utc_datetime(&hour.start().naive_utc()).fix().local_minus_utc()
    }
}

/// A step back in the calendar.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CalendarOffset {
    /// A number of days back, at the same time of day.
    Days(u64),
    /// A number of months back, on the same day of the month at the same time of day.
    Months(u32),
}

impl CalendarOffset {
    /// Returns the day before `day` by this offset. If the month is too short to have that day, returns the first day
    /// after the month, so that the whole month lies before it.
    pub(super) fn day_before(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Days(days) => day.checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN),
            Self::Months(months) => {
                // chrono clamps the day to the month's last one.
                let before = day.checked_sub_months(Months::new(months)).unwrap_or(NaiveDate::MIN);
                if before.day() == day.day() { before } else { add_days(before, 1) }
            }
        }
    }

    /// Returns the same time of day on the day before `local` by this offset. If the month is too short, returns the
    /// midnight that ends the month.
    pub(super) fn before(self, local: NaiveDateTime) -> NaiveDateTime {
        let day = self.day_before(local.date());
        let exists = matches!(self, Self::Days(_)) || day.day() == local.day();
        NaiveDateTime::new(day, if exists { local.time() } else { NaiveTime::MIN })
    }
}

pub(super) fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

pub(super) fn add_days(day: NaiveDate, days: i64) -> NaiveDate {
    let step = Days::new(days.unsigned_abs());
    let moved = if days < 0 { day.checked_sub_days(step) } else { day.checked_add_days(step) };
    moved.unwrap_or(NaiveDate::MAX)
}

pub(super) fn add_months(day: NaiveDate, months: i32) -> NaiveDate {
    let step = Months::new(months.unsigned_abs());
    let moved = if months < 0 { day.checked_sub_months(step) } else { day.checked_add_months(step) };
    moved.unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests;
