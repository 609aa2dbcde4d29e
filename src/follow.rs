//! Following logs: `analytics import --follow`, and beside the services of `analytics serve`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use import::{Follower, ImportProgress, Importer, STANDARD_INPUT};
use increments::Recorder;
use indicatif::ProgressBar;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use storage::Database;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::{cli::ImportRules, signals::Signals, terminal};

const LINES: &str = "analytics_followed_lines_total";
const FILES: &str = "analytics_followed_files";
const LAST_VIEW: &str = "analytics_followed_last_view_timestamp_seconds";
/// The results of lines, in the order of [`ImportProgress::results`].
const RESULTS: [&str; 3] = ["counted", "left_out", "unreadable"];

/// The time over which lines per second are measured.
const RATE_PERIOD: Duration = Duration::from_secs(1);

/// The logs that a server follows.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access logs")]
pub(crate) struct FollowSettings {
    /// An access log to be counted while a web server writes to it, through every rotation: a file, a folder or a pattern;
    /// several are separated by ','. Needs the service increments
    #[arg(long, env = "ANALYTICS_FOLLOW", value_name = "FILE", value_delimiter = ',')]
    follow: Vec<PathBuf>,
    #[command(flatten)]
    rules: ImportRules,
}

impl FollowSettings {
    /// Checks that the logs can be followed by a server, which may have the service increments or not.
    ///
    /// # Errors
    /// When they can't.
    pub(crate) fn check(&self, has_increments: bool) -> Result<(), FollowRefused> {
        match self.follow.is_empty() || has_increments {
            true => check(&self.follow),
            false => Err(FollowRefused::NoIncrements),
        }
    }

    /// Returns the importer of the logs; none if there are none.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) async fn importer(
        &self,
        database: &Database,
        recorder: Option<&Recorder>,
    ) -> anyhow::Result<Option<Importer>> {
        let Some(recorder) = recorder.filter(|_| !self.follow.is_empty()) else { return Ok(None) };
        let rules = self.rules.clone().into();
        Ok(Some(Importer::new(database, Some(recorder.clone()), rules, crate::VERSION).await?))
    }

    /// Follows the logs until `stop` is cancelled.
    pub(crate) async fn run(self, importer: Importer, stop: CancellationToken) -> anyhow::Result<()> {
        Follower::new(importer, self.follow, stop).run().await;
        Ok(())
    }
}

/// The reason why logs can't be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowRefused {
    #[error("standard input can't be followed; name a file, or leave out --follow")]
    StandardInput,
    #[error("--follow needs the service increments: add it to --services")]
    NoIncrements,
}

/// Checks that what `arguments` name can be followed.
///
/// # Errors
/// When standard input is among them.
pub(crate) fn check(arguments: &[PathBuf]) -> Result<(), FollowRefused> {
    match arguments.iter().any(|argument| argument == Path::new(STANDARD_INPUT)) {
        true => Err(FollowRefused::StandardInput),
        false => Ok(()),
    }
}

/// Follows the logs until SIGTERM or SIGINT, with progress on a terminal, and prints a summary.
///
/// # Errors
/// When a second signal comes.
pub(crate) async fn follow(importer: Importer, arguments: Vec<PathBuf>, mut signals: Signals) -> anyhow::Result<()> {
    let (stop, progress) = (CancellationToken::new(), importer.progress());
    let bar = ProgressBar::new_spinner();
    terminal::set_style(&bar, "{spinner} {msg}");
    let following = Follower::new(importer, arguments, stop.clone()).run();
    tokio::pin!(following);
    let (mut redraw, mut rate) = (interval(terminal::REDRAW_PERIOD), Rate::new());
    loop {
        tokio::select! {
            () = &mut following => break,
            () = signals.next() => match stop.is_cancelled() {
                true => bail!("cut short by a second signal"),
                false => stop.cancel(),
            },
            _ = redraw.tick(), if !bar.is_hidden() => {
                bar.set_message(progress_line(&progress, rate.update(progress.lines())));
                bar.tick();
            }
        }
    }
    bar.finish_and_clear();
    terminal::print(&format!("{}\n", progress.summary()));
    Ok(())
}

fn progress_line(progress: &ImportProgress, lines_per_second: u64) -> String {
    let last = progress.last_view_at().map_or_else(String::new, |time| format!(", the last view of {time}"));
    let files = match progress.files() {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    format!("{files}, {} lines, {lines_per_second} lines/s{last}", progress.lines())
}

/// Lines per second, of the last whole period.
struct Rate {
    since: Instant,
    lines: u64,
    per_second: u64,
}

impl Rate {
    fn new() -> Self {
        Self { since: Instant::now(), lines: 0, per_second: 0 }
    }

    fn update(&mut self, lines: u64) -> u64 {
        if self.since.elapsed() >= RATE_PERIOD {
            let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let more = lines.saturating_sub(self.lines);
            self.per_second = more.saturating_mul(1_000).checked_div(millis).unwrap_or_default();
            (self.since, self.lines) = (Instant::now(), lines);
        }
        self.per_second
    }
}

/// The metrics of what a server follows, measured when they are asked for.
#[derive(Clone, Debug)]
pub(crate) struct FollowMetrics(Arc<ImportProgress>);

impl FollowMetrics {
    /// Returns the metrics of what the importer does; zeros if there is none.
    pub(crate) fn new(importer: Option<&Importer>) -> Self {
        describe_counter!(LINES, "Lines of followed logs, by what became of them.");
        describe_gauge!(FILES, "Files of followed logs that are open.");
        describe_gauge!(
            LAST_VIEW,
            "The time of the last page view in followed logs, in seconds since 1970; 0 before the first."
        );
        Self(importer.map(Importer::progress).unwrap_or_default())
    }

    #[expect(clippy::cast_precision_loss, reason = "times and numbers of files are far below 2^53")]
    pub(crate) fn observe(&self) {
        let progress = &self.0;
        for (result, lines) in RESULTS.into_iter().zip(progress.results()) {
            counter!(LINES, "result" => result).absolute(lines);
        }
        gauge!(FILES).set(progress.files() as f64);
        gauge!(LAST_VIEW).set(progress.last_view_at().map_or(0.0, |time| time.timestamp() as f64));
    }
}
