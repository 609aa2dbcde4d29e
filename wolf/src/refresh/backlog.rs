//! The order and the portions in which a refresh merges stale hours.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use entity::Hour;

/// The time that one transaction should take: so long may a writer of the same rows have to wait.
const TRANSACTION_TARGET: Duration = Duration::from_millis(250);
/// The hours of the first transaction: as many as a refresh usually finds.
const HOURS_FIRST: usize = 4;
/// The most hours of one transaction; the least is one.
const HOURS_MAX: usize = 256;

/// The hours that were stale when a refresh began and are still to be merged, newest first.
#[derive(Debug)]
pub(crate) struct Backlog {
    hours: BTreeSet<Hour>,
    /// The number of hours at the beginning.
    hours_at_first: usize,
    portion: usize,
    counts_max: usize,
    /// When the portion under way began.
    portion_begun: Option<Instant>,
    /// The backlog's hours in the portion that is being merged.
    in_portion: Vec<Hour>,
}

impl Backlog {
    /// Creates the backlog of `hours`. A portion merges at most `counts_max` changed counts at first.
    pub(crate) fn new(hours: impl IntoIterator<Item = Hour>, counts_max: usize) -> Self {
        let hours: BTreeSet<_> = hours.into_iter().collect();
        Self {
            hours_at_first: hours.len(),
            hours,
            portion: HOURS_FIRST,
            counts_max,
            portion_begun: None,
            in_portion: Vec::new(),
        }
    }

    /// Returns whether every hour that was stale at the beginning is merged.
    pub(crate) fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// Returns how many of the hours are merged, and how many there were at the beginning.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let number = |hours: usize| u64::try_from(hours).unwrap_or(u64::MAX);
        (number(self.hours_at_first.saturating_sub(self.hours.len())), number(self.hours_at_first))
    }

    /// Returns the hours of the next transaction: the newest hours of the backlog, and before them the hours in `marked`
    /// that are newer and became stale since, so that a long backlog does not delay current hours.
    pub(crate) fn next_portion(&mut self, marked: impl IntoIterator<Item = Hour>) -> Vec<Hour> {
        self.portion_begun = Some(Instant::now());
        let newest = self.hours.last().copied();
        let fresh = marked.into_iter().filter(|hour| Some(*hour) > newest && !self.hours.contains(hour));
        let mut portion: Vec<_> = fresh.take(self.portion).collect();
        self.in_portion = std::iter::from_fn(|| self.hours.pop_last()).take(self.portion).collect();
        portion.extend(&self.in_portion);
        portion
    }

    /// The most changed counts that the portion may merge.
    pub(crate) fn counts_max(&self) -> usize {
        self.counts_max
    }

    /// Puts back `hours`, which have more changed counts than the portion may merge, and doubles that bound, so that
    /// the refresh ends however many counts change meanwhile.
    pub(crate) fn unfinished(&mut self, hours: &[Hour]) {
        self.hours.extend(self.in_portion.iter().filter(|hour| hours.contains(hour)));
        self.portion = self.portion.div_euclid(2).max(1);
        self.counts_max = self.counts_max.saturating_mul(2);
    }

    /// Doubles or halves the next portion by the time that the one under way took, if there is one.
    pub(crate) fn portion_done(&mut self) {
        if let Some(begun) = self.portion_begun.take() {
            self.adapt(begun.elapsed());
        }
    }

    fn adapt(&mut self, took: Duration) {
        if took > TRANSACTION_TARGET {
            self.portion = self.portion.div_euclid(2).max(1);
        } else if took * 2 < TRANSACTION_TARGET {
            self.portion = (self.portion * 2).min(HOURS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const COUNTS: usize = 50_000;

    fn hour(hours: i32) -> Hour {
        Hour::containing(DateTime::UNIX_EPOCH).plus(hours)
    }

    #[test]
    fn newest_hours_come_first_and_each_comes_once() {
        let mut backlog = Backlog::new((0..11).map(hour), COUNTS);
        let mut merged = Vec::new();
        while !backlog.is_empty() {
            assert_eq!(backlog.progress(), (u64::try_from(merged.len()).unwrap(), 11));
            let portion = backlog.next_portion([]);
            assert!(portion.len() <= HOURS_FIRST);
            merged.extend(portion);
        }
        assert_eq!(backlog.progress(), (11, 11));
        assert_eq!(merged, (0..11).rev().map(hour).collect::<Vec<_>>());
    }

    #[test]
    fn newer_stale_hours_go_before_the_backlog_and_never_stop_it() {
        let mut backlog = Backlog::new((0..11).map(hour), COUNTS);
        assert_eq!(backlog.next_portion([hour(20)])[..2], [hour(20), hour(10)]);
        // Current hours are marked again and again.
        let mut portions = 1;
        while !backlog.is_empty() {
            assert_eq!(backlog.next_portion([hour(21), hour(20)])[..2], [hour(21), hour(20)]);
            portions += 1;
        }
        assert_eq!(portions, 3);
        // An hour older than the backlog waits for the next refresh.
        let mut backlog = Backlog::new([hour(5)], COUNTS);
        assert_eq!(backlog.next_portion([hour(3), hour(5)]), [hour(5)]);
    }

    #[test]
    fn unfinished_hours_come_again_until_they_fit() {
        let mut backlog = Backlog::new([hour(1), hour(2), hour(3)], COUNTS);
        let portion = backlog.next_portion([hour(9)]);
        assert_eq!(portion, [hour(9), hour(3), hour(2), hour(1)]);
        // The newer hour was not stale at the beginning: its mark is left for the next refresh.
        backlog.unfinished(&[hour(9), hour(2), hour(1)]);
        assert_eq!(backlog.next_portion([]), [hour(2), hour(1)]);
        let mut tries = 0;
        while backlog.counts_max() < 1_000_000_000 {
            backlog.unfinished(&[hour(2)]);
            assert_eq!(backlog.next_portion([]), [hour(2)]);
            tries += 1;
        }
        assert_eq!(tries, 14);
        assert!(backlog.is_empty());
    }

    #[test]
    fn portion_size_follows_the_time_of_the_last_portion() {
        let mut backlog = Backlog::new([], COUNTS);
        for _ in 0..20 {
            backlog.adapt(Duration::ZERO);
        }
        assert_eq!(backlog.portion, HOURS_MAX);
        for _ in 0..20 {
            backlog.adapt(TRANSACTION_TARGET * 2);
        }
        assert_eq!(backlog.portion, 1);
        backlog.adapt(TRANSACTION_TARGET);
        assert_eq!(backlog.portion, 1);
    }
}
