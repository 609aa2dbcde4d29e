//! The hour that counts are kept by.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

const SECONDS_PER_HOUR: i64 = 3_600;
const HOURS_PER_DAY: i32 = 24;

/// One hour of one day in UTC, as the number of hours since 1970-01-01T00:00Z.
///
/// Stored as two columns, `(date, hour)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i32);

impl Hour {
    /// The hour of the day `of_day` (0 to 23; more runs on into the following days) of `date`.
    #[must_use]
    pub fn new(date: NaiveDate, of_day: i16) -> Self {
        Self((date.num_days_from_ce() - epoch_day()) * HOURS_PER_DAY + i32::from(of_day))
    }

    /// The hour that `instant` lies in. Instants beyond the year 9999 or before 1 saturate.
    #[must_use]
    pub fn containing(instant: DateTime<Utc>) -> Self {
        let hours = instant.timestamp().div_euclid(SECONDS_PER_HOUR);
        Self(i32::try_from(hours).unwrap_or(if hours < 0 { i32::MIN } else { i32::MAX }))
    }

    /// The first hour that begins at or after `instant`.
    #[must_use]
    pub fn at_or_after(instant: DateTime<Utc>) -> Self {
        let containing = Self::containing(instant);
        if containing.start() == instant { containing } else { containing.plus(1) }
    }

    /// The hour `hours` later (earlier when negative), saturating.
    #[must_use]
    pub fn plus(self, hours: i32) -> Self {
        Self(self.0.saturating_add(hours))
    }

    /// How many hours `self` is after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// When the hour begins.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.0) * SECONDS_PER_HOUR, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The hour's date in UTC.
    #[must_use]
    pub fn date(self) -> NaiveDate {
        self.start().date_naive()
    }

    /// The hour of the day, 0 to 23.
    #[must_use]
    pub fn of_day(self) -> i16 {
        // A remainder of 24 always fits.
        i16::try_from(self.0.rem_euclid(HOURS_PER_DAY)).unwrap_or_default()
    }

    /// The first hour of this hour's day.
    #[must_use]
    pub fn day_start(self) -> Self {
        Self(self.0 - self.0.rem_euclid(HOURS_PER_DAY))
    }

    /// The first hour of this hour's month.
    #[must_use]
    pub fn month_start(self) -> Self {
        let day = self.date();
        let days = i32::try_from(day.day0()).unwrap_or_default();
        Self(self.day_start().0 - days * HOURS_PER_DAY)
    }

    /// The first hour of the following month.
    #[must_use]
    pub fn next_month_start(self) -> Self {
        // No month is longer than 31 days, and 32 days after its first is always in the next one.
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
    fn an_hour_and_its_columns_are_the_same_thing() {
        for text in ["1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z", "2000-02-29T13:59:59Z", "2026-11-22T20:00:00Z"] {
            let hour = hour(text);
            assert_eq!(Hour::new(hour.date(), hour.of_day()), hour, "{text}");
        }
        assert_eq!(hour("1969-12-31T23:30:00Z").of_day(), 23);
    }

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        assert_eq!(hour("2024-02-29T13:00:00Z").month_start(), hour("2024-02-01T00:00:00Z"));
        assert_eq!(hour("2024-02-29T13:00:00Z").next_month_start(), hour("2024-03-01T00:00:00Z"));
        assert_eq!(hour("2024-12-31T23:00:00Z").next_month_start(), hour("2025-01-01T00:00:00Z"));
        assert_eq!(hour("2024-01-01T00:00:00Z").next_month_start(), hour("2024-02-01T00:00:00Z"));
    }

    #[test]
    fn at_or_after_leaves_whole_hours_alone() {
        assert_eq!(Hour::at_or_after("2026-01-01T05:00:00Z".parse().unwrap()), hour("2026-01-01T05:00:00Z"));
        assert_eq!(Hour::at_or_after("2026-01-01T05:00:01Z".parse().unwrap()), hour("2026-01-01T06:00:00Z"));
    }
}
