//! Output for people: results on standard output, logs and errors on standard error.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use increments::is_bidirectional_control;
use indicatif::{ProgressBar, ProgressStyle};
use tracing::{Level, error};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    log_settings::{LogFormat, LogSettings},
    spans::Export,
};

/// The time between two updates of a progress bar.
pub(crate) const REDRAW_PERIOD: Duration = Duration::from_millis(100);

/// The log directives that silence routine messages of libraries. `--log` can override them.
const QUIET_LIBRARIES: &str = "sea_orm_migration=warn,sqlx::postgres::notice=warn,tokio_cron_scheduler=warn,\
     opentelemetry_sdk=warn,opentelemetry-otlp=warn";

/// The libraries that log what clients send, including tokens. `--log` can't enable them.
const SILENT_LIBRARIES: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Starts logging, and the export of spans if `export` is given. An invalid directive is reported and ignored.
pub(crate) fn log(settings: &LogSettings, export: Option<&Export>) {
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(EnvFilter::new(directives(&settings.log)));
    tracing_subscriber::registry().with(lines).with(export.map(Export::layer)).init();
}

/// Returns all log directives, with `asked` from `--log`.
fn directives(asked: &str) -> String {
    let is_silent = |directive: &str| SILENT_LIBRARIES.iter().any(|library| directive.trim().starts_with(library));
    let asked = asked.split(',').filter(|directive| !is_silent(directive)).map(str::to_owned);
    let silent = SILENT_LIBRARIES.iter().map(|library| format!("{library}=off"));
    let mut all: Vec<_> = [QUIET_LIBRARIES.to_owned()].into_iter().chain(asked).collect();
    all.extend(silent);
    all.join(",")
}

/// Prints the text, without adding a line end.
pub(crate) fn print(text: &str) {
    let mut output = io::stdout().lock();
    // Errors are ignored: standard output may be closed.
    drop(output.write_all(visible(text).as_bytes()).and_then(|()| output.flush()));
}

/// Prints the text on standard error, without adding a line end.
pub(crate) fn note(text: &str) {
    drop(io::stderr().lock().write_all(visible(text).as_bytes()));
}

/// Returns the text with its bidirectional control characters escaped, such as `\u{202e}`. Names of pages and files may
/// have such characters, and in a terminal they change the direction of the text behind them.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut visible, character| {
        if is_bidirectional_control(character) {
            visible.extend(character.escape_unicode());
        } else {
            visible.push(character);
        }
        visible
    })
}

/// Returns a line for each row, with its fields in columns that are as wide as their longest field.
pub(crate) fn columns<const COUNT: usize>(rows: &[[String; COUNT]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..COUNT).map(width).collect();
    let line = |row: &[String; COUNT]| {
        let fields = row.iter().zip(&widths).map(|(field, width)| format!("{field:<width$}"));
        fields.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Asks a question on standard error, and returns the line that is typed.
///
/// # Errors
/// When standard input can't be read.
pub(crate) fn ask(question: &str) -> io::Result<String> {
    let mut output = io::stderr().lock();
    output.write_all(visible(question).as_bytes()).and_then(|()| output.flush())?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// The progress of a command, on standard error if that is a terminal; nothing otherwise. It is erased when this is
/// dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows `message` and the time that has passed, until the amount of work is known.
    pub(crate) fn start(message: &'static str) -> Self {
        let progress = ProgressBar::new_spinner().with_message(message);
        set_style(&progress, "{spinner} {msg}, {elapsed}");
        if !progress.is_hidden() {
            progress.tick();
            progress.enable_steady_tick(REDRAW_PERIOD);
        }
        Self(progress)
    }

    /// Shows a bar, with the number of `unit`s done and of all.
    pub(crate) fn set(&self, unit: &'static str, done: u64, all: u64) {
        if self.0.length() != Some(all) {
            self.0.set_length(all);
            set_style(&self.0, "{bar:40} {pos}/{len} {msg}, {elapsed}, eta {eta}");
        }
        self.0.set_position(done);
        // Draws at once, unlike a position, which waits for the next tick.
        self.0.set_message(unit);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Sets the template of a progress bar. A wrong template leaves the style as it is.
pub(crate) fn set_style(progress: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
}

/// Prints the error with its causes. A cause whose text the message contains already is left out, since errors of
/// libraries often repeat their cause.
pub(crate) fn print_error(error: &anyhow::Error, format: LogFormat) {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !message.contains(&cause) {
            message.push_str(if message.is_empty() { "" } else { ": " });
            message.push_str(&cause);
        }
    }
    if error.chain().any(is_denied) {
        message.push_str(&format!("; the process runs as user {}", rustix::process::geteuid().as_raw()));
    }
    let message = visible(&message);
    // If the log is JSON, standard error must not have other text.
    if format == LogFormat::Json && tracing::enabled!(Level::ERROR) {
        error!("{message}");
    } else {
        drop(writeln!(io::stderr().lock(), "analytics: {message}"));
    }
}

/// Returns whether the cause is that the process's user lacks a permission.
fn is_denied(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bidirectional_control_characters_are_escaped() {
        assert_eq!(visible("/a\u{202e}b\u{2066}: 7\n"), "/a\\u{202e}b\\u{2066}: 7\n");
        assert_eq!(visible("/שלום\n"), "/שלום\n");
    }
}
