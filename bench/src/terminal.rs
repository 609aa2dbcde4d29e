//! What people see: results on standard output, progress on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the clock of the progress line moves.
const TICK: Duration = Duration::from_millis(200);

/// Prints a line of the results.
#[expect(clippy::print_stdout, reason = "the results are what standard output is for")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}

/// A line that says what is going on, on a terminal only.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}{msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// What all that follows is part of.
    pub(crate) fn part(&self, part: &str) {
        self.0.set_prefix(format!("{part}: "));
    }

    /// What begins now.
    pub(crate) fn step(&self, step: impl Into<String>) {
        self.0.reset_elapsed();
        self.0.set_message(step.into());
    }

    /// Prints a line of the results above the line of the progress.
    pub(crate) fn print(&self, line: &str) {
        self.0.suspend(|| print(line));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
