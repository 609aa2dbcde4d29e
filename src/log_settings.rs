//! The settings of logging.

use clap::{Args, ValueEnum};

/// What is logged, to standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogSettings {
    /// What to log: a level, or levels by module such as 'info,wolf=debug'
    #[arg(long, env = "ANALYTICS_LOG", value_name = "LEVELS", default_value = "info", global = true)]
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
