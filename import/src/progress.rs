//! What the imports of a process have done so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::summary::{ImportStats, LogSummary};

/// The numbers of lines that an importer has recorded, and of files that are open to be followed.
#[derive(Debug, Default)]
pub struct ImportProgress {
    stats: Mutex<ImportStats>,
    files: AtomicU64,
}

impl ImportProgress {
    pub(crate) fn add(&self, stats: &ImportStats) {
        self.stats().add_of_another_log(stats);
    }

    pub(crate) fn set_files(&self, files: usize) {
        self.files.store(u64::try_from(files).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn stats(&self) -> MutexGuard<'_, ImportStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the summary of all logs.
    #[must_use]
    pub fn summary(&self) -> LogSummary {
        LogSummary { stats: self.stats().clone(), ..LogSummary::default() }
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.stats().lines
    }

    /// Returns the numbers of lines that were counted as page views, left out, and not readable.
    #[must_use]
    pub fn results(&self) -> [u64; 3] {
        let stats = self.stats();
        [stats.counted, stats.left_out_lines(), stats.unreadable]
    }

    /// Returns the number of files that are open to be followed.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Returns the latest time of a page view.
    #[must_use]
    pub fn last_view_at(&self) -> Option<DateTime<Utc>> {
        self.stats().last_at
    }
}
