//! The pace of jobs: while others record, a job leaves most of the time to them.

use std::time::{Duration, Instant};

use storage::DatabaseKind;

/// The least time between two merges of new counts while jobs are done: a merge takes some ten statements, however few counts
/// there are.
const MERGE_PERIOD: Duration = Duration::from_secs(5);
/// How many times as long as its last portion a job rests on SQLite while others record: there one transaction writes at a
/// time, and each portion makes all recorders wait.
const SQLITE_RESTS: u32 = 8;
/// The same on PostgreSQL, where recorders wait for the processor and the disk only.
const POSTGRES_RESTS: u32 = 4;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(1);

/// The pace of one refresh's jobs: when new counts are merged meanwhile, and how long the jobs rest.
#[derive(Debug)]
pub(crate) struct Pace {
    rests: u32,
    merge_at: Instant,
}

impl Pace {
    pub(crate) fn new(kind: DatabaseKind) -> Self {
        let rests = match kind {
            DatabaseKind::Sqlite => SQLITE_RESTS,
            DatabaseKind::Postgres => POSTGRES_RESTS,
        };
        Self { rests, merge_at: Instant::now() + MERGE_PERIOD }
    }

    /// Returns whether it is time to merge new counts. The next time is counted from then.
    pub(crate) fn is_merge_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.merge_at;
        if is_due {
            self.merge_at = now + MERGE_PERIOD;
        }
        is_due
    }

    /// Returns how long to rest after a portion that took so long.
    pub(crate) fn rest(&self, portion: Duration, others_record: bool) -> Duration {
        if others_record { (portion * self.rests).min(REST_MAX) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_rests_while_others_record_and_longer_on_sqlite() {
        let portion = Duration::from_millis(100);
        let rest = |kind, portion| Pace::new(kind).rest(portion, true);
        assert_eq!(rest(DatabaseKind::Sqlite, portion), portion * SQLITE_RESTS);
        assert_eq!(rest(DatabaseKind::Postgres, portion), portion * POSTGRES_RESTS);
        assert_eq!(rest(DatabaseKind::Sqlite, Duration::from_secs(9)), REST_MAX);
        assert_eq!(Pace::new(DatabaseKind::Sqlite).rest(portion, false), Duration::ZERO, "nobody records");
    }

    #[test]
    fn new_counts_are_merged_after_a_while() {
        let mut pace = Pace::new(DatabaseKind::Sqlite);
        assert!(!pace.is_merge_due());
        pace.merge_at -= MERGE_PERIOD;
        assert!(pace.is_merge_due());
        assert!(!pace.is_merge_due(), "counted from then");
    }
}
