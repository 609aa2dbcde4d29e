//! The pace of jobs: while others record, a job leaves most of the time to them.

use std::time::{Duration, Instant};

use storage::DatabaseKind;

/// The least time between two merges of new counts while jobs are done: a merge takes some ten statements, however few counts
/// there are.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// How many times as long as its last portion a job rests on SQLite while others record: there one transaction writes at a
/// time, and each portion makes all recorders wait.
const RESTS: u32 = 8;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(1);

/// The pace of one refresh's jobs: when new counts are merged meanwhile, and how long the jobs rest.
#[derive(Debug)]
pub(crate) struct Pace {
    rests: u32,
    looked: Option<Instant>,
    /// Whether the last look found new counts.
    found: bool,
}

impl Pace {
    pub(crate) fn new(kind: DatabaseKind) -> Self {
        let rests = if kind == DatabaseKind::Sqlite { RESTS } else { 0 };
        Self { rests, looked: None, found: false }
    }

    /// Returns whether it is time to look for new counts.
    pub(crate) fn is_look_due(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_PERIOD)
    }

    /// Notes a look, and whether it has found new counts.
    pub(crate) fn looked(&mut self, found: bool) {
        (self.looked, self.found) = (Some(Instant::now()), found);
    }

    /// Returns how long to rest after a portion that took so long.
    pub(crate) fn rest(&self, portion: Duration) -> Duration {
        if self.found { (portion * self.rests).min(REST_MAX) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_rests_on_sqlite_while_others_record() {
        let portion = Duration::from_millis(50);
        let mut sqlite = Pace::new(DatabaseKind::Sqlite);
        assert!(sqlite.is_look_due());
        assert_eq!(sqlite.rest(portion), Duration::ZERO, "nobody is known to record");
        sqlite.looked(true);
        assert!(!sqlite.is_look_due());
        assert_eq!(sqlite.rest(portion), Duration::from_millis(400));
        assert_eq!(sqlite.rest(Duration::from_secs(9)), REST_MAX);
        sqlite.looked(false);
        assert_eq!(sqlite.rest(portion), Duration::ZERO, "nobody records any more");
        let mut postgres = Pace::new(DatabaseKind::Postgres);
        postgres.looked(true);
        assert_eq!(postgres.rest(portion), Duration::ZERO);
    }
}
