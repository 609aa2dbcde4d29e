//! The number of rows of one statement of a merge: so few that recording and queries are not delayed.
//!
//! A database with an idle processor serves other clients whatever the merge does. On a busy one they wait while a
//! statement works, and the statement takes longer than it would alone, by which this module notices.

use std::time::Duration;

/// The rows of the first statement, and the fewest of any.
const ROWS_MIN: usize = 200;
/// The most rows of a statement.
const ROWS_MAX: usize = 3_200;
/// How long a statement may work, without its round trip.
const WORK_MAX: Duration = Duration::from_millis(1);

/// Adapts the number of rows to the time that the last statement took.
#[derive(Debug)]
pub(super) struct BatchSizer {
    rows: usize,
    round_trip: Duration,
}

impl BatchSizer {
    /// `round_trip` is the time of a statement that does nothing.
    pub(super) fn new(round_trip: Duration) -> Self {
        Self { rows: ROWS_MIN, round_trip }
    }

    /// The rows that the next statement has to read or add to.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adapts to the time that the last statement took.
    pub(super) fn adapt(&mut self, took: Duration) {
        let worked = took.saturating_sub(self.round_trip);
        if worked > WORK_MAX {
            self.rows = self.rows.div_euclid(2).max(ROWS_MIN);
        } else if worked * 3 < WORK_MAX * 2 {
            // Half as much again still fits.
            self.rows = (self.rows * 3).div_euclid(2).min(ROWS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_time_of_the_last_statement() {
        let way = Duration::from_millis(5);
        let mut sizer = BatchSizer::new(way);
        assert_eq!(sizer.rows(), 200);
        // A microsecond a row: as many as fit, whatever the round trip.
        for _ in 0..20 {
            sizer.adapt(way + Duration::from_micros(sizer.rows().try_into().unwrap()));
        }
        assert!((667..=1_000).contains(&sizer.rows()), "{}", sizer.rows());
        // Another client is at work.
        let before = sizer.rows();
        sizer.adapt(way + WORK_MAX * 3);
        assert_eq!(sizer.rows(), before.div_euclid(2));
    }

    #[test]
    fn rows_stay_within_their_bounds() {
        let mut sizer = BatchSizer::new(Duration::ZERO);
        for (took, bound) in [(Duration::ZERO, ROWS_MAX), (Duration::from_secs(1), ROWS_MIN)] {
            for _ in 0..20 {
                sizer.adapt(took);
            }
            assert_eq!(sizer.rows(), bound);
        }
    }
}
