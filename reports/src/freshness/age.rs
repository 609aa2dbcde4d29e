//! Ages that no step of a clock changes.

use std::{
    hash::{Hash, Hasher},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};

/// The age of an instant: when it was read by the database's clock, and since then by this process's monotonic clock. So
/// clocks of two machines are never compared, and a clock that jumps later has no effect.
#[derive(Copy, Clone, Debug)]
pub(super) struct Age {
    when_read: TimeDelta,
    read_at: Instant,
    /// Whether the clock showed a time before the instant: it has gone back, and the age may be greater by any time.
    is_unknown: bool,
}

impl Age {
    /// Creates the age of `at`, read when the database's clock showed `database_now`. It is never negative, even if that
    /// clock went back.
    pub(super) fn new(at: DateTime<Utc>, database_now: DateTime<Utc>, read_at: Instant) -> Self {
        let when_read = database_now - at;
        Self { when_read: when_read.max(TimeDelta::zero()), read_at, is_unknown: when_read < TimeDelta::zero() }
    }

    /// Returns the age at `now`.
    pub(super) fn at(self, now: Instant) -> TimeDelta {
        let since = now.saturating_duration_since(self.read_at);
        self.when_read + TimeDelta::from_std(since).unwrap_or(TimeDelta::MAX - self.when_read)
    }

    /// Returns the age at `now`, if it is sure not to be greater.
    pub(super) fn known_at(self, now: Instant) -> Option<TimeDelta> {
        (!self.is_unknown).then(|| self.at(now))
    }

    /// Returns the greater of two ages of the same instant, which is known if one of them is.
    fn elder(self, other: Self) -> Self {
        let now = self.read_at.max(other.read_at);
        let elder = if self.at(now) < other.at(now) { other } else { self };
        Self { is_unknown: self.is_unknown && other.is_unknown, ..elder }
    }
}

/// The ages of a freshness. They are left out of comparisons: two readings of the same rows are equal.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Ages {
    /// The age of `looked_at`.
    pub(super) look: Option<Age>,
    /// The age of the schedule's last dates.
    pub(super) schedule: Option<Age>,
}

/// Returns the greater of two ages of the same instant, or the one that there is.
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

impl Hash for Ages {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn age_grows_with_the_monotonic_clock_and_no_reading_lowers_it() {
        let (at, begun) = (DateTime::UNIX_EPOCH, Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let age = Age::new(at, at + TimeDelta::seconds(10), begun);
        assert_eq!(age.at(begun), TimeDelta::seconds(10));
        assert_eq!(age.at(after(5)), TimeDelta::seconds(15));
        // The clock has gone back an hour.
        let again = Age::new(at, at - TimeDelta::hours(1), after(5));
        assert_eq!(again.at(after(6)), TimeDelta::seconds(1));
        assert_eq!((again.known_at(after(6)), age.known_at(after(6))), (None, Some(TimeDelta::seconds(16))));
        assert_eq!(again.elder(age).at(after(6)), TimeDelta::seconds(16));
        assert_eq!(again.elder(age).known_at(after(6)), Some(TimeDelta::seconds(16)));
        // The clock has come to the instant once more, long after.
        let later = Age::new(at, at, after(3_600));
        assert_eq!(again.elder(later).known_at(after(3_600)), Some(TimeDelta::seconds(3_595)));
        assert_eq!(age.elder(again).at(after(6)), TimeDelta::seconds(16));
        // The monotonic clock of a suspended machine stands still.
        let slept = Age::new(at, at + TimeDelta::hours(8), after(5));
        assert_eq!(elder(Some(age), Some(slept)).unwrap().at(after(5)), TimeDelta::hours(8));
        assert_eq!(elder(None, Some(slept)).unwrap().at(after(5)), TimeDelta::hours(8));
    }
}
