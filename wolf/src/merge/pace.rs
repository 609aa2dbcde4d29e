//! How much one statement of a merge does: so little that whoever records or reads meanwhile has his turn soon.
//!
//! Where the database has a processor to spare, the others are served whatever the merge does. Where it has not, they
//! wait for as long as a statement works without a pause; and that takes longer than it would alone, which shows it.

use std::time::Duration;

/// How many rows the first statement reads or adds to, and the least that any does.
const ROWS_MIN: usize = 200;
/// The most that any does.
const ROWS_MAX: usize = 3_200;
/// How long a statement may work, beside the time of its way there and back.
const WORK_MAX: Duration = Duration::from_millis(1);

/// Begins with few rows, and then goes by how long the last statement took.
#[derive(Debug)]
pub(super) struct Pace {
    rows: usize,
    round_trip: Duration,
}

impl Pace {
    /// `round_trip` is how long a statement takes that has nothing to do.
    pub(super) fn new(round_trip: Duration) -> Self {
        Self { rows: ROWS_MIN, round_trip }
    }

    /// How many rows the next statement is to read or to add to.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The last statement took so long.
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
    fn a_statement_does_what_it_has_the_time_for() {
        let way = Duration::from_millis(5);
        let mut pace = Pace::new(way);
        assert_eq!(pace.rows(), 200);
        // A microsecond a row: as many as fit, however far away the database is.
        for _ in 0..20 {
            pace.adapt(way + Duration::from_micros(pace.rows().try_into().unwrap()));
        }
        assert!((667..=1_000).contains(&pace.rows()), "{}", pace.rows());
        // Somebody else is at work.
        let before = pace.rows();
        pace.adapt(way + WORK_MAX * 3);
        assert_eq!(pace.rows(), before.div_euclid(2));
    }

    #[test]
    fn there_are_bounds() {
        let mut pace = Pace::new(Duration::ZERO);
        for (took, bound) in [(Duration::ZERO, ROWS_MAX), (Duration::from_secs(1), ROWS_MIN)] {
            for _ in 0..20 {
                pace.adapt(took);
            }
            assert_eq!(pace.rows(), bound);
        }
    }
}
