//! In which order and in which portions stale hours are merged.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use entity::Hour;

/// How long a transaction should take: what a writer of the same rows may have to wait for, and a crash can undo.
const TRANSACTION_TARGET: Duration = Duration::from_millis(250);
/// How many hours the first transaction takes: what a refresh usually finds.
const HOURS_FIRST: usize = 4;
/// How many hours a transaction takes at most; at least it takes one.
const HOURS_MAX: usize = 256;

/// The hours that were stale when a refresh began and are still to be merged, newest first.
#[derive(Debug)]
pub(crate) struct Backlog {
    hours: BTreeSet<Hour>,
    portion: usize,
    portion_begun: Instant,
}

impl Backlog {
    pub(crate) fn new(hours: impl IntoIterator<Item = Hour>) -> Self {
        Self { hours: hours.into_iter().collect(), portion: HOURS_FIRST, portion_begun: Instant::now() }
    }

    /// Whether everything that was stale at the beginning is merged.
    pub(crate) fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// The hours of the next transaction: the newest of the backlog, and of the hours that are marked now (`marked`)
    /// those that became stale since and are newer, so that a long backlog does not keep the present waiting.
    pub(crate) fn next_portion(&mut self, marked: impl IntoIterator<Item = Hour>) -> Vec<Hour> {
        self.portion_begun = Instant::now();
        let newest = self.hours.last().copied();
        let fresh = marked.into_iter().filter(|hour| Some(*hour) > newest && !self.hours.contains(hour));
        let mut portion: Vec<_> = fresh.take(self.portion).collect();
        portion.extend(std::iter::from_fn(|| self.hours.pop_last()).take(self.portion));
        portion
    }

    /// Doubles or halves the next portion, by how long the last one took.
    pub(crate) fn portion_done(&mut self) {
        self.adapt(self.portion_begun.elapsed());
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

    fn hour(hours: i32) -> Hour {
        Hour::containing(DateTime::UNIX_EPOCH).plus(hours)
    }

    #[test]
    fn the_newest_hours_come_first_and_all_come_once() {
        let mut backlog = Backlog::new((0..11).map(hour));
        let mut merged = Vec::new();
        while !backlog.is_empty() {
            let portion = backlog.next_portion([]);
            assert!(portion.len() <= HOURS_FIRST);
            merged.extend(portion);
        }
        assert_eq!(merged, (0..11).rev().map(hour).collect::<Vec<_>>());
    }

    #[test]
    fn what_becomes_stale_meanwhile_goes_before_the_backlog_but_never_stops_it() {
        let mut backlog = Backlog::new((0..11).map(hour));
        assert_eq!(backlog.next_portion([hour(20)])[..2], [hour(20), hour(10)]);
        // The present is marked again and again.
        let mut portions = 1;
        while !backlog.is_empty() {
            assert_eq!(backlog.next_portion([hour(21), hour(20)])[..2], [hour(21), hour(20)]);
            portions += 1;
        }
        assert_eq!(portions, 3);
        // What is older than the backlog waits for the next refresh.
        let mut backlog = Backlog::new([hour(5)]);
        assert_eq!(backlog.next_portion([hour(3), hour(5)]), [hour(5)]);
    }

    #[test]
    fn portions_follow_the_time_they_take() {
        let mut backlog = Backlog::new([]);
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
