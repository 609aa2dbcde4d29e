//! What the calendar of a zone calls each hour of the report.
//!
//! Counts are kept by whole hours of UTC, and a zone may be off by part of an hour. One rule serves for the cut of every
//! period and bucket and for "now": the zone's offset, taken at the start of the UTC hour, is floored to whole hours
//! (+5:30 counts as +5, -3:30 as -4). The hour has the date and the time of day that this offset gives.
//!
//! A day is the hours of one date. It begins with the first hour that has this date or a later one, so that the days
//! follow each other without gaps: a date that the zone skipped has no hours, and one that it repeated is one day.
//!
//! Where the hours were dropped for their age only whole days of UTC are left: there each date is that of UTC, in every
//! zone.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use entity::Hour;

const SECONDS_PER_HOUR: i32 = 3_600;
/// No zone is or was further from UTC: Manila's local mean time was 15:56:08 behind it, Metlakatla's 15:13:42 ahead.
const OFFSET_HOURS_MAX: i32 = 16;

/// The calendar of one zone, over a report that may have dropped its oldest hours.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Calendar {
    zone: Tz,
    /// Before this hour only whole days of UTC are kept.
    hours_since: Option<Hour>,
}

impl Calendar {
    /// Returns the calendar of `zone`; of the days before `hours_since` the report has no hours.
    #[must_use]
    pub fn new(zone: Tz, hours_since: Option<NaiveDate>) -> Self {
        Self { zone, hours_since: hours_since.map(|date| Hour::new(date, 0)) }
    }

    /// Returns the date and the time of day that the calendar gives `hour`.
    #[must_use]
    pub fn local(self, hour: Hour) -> NaiveDateTime {
        let offset = if self.is_dropped(hour) { 0 } else { self.offset(hour).div_euclid(SECONDS_PER_HOUR) };
        hour.plus(offset).start().naive_utc()
    }

    /// Returns the day that `hour` is part of.
    pub(super) fn date(self, hour: Hour) -> NaiveDate {
        let mut date = self.local(hour).date();
        // Clocks that are put back over midnight show the date before once more: it has ended.
        while date < NaiveDate::MAX && self.day_start(add_days(date, 1)) <= hour {
            date = add_days(date, 1);
        }
        date
    }

    /// Returns the first hour of the day `date`, or of the day after it where the zone skipped that date.
    pub(super) fn day_start(self, date: NaiveDate) -> Hour {
        self.first_at(NaiveDateTime::new(date, NaiveTime::MIN))
    }

    /// Returns the first hour whose date and time of day are `local` or later; the start of the date where only whole
    /// days of UTC are left.
    pub(super) fn first_at(self, local: NaiveDateTime) -> Hour {
        let named = Hour::containing(local.and_utc());
        if self.is_dropped(named) {
            return named.day_start();
        }
        let (first, last) = (named.plus(-OFFSET_HOURS_MAX), named.plus(OFFSET_HOURS_MAX));
        let offset = self.offset(first);
        // Clocks that are not changed within the day have one offset on both sides of it.
        let hour = if offset == self.offset(last) {
            named.plus(-offset.div_euclid(SECONDS_PER_HOUR))
        } else {
            let mut hours = (-OFFSET_HOURS_MAX..OFFSET_HOURS_MAX).map(|hours| named.plus(hours));
            hours.find(|hour| Self::new(self.zone, None).local(*hour) >= local).unwrap_or(last)
        };
        self.hours_since.map_or(hour, |since| hour.max(since))
    }

    /// Returns `hour`, or the start of its day in UTC where only whole days are left.
    pub(super) fn floor(self, hour: Hour) -> Hour {
        if self.is_dropped(hour) { hour.day_start() } else { hour }
    }

    /// Returns the hour at which a range that begins or ends at `instant` is cut: the hour below, by the clocks of the
    /// zone, so that a local midnight is where its day begins. Where only whole days of UTC are left, both the local
    /// midnight and that of UTC are where the day begins.
    pub(super) fn cut(self, instant: DateTime<Utc>) -> Hour {
        let fraction = self.offset(Hour::containing(instant)).rem_euclid(SECONDS_PER_HOUR);
        self.kept(Hour::containing(instant + TimeDelta::seconds(fraction.into())))
    }

    /// Returns `hour`, or where only whole days of UTC are left, the start of the day that began last before it, in the
    /// zone or in UTC.
    pub(super) fn kept(self, hour: Hour) -> Hour {
        if !self.is_dropped(hour) {
            return hour;
        }
        let local = Self::new(self.zone, None).date(hour);
        Hour::new(local.max(hour.date()), 0)
    }

    /// Returns whether only the whole day is left of `hour`.
    pub(super) fn is_dropped(self, hour: Hour) -> bool {
        self.hours_since.is_some_and(|since| hour < since)
    }

    /// Returns whether the clocks of the zone show at the start of `hour` what the calendar calls it.
    pub(super) fn is_exact(self, hour: Hour) -> bool {
        self.shown(hour.start()) == self.local(hour)
    }

    /// Returns whether the day `date` begins exactly at its first hour, by the clocks of the zone.
    pub(super) fn begins_exactly(self, date: NaiveDate) -> bool {
        let start = self.day_start(date).start();
        self.shown(start).date() >= date && self.shown(start - TimeDelta::seconds(1)).date() < date
    }

    /// Returns what the clocks of the zone show.
    fn shown(self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.with_timezone(&self.zone).naive_local()
    }

    /// Returns the zone's offset at the start of `hour`, in seconds east of UTC.
    fn offset(self, hour: Hour) -> i32 {
        self.zone.offset_from_utc_datetime(&hour.start().naive_utc()).fix().local_minus_utc()
    }
}

/// How far back in the calendar.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum CalendarOffset {
    /// As many days, at the same time of day.
    Days(u64),
    /// As many months, on the same day and at the same time of day.
    Months(u32),
}

impl CalendarOffset {
    /// Returns the day so far before `day`; where the month is too short to have it, the first day after that month, so
    /// that all of the month lies before it.
    pub(super) fn day_before(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Days(days) => day.checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN),
            Self::Months(months) => {
                // Cut at the month's last day.
                let before = day.checked_sub_months(Months::new(months)).unwrap_or(NaiveDate::MIN);
                if before.day() == day.day() { before } else { add_days(before, 1) }
            }
        }
    }

    /// Returns the same time of day so far before `local`; the beginning of the day after a month that is too short.
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
