//! Output for people: results on standard output, logs and errors on standard error.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
};

use api::increments::is_bidirectional_control;
use tracing::{Level, error};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    cli::{LogFormat, LogSettings},
    spans::Export,
};

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

/// Prints the error with its causes. A cause whose text the message contains already is left out, since errors of
/// libraries often repeat their cause.
pub(crate) fn complain(error: &anyhow::Error, format: LogFormat) {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.contains(&cause) {
            said.push_str(if said.is_empty() { "" } else { ": " });
            said.push_str(&cause);
        }
    }
    if error.chain().any(is_denied) {
        said.push_str(&format!("; the process runs as user {}", rustix::process::geteuid().as_raw()));
    }
    let said = visible(&said);
    // If the log is JSON, standard error must not have other text.
    if format == LogFormat::Json && tracing::enabled!(Level::ERROR) {
        error!("{said}");
    } else {
        drop(writeln!(io::stderr().lock(), "analytics: {said}"));
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
