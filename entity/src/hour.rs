//! The hour, the unit of time of the counts.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

const SECONDS_PER_HOUR: i64 = 3_600;
const HOURS_PER_DAY: i32 = 24;

/// One hour of one day in UTC, as the number of hours since 1970-01-01T00:00Z.
///
/// An hour is stored in two columns, `(date, hour)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i32);

impl Hour {
    /// Returns the hour number `of_day` of the day `date`: 0 to 23. Larger numbers continue into the following days.
    #[must_use]
    pub fn new(date: NaiveDate, of_day: i16) -> Self {
        Self((date.num_days_from_ce() - epoch_day()) * HOURS_PER_DAY + i32::from(of_day))
    }

    /// Returns the hour that contains `instant`, saturating far outside of the years 1 to 9999.
    #[must_use]
    pub fn containing(instant: DateTime<Utc>) -> Self {
        let hours = instant.timestamp().div_euclid(SECONDS_PER_HOUR);
        Self(i32::try_from(hours).unwrap_or(if hours < 0 { i32::MIN } else { i32::MAX }))
    }

    /// Returns the first hour that begins at or after `instant`.
    #[must_use]
    pub fn at_or_after(instant: DateTime<Utc>) -> Self {
        let containing = Self::containing(instant);
        if containing.start() == instant { containing } else { containing.plus(1) }
    }

    /// Returns the hour that is `hours` later, or earlier when negative. Saturates.
    #[must_use]
    pub fn plus(self, hours: i32) -> Self {
        Self(self.0.saturating_add(hours))
    }

    /// Returns the number of hours from `earlier` to `self`. Saturates.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the instant at which the hour begins.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.0) * SECONDS_PER_HOUR, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Returns the hour's date in UTC.
    #[must_use]
    pub fn date(self) -> NaiveDate {
        self.start().date_naive()
    }

    /// Returns the hour's number in its day, 0 to 23.
    #[must_use]
    pub fn of_day(self) -> i16 {
        // A remainder of a division by 24 always fits.
        i16::try_from(self.0.rem_euclid(HOURS_PER_DAY)).unwrap_or_default()
    }

    /// Returns the first hour of this hour's day in UTC.
    #[must_use]
    pub fn day_start(self) -> Self {
        Self(self.0 - self.0.rem_euclid(HOURS_PER_DAY))
    }

    /// Returns the first hour of this hour's month in UTC.
    #[must_use]
    pub fn month_start(self) -> Self {
        let day = self.date();
        let days = i32::try_from(day.day0()).unwrap_or_default();
        Self(self.day_start().0 - days * HOURS_PER_DAY)
    }

    /// Returns the first hour of the next month in UTC.
    #[must_use]
    pub fn next_month_start(self) -> Self {
        // Months have 28 to 31 days, so 32 days after the first day lies in the next month.
        self.month_start().plus(32 * HOURS_PER_DAY).month_start()
    }
}

fn epoch_day() -> i32 {
    NaiveDate::default().num_days_from_ce()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> Hour {
        Hour::containing(text.parse().unwrap())
    }

    #[test]
    fn hour_is_restored_from_its_columns() {
        for text in ["1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z", "2000-02-29T13:59:59Z", "2026-11-22T20:00:00Z"] {
            let hour = hour(text);
            assert_eq!(Hour::new(hour.date(), hour.of_day()), hour, "{text}");
        }
        assert_eq!(hour("1969-12-31T23:30:00Z").of_day(), 23);
    }

    #[test]
    fn month_starts_are_those_of_the_calendar() {
        assert_eq!(hour("2024-02-29T13:00:00Z").month_start(), hour("2024-02-01T00:00:00Z"));
        assert_eq!(hour("2024-02-29T13:00:00Z").next_month_start(), hour("2024-03-01T00:00:00Z"));
        assert_eq!(hour("2024-12-31T23:00:00Z").next_month_start(), hour("2025-01-01T00:00:00Z"));
        assert_eq!(hour("2024-01-01T00:00:00Z").next_month_start(), hour("2024-02-01T00:00:00Z"));
    }

    #[test]
    fn at_or_after_rounds_up_to_a_whole_hour() {
        assert_eq!(Hour::at_or_after("2026-01-01T05:00:00Z".parse().unwrap()), hour("2026-01-01T05:00:00Z"));
        assert_eq!(Hour::at_or_after("2026-01-01T05:00:01Z".parse().unwrap()), hour("2026-01-01T06:00:00Z"));
    }
}
