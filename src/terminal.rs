//! What people see: results on standard output, logs and complaints on standard error.

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

/// What libraries say about every start is theirs to know; `--log` may ask for it all the same.
const QUIET_LIBRARIES: &str = "sea_orm_migration=warn,sqlx::postgres::notice=warn,tokio_cron_scheduler=warn,\
     opentelemetry_sdk=warn,opentelemetry-otlp=warn";

/// These write down what clients send, and so their tokens: nobody may ask for that.
const SILENT_LIBRARIES: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// Starts logging, and exporting spans, if that is set up. A directive that can't be read is said and left out.
pub(crate) fn log(settings: &LogSettings, export: Option<&Export>) {
    let lines = fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(EnvFilter::new(directives(&settings.log)));
    tracing_subscriber::registry().with(lines).with(export.map(Export::layer)).init();
}

fn directives(asked: &str) -> String {
    let is_silent = |directive: &str| SILENT_LIBRARIES.iter().any(|library| directive.trim().starts_with(library));
    let asked = asked.split(',').filter(|directive| !is_silent(directive)).map(str::to_owned);
    let silent = SILENT_LIBRARIES.iter().map(|library| format!("{library}=off"));
    let mut all: Vec<_> = [QUIET_LIBRARIES.to_owned()].into_iter().chain(asked).collect();
    all.extend(silent);
    all.join(",")
}

/// Prints text that ends with its own line end, if it has one.
pub(crate) fn print(text: &str) {
    let mut output = io::stdout().lock();
    // Whoever closed standard output does not want it.
    drop(output.write_all(visible(text).as_bytes()).and_then(|()| output.flush()));
}

/// Returns the text with its bidirectional control characters written out, such as `\u{202e}`. Names of pages and of files
/// may have them, and terminals let them change the direction of all that follows.
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

/// Says why the command failed, each cause once: libraries' errors like to repeat their cause.
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
    // Who reads the log as JSON reads nothing else there.
    if format == LogFormat::Json && tracing::enabled!(Level::ERROR) {
        error!("{said}");
    } else {
        drop(writeln!(io::stderr().lock(), "analytics: {said}"));
    }
}

/// Whether the system lets another user do what failed, but not this one.
fn is_denied(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_direction_of_text_is_written_out() {
        assert_eq!(visible("/a\u{202e}b\u{2066}: 7\n"), "/a\\u{202e}b\\u{2066}: 7\n");
        assert_eq!(visible("/שלום\n"), "/שלום\n");
    }
}
