//! How long ago something was, whatever clocks do since.

use std::{fmt, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// How long ago something was when it was read, by the database's clock. It goes on by this process's monotonic clock: no
/// clocks of two machines are compared, and none that jumps has a part in it afterwards.
#[derive(Copy, Clone, Debug)]
pub(super) struct Age {
    when_read: TimeDelta,
    read_at: Instant,
}

impl Age {
    /// Of what was at `at`, read when the database's clock showed `database_now`. What a clock that went back shows as still
    /// to come is not younger than nothing.
    pub(super) fn new(at: DateTime<Utc>, database_now: DateTime<Utc>, read_at: Instant) -> Self {
        Self { when_read: (database_now - at).max(TimeDelta::zero()), read_at }
    }

    /// How old it is at `now`.
    pub(super) fn at(self, now: Instant) -> TimeDelta {
        let since = now.saturating_duration_since(self.read_at);
        self.when_read + TimeDelta::from_std(since).unwrap_or(TimeDelta::MAX - self.when_read)
    }

    /// Of two readings of the same, the one that makes it older.
    fn elder(self, other: Self) -> Self {
        let now = self.read_at.max(other.read_at);
        if self.at(now) < other.at(now) { other } else { self }
    }
}

/// The ages of what was read. They are no part of what it says: two readings that say the same are equal.
#[derive(Copy, Clone, Default)]
pub(super) struct Ages {
    /// Of the look that the report stands for.
    pub(super) look: Option<Age>,
    /// Of what the schedule said last.
    pub(super) schedule: Option<Age>,
}

/// Of two readings of the same, the one that makes it older, if there are two.
pub(super) fn elder(one: Option<Age>, other: Option<Age>) -> Option<Age> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.elder(other)),
        (one, other) => one.or(other),
    }
}

impl PartialEq for Ages {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ages {}

impl fmt::Debug for Ages {
    /// Always the same: entity tags are made of it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("..")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_age_grows_with_the_monotonic_clock_and_no_reading_makes_it_less() {
        let (at, begun) = (DateTime::UNIX_EPOCH, Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let age = Age::new(at, at + TimeDelta::seconds(10), begun);
        assert_eq!(age.at(begun), TimeDelta::seconds(10));
        assert_eq!(age.at(after(5)), TimeDelta::seconds(15));
        // The clock has gone back an hour.
        let again = Age::new(at, at - TimeDelta::hours(1), after(5));
        assert_eq!(again.at(after(6)), TimeDelta::seconds(1));
        assert_eq!(again.elder(age).at(after(6)), TimeDelta::seconds(16));
        assert_eq!(age.elder(again).at(after(6)), TimeDelta::seconds(16));
        // A machine that slept: its monotonic clock stood still.
        let slept = Age::new(at, at + TimeDelta::hours(8), after(5));
        assert_eq!(elder(Some(age), Some(slept)).unwrap().at(after(5)), TimeDelta::hours(8));
        assert_eq!(elder(None, Some(slept)).unwrap().at(after(5)), TimeDelta::hours(8));
    }
}
