//! The summary of an import: counts of lines by their results.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use crate::{rules::LeftOut, unreadable::Unreadable};
use chrono::{DateTime, Utc};

/// The most unreadable lines that are listed with their errors, enough to see what is wrong with a log.
pub(crate) const UNREADABLE_FIRST_MAX: usize = 5;

/// The numbers of a log's lines by their results.
///
/// Empty lines, comments and directives are in none of the numbers, and `lines` is the sum of all the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportStats {
    /// The number of lines.
    pub lines: u64,
    /// The number of lines that are page views.
    pub counted: u64,
    /// The number of their views, which lines of counts have several of.
    pub views: u64,
    /// Whether the lines are counts.
    pub(crate) are_counts: bool,
    /// The number of counts of days whose hours are not known, which were counted at the first hour.
    pub(crate) days: u64,
    /// The number of lines that are not page views, by reason. A reason without lines has no entry.
    pub(crate) left_out: BTreeMap<LeftOut, u64>,
    /// The first line that was left out, by reason.
    pub(crate) left_out_first: BTreeMap<LeftOut, String>,
    /// The number of lines that can't be read.
    pub unreadable: u64,
    /// The line numbers, from 1, and the errors of the first unreadable lines, at most [`UNREADABLE_FIRST_MAX`].
    pub(crate) unreadable_first: Vec<(u64, Unreadable)>,
    /// The first line that can't be read.
    pub(crate) unreadable_line: Option<String>,
    /// The latest time of a page view.
    pub(crate) last_at: Option<DateTime<Utc>>,
}

impl ImportStats {
    /// Counts a page view.
    pub(crate) fn count_page_view(&mut self) {
        self.lines += 1;
        self.counted += 1;
        self.views += 1;
    }

    /// Counts a line of counts.
    pub(crate) fn count_views(&mut self, views: i64, is_day: bool) {
        self.lines += 1;
        self.counted += 1;
        self.views += views.unsigned_abs();
        self.are_counts = true;
        self.days += u64::from(is_day);
    }

    /// Counts a line that is not a page view.
    pub(crate) fn count_left_out(&mut self, reason: LeftOut, line: &[u8]) {
        self.lines += 1;
        *self.left_out.entry(reason).or_default() += 1;
        self.left_out_first.entry(reason).or_insert_with(|| text(line));
    }

    /// Counts a line that can't be read. `line_number` begins with 1 and includes empty lines, as in editors.
    pub(crate) fn count_unreadable(&mut self, line_number: u64, error: Unreadable, line: &[u8]) {
        self.lines += 1;
        self.unreadable += 1;
        self.unreadable_line.get_or_insert_with(|| text(line));
        if self.unreadable_first.len() < UNREADABLE_FIRST_MAX {
            self.unreadable_first.push((line_number, error));
        }
    }

    /// Adds the numbers of later lines of the same log. (The line numbers of another log would be meaningless here.)
    pub(crate) fn add(&mut self, later: Self) {
        self.lines += later.lines;
        self.counted += later.counted;
        self.views += later.views;
        self.are_counts |= later.are_counts;
        self.days += later.days;
        for (reason, lines) in later.left_out {
            *self.left_out.entry(reason).or_default() += lines;
        }
        for (reason, line) in later.left_out_first {
            self.left_out_first.entry(reason).or_insert(line);
        }
        self.unreadable += later.unreadable;
        self.unreadable_line = self.unreadable_line.take().or(later.unreadable_line);
        self.unreadable_first.extend(later.unreadable_first);
        self.unreadable_first.truncate(UNREADABLE_FIRST_MAX);
        self.last_at = self.last_at.max(later.last_at);
    }

    /// Adds the numbers of lines of another log.
    pub(crate) fn add_of_another_log(&mut self, other: &Self) {
        self.add(other.clone());
        // Numbers of lines mean nothing without their log.
        self.unreadable_first.clear();
    }

    /// Returns the number of readable lines that are not page views.
    #[must_use]
    pub(crate) fn left_out_lines(&self) -> u64 {
        self.left_out.values().sum()
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
}

/// The result of the import of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// The lines that this import judged.
    pub stats: ImportStats,
    /// The lines that were known.
    pub known: KnownLines,
    /// Whether the last line has no end yet and was not counted.
    pub has_open_line: bool,
    /// The views that would be counted, by page, if nothing was recorded.
    pub pages: BTreeMap<String, i64>,
}

/// The numbers of lines that had been imported before.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownLines {
    /// The number of lines, empty ones and comments included.
    pub lines: u64,
    /// The views that were counted of them, where it is known of whole chunks.
    pub views: u64,
    /// The number of lines that are the beginning of a longer log, so that their views are not known.
    pub of_a_longer_log: u64,
    /// The number of lines that an earlier program imported, which did not keep what it counted.
    pub uncertain: u64,
    /// The views that were counted of them and would be left out now; known only with `--again`.
    pub would_be_left_out: u64,
}

impl LogSummary {
    /// Adds the numbers of another log.
    pub fn add(&mut self, other: &Self) {
        self.stats.add_of_another_log(&other.stats);
        self.known.lines += other.known.lines;
        self.known.views += other.known.views;
        self.known.of_a_longer_log += other.known.of_a_longer_log;
        self.known.uncertain += other.known.uncertain;
        self.known.would_be_left_out += other.known.would_be_left_out;
        for (page, views) in &other.pages {
            *self.pages.entry(page.clone()).or_default() += views;
        }
    }

    /// Returns whether there are lines, and none of them could be read.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.stats.unreadable > 0 && self.stats.unreadable == self.stats.lines && self.known.lines == 0
    }

    /// Returns the first line of each kind that was left out or could not be read, each behind its reason.
    #[must_use]
    pub fn first_lines(&self) -> Vec<(String, &str)> {
        let left_out = self.stats.left_out_first.iter().map(|(reason, line)| (reason.to_string(), line.as_str()));
        let unreadable = self.stats.unreadable_line.iter().map(|line| ("unreadable".to_owned(), line.as_str()));
        left_out.chain(unreadable).collect()
    }
}

/// Writes several aligned lines, without a line end after the last one.
impl fmt::Display for LogSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stats, known, has_open_line, .. } = self;
        let left_out = stats.left_out_lines();
        let lines = stats.lines + known.lines;
        let views = stats.are_counts.then_some(stats.views);
        // `lines` is the largest number of lines.
        let width = lines.max(views.unwrap_or_default()).to_string().len();
        write!(f, "{:<32}{lines:>width$}", "lines")?;
        if known.lines > 0 {
            write!(f, "\n{:<32}{:>width$}", "imported before", known.lines)?;
            match (known.uncertain, known.of_a_longer_log) {
                (0, 0) => write!(f, ", of which {} were counted then", known.views)?,
                (0, _) => write!(f, ", as the beginning of a longer log")?,
                (uncertain, _) => write!(f, ", {uncertain} of them by an earlier program")?,
            }
            if known.would_be_left_out > 0 {
                write!(f, "\n  {:<30}{:>width$}", "would be left out now", known.would_be_left_out)?;
            }
        }
        write!(f, "\n{:<32}{:>width$}", "counted", stats.counted)?;
        if let Some(views) = views {
            write!(f, "\n  {:<30}{views:>width$}", "views")?;
        }
        if stats.days > 0 {
            write!(f, "\n  {:<30}{:>width$}", "days, at their first hour", stats.days)?;
        }
        write!(f, "\n{:<32}{left_out:>width$}", "left out")?;
        for (reason, lines) in &stats.left_out {
            write!(f, "\n  {reason:<30}{lines:>width$}")?;
        }
        write!(f, "\n{:<32}{:>width$}", "unreadable", stats.unreadable)?;
        for (line_number, error) in &stats.unreadable_first {
            write!(f, "\n  line {line_number}: {error}")?;
            if let Some(cause) = error.source() {
                write!(f, ": {cause}")?;
            }
        }
        let listed = u64::try_from(stats.unreadable_first.len()).unwrap_or(u64::MAX);
        match stats.unreadable.saturating_sub(listed) {
            0 => {}
            _ if listed == 0 => {}
            unlisted => write!(f, "\n  and {unlisted} more")?,
        }
        if *has_open_line {
            write!(f, "\nThe last line has no end yet. It counts with the next import, when it has one.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use access_logs::LineError;

    use super::*;

    fn stats(unreadable: u64) -> ImportStats {
        let mut stats = ImportStats::default();
        for _ in 0..3 {
            stats.count_page_view();
        }
        for reason in [LeftOut::Status, LeftOut::Asset, LeftOut::Asset] {
            stats.count_left_out(reason, b"line");
        }
        for line_number in 1..=unreadable {
            stats.count_unreadable(line_number, LineError::Status.into(), b"line");
        }
        stats
    }

    #[test]
    fn summary_is_aligned_and_lists_the_first_errors() {
        let expected = "\
lines                           12
counted                          3
left out                         3
  status other than 2xx or 304   1
  asset                          2
unreadable                       6
  line 1: the status is not a number of three digits
  line 2: the status is not a number of three digits
  line 3: the status is not a number of three digits
  line 4: the status is not a number of three digits
  line 5: the status is not a number of three digits
  and 1 more";
        assert_eq!(LogSummary { stats: stats(6), ..LogSummary::default() }.to_string(), expected);
    }

    #[test]
    fn error_is_listed_with_its_cause() {
        let mut stats = ImportStats::default();
        let cause = String::from_utf8(vec![b'/', 0xe9]).unwrap_err().utf8_error();
        stats.count_unreadable(7, LineError::Target(cause).into(), b"line");
        let expected = format!("  line 7: the request's target is not UTF-8: {cause}");
        let stats = LogSummary { stats, ..LogSummary::default() };
        assert_eq!(stats.to_string().lines().last(), Some(expected.as_str()));
    }

    #[test]
    fn summary_of_an_empty_log_has_only_zeros() {
        assert_eq!(LogSummary::default().to_string().split_whitespace().filter(|word| *word == "0").count(), 4);
    }

    #[test]
    fn adding_sums_the_numbers_and_keeps_the_first_errors() {
        let mut sum = stats(3);
        sum.add(stats(4));
        assert_eq!((sum.lines, sum.counted, sum.left_out_lines(), sum.unreadable), (19, 6, 6, 7));
        let numbers: Vec<u64> = sum.unreadable_first.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 1, 2]);
    }
}
