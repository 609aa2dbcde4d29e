//! How many days one portion of a job changes, so that recorders of the same rows, and on SQLite all, wait briefly.

use std::time::Duration;

/// The time that one portion should take.
const TARGET: Duration = Duration::from_millis(100);
/// The days of the first portion.
const DAYS_FIRST: usize = 64;
/// The fewest and the most days of a portion.
const DAYS_MIN: usize = 8;
const DAYS_MAX: usize = 4_096;

/// The size of the next portion.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct PortionSize(usize);

impl Default for PortionSize {
    fn default() -> Self {
        Self(DAYS_FIRST)
    }
}

impl PortionSize {
    pub(super) fn days(self) -> usize {
        self.0
    }

    /// Doubles or halves the next portion by the time that the last one took.
    pub(super) fn adapt(&mut self, took: Duration) {
        if took > TARGET {
            self.0 = self.0.div_euclid(2).max(DAYS_MIN);
        } else if took * 2 < TARGET {
            self.0 = (self.0 * 2).min(DAYS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_follow_the_time_of_the_last_one() {
        let mut size = PortionSize::default();
        (0..20).for_each(|_| size.adapt(Duration::ZERO));
        assert_eq!(size.days(), DAYS_MAX);
        (0..20).for_each(|_| size.adapt(TARGET * 2));
        assert_eq!(size.days(), DAYS_MIN);
        size.adapt(TARGET);
        assert_eq!(size.days(), DAYS_MIN);
    }
}
