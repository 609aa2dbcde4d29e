//! The settings of logging.

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;

/// What is logged, to standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogSettings {
    /// What to log: a level, or levels by module such as 'info,wolf=debug'
    #[arg(
        long,
        env = "ANALYTICS_LOG",
        value_name = "LEVELS",
        default_value = "info",
        value_parser = levels,
        global = true
    )]
    pub(crate) log: String,
    /// The format of the log; 'json' has one object per line
    #[arg(
        long,
        env = "ANALYTICS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        value_enum,
        global = true
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Checks each level. What parses directives takes a misspelt level for the name of a module.
fn levels(text: &str) -> Result<String, String> {
    for directive in text.split(',').filter(|directive| !directive.is_empty()) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() {
            return Err(format!("\"{level}\" is no level: they are off, error, warn, info, debug and trace"));
        }
    }
    Ok(text.to_owned())
}
