//! How fresh a report has to be for its reader.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::Freshness;

/// What a reader requires of the report's freshness.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredFreshness {
    /// The time that `as_of` must have reached: every increment recorded at or before it is in the report.
    pub not_before: Option<DateTime<Utc>>,
    /// The greatest staleness.
    pub staleness_max: Option<TimeDelta>,
}

impl RequiredFreshness {
    /// Returns whether anything is required.
    #[must_use]
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// Returns the requirement that is met when both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let staleness = [self.staleness_max, other.staleness_max].into_iter().flatten().min();
        Self { not_before: self.not_before.max(other.not_before), staleness_max: staleness }
    }

    /// Returns whether `as_of` has reached `not_before`.
    #[must_use]
    pub fn is_reached_by(&self, freshness: &Freshness) -> bool {
        self.not_before.is_none_or(|not_before| freshness.as_of >= Some(not_before))
    }

    /// Returns whether a report with this freshness may be given to the reader at `now`. One that was never refreshed is of
    /// no use to a reader that requires anything, and one whose age is not known to a reader that bounds it.
    #[must_use]
    pub fn is_met_by(&self, freshness: &Freshness, now: Instant) -> bool {
        let is_young = |max| freshness.known_staleness(now).is_some_and(|staleness| staleness <= max);
        self.is_reached_by(freshness) && self.staleness_max.is_none_or(is_young)
    }

    /// Returns for how long from `now` a copy of the response may be used: until the next refresh is due, and as long as it
    /// is not too stale. Zero if it may not be used, or if nothing is known of the next refresh.
    pub(crate) fn lifetime(&self, freshness: &Freshness, now: Instant) -> TimeDelta {
        if !freshness.is_settled() {
            return TimeDelta::zero();
        }
        let until_refresh = freshness.until_next_refresh(now);
        let left = |max| freshness.known_staleness(now).map(|staleness| max - staleness);
        let until_stale = self.staleness_max.and_then(left);
        let until = [until_refresh, until_stale].into_iter().flatten().min();
        until.unwrap_or_default().max(TimeDelta::zero())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_stricter_of_two_requirements_counts() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let one = RequiredFreshness { not_before: Some(at(1)), staleness_max: None };
        let other = RequiredFreshness { not_before: Some(at(2)), staleness_max: Some(TimeDelta::seconds(5)) };
        assert_eq!(one.and(other), other);
        assert_eq!(other.and(one), other);
        assert!(!RequiredFreshness::default().is_some());
    }

    #[test]
    fn report_that_was_never_refreshed_meets_no_requirement() {
        let never = Freshness::default();
        let now = Instant::now();
        let before = RequiredFreshness { not_before: Some(DateTime::UNIX_EPOCH), staleness_max: None };
        let young = RequiredFreshness { not_before: None, staleness_max: Some(TimeDelta::MAX) };
        assert!(!before.is_met_by(&never, now) && !young.is_met_by(&never, now));
        assert!(RequiredFreshness::default().is_met_by(&never, now));
    }

    #[test]
    fn copy_is_used_until_the_next_refresh_or_until_it_is_too_stale() {
        let now = Instant::now();
        let freshness = Freshness::of_test_at(now, TimeDelta::seconds(2), TimeDelta::seconds(10));
        let lifetime = |staleness_max| {
            RequiredFreshness { not_before: None, staleness_max }.lifetime(&freshness, now + Duration::from_secs(1))
        };
        assert_eq!(lifetime(None), TimeDelta::seconds(9));
        assert_eq!(lifetime(Some(TimeDelta::seconds(60))), TimeDelta::seconds(9));
        assert_eq!(lifetime(Some(TimeDelta::seconds(5))), TimeDelta::seconds(2));
        assert_eq!(lifetime(Some(TimeDelta::seconds(3))), TimeDelta::zero());
    }
}
