//! What a report depends on of the clock.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{AHEAD_MAX, Hour};
use storage::clock::Moment;

use crate::freshness::{Freshness, RefreshStatus, RequiredFreshness};

/// The present hour: all that relative intervals depend on of the clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct PresentHour {
    /// The hour that contains the present.
    pub hour: Hour,
    /// The last hour that views can be recorded in: they may be up to [`AHEAD_MAX`] ahead of the clock.
    pub last_recordable: Hour,
}

impl PresentHour {
    /// Returns the times at which this is the present hour: from the first one, up to and without the second.
    #[must_use]
    pub fn holds(self) -> Range<DateTime<Utc>> {
        let recordable_from = |hour: Hour| hour.start() - AHEAD_MAX;
        let start = self.hour.start().max(recordable_from(self.last_recordable));
        let end = self.hour.plus(1).start().min(recordable_from(self.last_recordable.plus(1)));
        start..end
    }
}

impl From<DateTime<Utc>> for PresentHour {
    fn from(now: DateTime<Utc>) -> Self {
        Self { hour: Hour::containing(now), last_recordable: Hour::containing(now + AHEAD_MAX) }
    }
}

/// The part of the clock that a response shows, by what its resolvers have read.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClockUse {
    /// Nothing: the response holds as long as the report and its status do.
    None,
    /// The present hour: the response also ends to hold when another hour begins.
    Hour(PresentHour),
    /// The moment itself: the response holds at no other.
    Moment,
}

/// What a response was read from. Equal requests have equal responses from equal provenances, unless the clock use is
/// [`ClockUse::Moment`].
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The version of the report, and its freshness.
    pub freshness: Freshness,
    /// The status of the report at the moment of the response.
    pub status: RefreshStatus,
    /// What the response depends on of the clock, besides the status.
    pub clock: ClockUse,
    /// What the reader required of the freshness.
    pub required: RequiredFreshness,
}

impl Provenance {
    /// Returns for how long from `now` a copy of the response may be used without asking again: as long as the required
    /// freshness allows, and no longer than what it shows of the clock holds. None if no freshness was required.
    #[must_use]
    pub fn lifetime(&self, now: Moment) -> Option<TimeDelta> {
        let until_clock_changes = match self.clock {
            ClockUse::None => TimeDelta::MAX,
            ClockUse::Hour(present) => present.holds().end - now.wall,
            ClockUse::Moment => TimeDelta::zero(),
        };
        let allowed = || self.required.lifetime(&self.freshness, now.monotonic);
        self.required.is_some().then(|| allowed().min(until_clock_changes).max(TimeDelta::zero()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn present_hour_holds_until_another_hour_begins_or_can_be_recorded_in() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (now, from, until) in [
            ("2026-11-22T20:00:00Z", "2026-11-22T20:00:00Z", "2026-11-22T20:55:00Z"),
            ("2026-11-22T20:54:59Z", "2026-11-22T20:00:00Z", "2026-11-22T20:55:00Z"),
            ("2026-11-22T20:55:00Z", "2026-11-22T20:55:00Z", "2026-11-22T21:00:00Z"),
            ("2026-11-22T20:59:59.999Z", "2026-11-22T20:55:00Z", "2026-11-22T21:00:00Z"),
        ] {
            let present = PresentHour::from(at(now));
            assert_eq!(present.holds(), at(from)..at(until), "{now}");
            let just_before = at(until) - TimeDelta::nanoseconds(1);
            assert_eq!(PresentHour::from(just_before), present, "{now}");
            assert_ne!(PresentHour::from(at(until)), present, "{now}");
        }
    }

    #[test]
    fn copy_is_used_no_longer_than_the_hour_that_it_shows_is_the_present_one() {
        let monotonic = Instant::now();
        let wall = "2026-11-22T20:54:50Z".parse().unwrap();
        let lifetime = |clock, wall, staleness_max| {
            let provenance = Provenance {
                freshness: Freshness::of_test_at(monotonic, TimeDelta::seconds(2), TimeDelta::seconds(60)),
                status: RefreshStatus::Fresh,
                clock,
                required: RequiredFreshness { not_before: None, staleness_max },
            };
            provenance.lifetime(Moment { wall, monotonic })
        };
        let day = Some(TimeDelta::days(1));
        let present = ClockUse::Hour(PresentHour::from(wall));
        assert_eq!(lifetime(ClockUse::None, wall, day), Some(TimeDelta::seconds(60)));
        assert_eq!(lifetime(present, wall, day), Some(TimeDelta::seconds(10)));
        assert_eq!(lifetime(present, wall, Some(TimeDelta::seconds(7))), Some(TimeDelta::seconds(5)));
        assert_eq!(lifetime(present, wall + TimeDelta::hours(1), day), Some(TimeDelta::zero()));
        assert_eq!(lifetime(ClockUse::Moment, wall, day), Some(TimeDelta::zero()));
        assert_eq!(lifetime(present, wall, None), None);
    }
}
