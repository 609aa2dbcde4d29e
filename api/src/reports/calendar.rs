//! Days and times of day in the caller's zone, and how far back they are.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// How far back in the calendar.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// As many local days, at the same time of day.
    Days(u64),
    /// As many months, on the same day and at the same time of day.
    Months(u32),
}

impl Step {
    /// The day so far before `day`; where the month is too short to have it, the first day after that month, so that
    /// all of the month lies before it.
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

    /// When the clocks of `zone` showed the same time of day as at `at`, so far before it; the beginning of the day
    /// after a month that is too short.
    pub(super) fn before(self, zone: Tz, at: DateTime<Utc>) -> DateTime<Utc> {
        let local = at.with_timezone(&zone).naive_local();
        let day = self.day_before(local.date());
        let exists = matches!(self, Self::Days(_)) || day.day() == local.day();
        if exists { first_shown(zone, NaiveDateTime::new(day, local.time())) } else { midnight(zone, day) }
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

/// When `day` begins in `zone`: at midnight, or where a clock that is put forward leaves midnight out, when it
/// shows the first time after it; the earlier of two midnights where it is put back.
pub(super) fn midnight(zone: Tz, day: NaiveDate) -> DateTime<Utc> {
    first_shown(zone, NaiveDateTime::new(day, NaiveTime::MIN))
}

/// When the clocks of `zone` first show `local`, or where they leave it out, a time soon after it.
fn first_shown(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    // No clock has ever been put forward by more than a day (Samoa and Kiribati left out a whole one).
    const STEP_MINUTES: i64 = 15;
    const STEPS: i64 = 24 * 4;
    (0..=STEPS)
        .filter_map(|step| local.checked_add_signed(TimeDelta::minutes(step * STEP_MINUTES)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map_or_else(|| local.and_utc(), |shown| shown.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Europe::Berlin, UTC};

    use super::*;

    fn before(step: Step, zone: Tz, at: &str) -> String {
        step.before(zone, at.parse().unwrap()).format("%Y-%m-%dT%H:%M").to_string()
    }

    #[test]
    fn days_and_months_before_show_the_same_time_of_day() {
        assert_eq!(before(Step::Days(7), UTC, "2026-03-03T12:00:00Z"), "2026-02-24T12:00");
        // Noon in Berlin is 10:00 in UTC in summer and 11:00 in winter.
        assert_eq!(before(Step::Days(1), Berlin, "2026-03-29T10:00:00Z"), "2026-03-28T11:00");
        assert_eq!(before(Step::Months(1), Berlin, "2026-04-15T10:00:00Z"), "2026-03-15T11:00");
        // 02:30 was left out on the day before.
        assert_eq!(before(Step::Days(1), Berlin, "2026-03-30T00:30:00Z"), "2026-03-29T01:00");
    }

    #[test]
    fn a_day_that_a_month_does_not_have_is_the_one_after_it() {
        for (step, at, expected) in [
            (Step::Months(1), "2026-03-28T12:00:00Z", "2026-02-28T12:00"),
            (Step::Months(1), "2026-03-29T12:00:00Z", "2026-03-01T00:00"),
            (Step::Months(1), "2026-03-31T12:00:00Z", "2026-03-01T00:00"),
            (Step::Months(12), "2024-02-29T12:00:00Z", "2023-03-01T00:00"),
            (Step::Months(12), "2025-02-28T12:00:00Z", "2024-02-28T12:00"),
            (Step::Months(12), "2025-03-01T00:00:00Z", "2024-03-01T00:00"),
        ] {
            assert_eq!(before(step, UTC, at), expected, "{at}");
        }
    }
}
