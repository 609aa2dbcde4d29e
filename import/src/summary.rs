//! The summary of an import: counts of lines by their results.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use super::rules::LeftOut;
use access_logs::LineError;

/// The most unreadable lines that are listed with their errors, enough to see what is wrong with a log.
pub(crate) const UNREADABLE_FIRST_MAX: usize = 5;

/// The numbers of a log's lines by their results.
///
/// Empty lines are in none of the numbers, and `lines` is the sum of all the others. [`Display`](fmt::Display) writes
/// several aligned lines, without a line end after the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportStats {
    /// The number of lines that are not empty.
    pub lines: u64,
    /// The number of lines that are page views.
    pub counted: u64,
    /// The number of lines that are not page views, by reason. A reason without lines has no entry.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// The number of lines that can't be read.
    pub unreadable: u64,
    /// The line numbers, from 1, and the errors of the first unreadable lines, at most [`UNREADABLE_FIRST_MAX`].
    pub unreadable_first: Vec<(u64, LineError)>,
}

impl ImportStats {
    /// Counts a page view.
    pub fn count_page_view(&mut self) {
        self.lines += 1;
        self.counted += 1;
    }

    /// Counts a line that is not a page view.
    pub fn count_left_out(&mut self, reason: LeftOut) {
        self.lines += 1;
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Counts a line that can't be read. `line_number` begins with 1 and includes empty lines, as in editors.
    pub fn count_unreadable(&mut self, line_number: u64, error: LineError) {
        self.lines += 1;
        self.unreadable += 1;
        if self.unreadable_first.len() < UNREADABLE_FIRST_MAX {
            self.unreadable_first.push((line_number, error));
        }
    }

    /// Adds the numbers of later lines of the same log. (The line numbers of another log would be meaningless here.)
    pub fn add(&mut self, later: Self) {
        self.lines += later.lines;
        self.counted += later.counted;
        for (reason, lines) in later.left_out {
            *self.left_out.entry(reason).or_default() += lines;
        }
        self.unreadable += later.unreadable;
        self.unreadable_first.extend(later.unreadable_first);
        self.unreadable_first.truncate(UNREADABLE_FIRST_MAX);
    }

    /// Returns the number of readable lines that are not page views.
    #[must_use]
    pub fn left_out_lines(&self) -> u64 {
        self.left_out.values().sum()
    }
}

impl fmt::Display for ImportStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.left_out_lines();
        // `lines` is the largest number, so its width is enough for all.
        let width = self.lines.to_string().len();
        write!(f, "{:<32}{:>width$}", "lines", self.lines)?;
        write!(f, "\n{:<32}{:>width$}", "counted", self.counted)?;
        write!(f, "\n{:<32}{left_out:>width$}", "left out")?;
        for (reason, lines) in &self.left_out {
            write!(f, "\n  {reason:<30}{lines:>width$}")?;
        }
        write!(f, "\n{:<32}{:>width$}", "unreadable", self.unreadable)?;
        for (line_number, error) in &self.unreadable_first {
            write!(f, "\n  line {line_number}: {error}")?;
            if let Some(cause) = error.source() {
                write!(f, ": {cause}")?;
            }
        }
        let listed = u64::try_from(self.unreadable_first.len()).unwrap_or(u64::MAX);
        match self.unreadable.saturating_sub(listed) {
            0 => Ok(()),
            unlisted => write!(f, "\n  and {unlisted} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(unreadable: u64) -> ImportStats {
        let mut stats = ImportStats::default();
        for _ in 0..3 {
            stats.count_page_view();
        }
        for reason in [LeftOut::Status, LeftOut::Asset, LeftOut::Asset] {
            stats.count_left_out(reason);
        }
        for line_number in 1..=unreadable {
            stats.count_unreadable(line_number, LineError::Status);
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
        assert_eq!(stats(6).to_string(), expected);
    }

    #[test]
    fn error_is_listed_with_its_cause() {
        let mut stats = ImportStats::default();
        let cause = String::from_utf8(vec![b'/', 0xe9]).unwrap_err().utf8_error();
        stats.count_unreadable(7, LineError::Target(cause));
        let expected = format!("  line 7: the request's target is not UTF-8: {cause}");
        assert_eq!(stats.to_string().lines().last(), Some(expected.as_str()));
    }

    #[test]
    fn summary_of_an_empty_log_has_only_zeros() {
        assert_eq!(ImportStats::default().to_string().split_whitespace().filter(|word| *word == "0").count(), 4);
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
