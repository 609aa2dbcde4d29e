//! The commands and their settings. Every flag has an environment variable of the same name.

use std::{net::SocketAddr, path::PathBuf};

use api::{
    http::{HttpSettings, access::Scopes, listen_address},
    increments::{ClientName, RecorderSettings},
    reports::ReportSettings,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use entity::DatabaseSettings;
use wolf::{ReportKind, ReportKindSetting, WolfSettings};

use crate::{roles::RolePrefix, spans::Endpoint};

/// Self-hosted page-view analytics: record increments, refresh a report, query it, know how fresh it is.
#[derive(Debug, Parser)]
#[command(name = "analytics", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(flatten)]
    pub(crate) serve: ServeSettings,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is logged, to standard error.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogSettings {
    /// What to log: a level, or levels by module such as 'info,wolf=debug'
    #[arg(long, env = "ANALYTICS_LOG", default_value = "info", global = true)]
    pub(crate) log: String,
    /// How to log
    #[arg(long, env = "ANALYTICS_LOG_FORMAT", default_value = "text", value_enum, global = true)]
    pub(crate) log_format: LogFormat,
    /// Where to send spans of operations, commits and refreshes: an OpenTelemetry collector that takes OTLP over HTTP, such
    /// as `http://127.0.0.1:4318`. None are made when left out
    #[arg(long, env = "ANALYTICS_OTLP_ENDPOINT", global = true, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<Endpoint>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// What a process can do.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Records increments
    Increments,
    /// Answers queries, and tells subscribers
    Reports,
    /// Refreshes the report
    Wolf,
}

impl Service {
    /// Returns the service's name in `--services`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Increments => "increments",
            Self::Reports => "reports",
            Self::Wolf => "wolf",
        }
    }
}

/// What a serving process needs.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeSettings {
    /// What this process does, several with ',' between them; others may do the rest
    #[arg(
        long,
        env = "ANALYTICS_SERVICES",
        value_delimiter = ',',
        value_enum,
        default_value = "increments,reports,wolf"
    )]
    pub(crate) services: Vec<Service>,
    #[command(flatten)]
    pub(crate) http: HttpSettings,
    #[command(flatten)]
    pub(crate) recorder: RecorderSettings,
    #[command(flatten)]
    pub(crate) reports: ReportSettings,
    #[command(flatten)]
    pub(crate) wolf: WolfSettings,
    /// Migrate a PostgreSQL database first (an SQLite file always is)
    #[arg(long, env = "ANALYTICS_MIGRATE")]
    pub(crate) migrate: bool,
    /// Milliseconds between a signal to stop and the moment when nothing more is accepted; /health/ready answers 503
    /// meanwhile, so that load balancers go elsewhere first
    #[arg(long, env = "ANALYTICS_SHUTDOWN_DELAY_MS", default_value_t = 0, value_name = "MS")]
    pub(crate) shutdown_delay_ms: u64,
    /// Milliseconds that stopping may take after that, all in all; what is not done then is given up, and the exit code
    /// is 1
    #[arg(long, env = "ANALYTICS_SHUTDOWN_TIMEOUT_MS", default_value_t = 25_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) shutdown_timeout_ms: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record increments, refresh the report and answer queries (the default)
    Serve(Box<ServeSettings>),
    /// Create or change the tables
    Migrate {
        #[command(subcommand)]
        command: Option<MigrateCommand>,
        #[command(flatten)]
        roles: RoleSettings,
    },
    /// Refresh the report once, now, then exit
    Refresh {
        #[command(flatten)]
        report_kind: ReportKindSetting,
    },
    /// Build the report anew from all that is counted, and swap it in
    Rebuild {
        /// What the report becomes on PostgreSQL; what it is when left out
        #[arg(long = "as", value_enum, value_name = "KIND")]
        kind: Option<ReportKind>,
    },
    /// Compare the report with its definition; exit with 1 and a list when they differ, with 3 when they could not be
    /// compared
    Verify,
    /// Copy the database, as it is at one moment, into a new file, while servers go on (SQLite). A PostgreSQL database is
    /// backed up with PostgreSQL's own tools; this says how and exits with 2
    Backup {
        /// The new file. It is never overwritten, and not there before it is complete
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Count the page views of access logs; importing the same log again counts nothing twice
    Import(ImportSettings),
    /// Make a token: prints it, this once, and the line that a server needs to know it
    Token {
        /// What it may do
        #[arg(long, default_value = "reports")]
        scopes: Scopes,
        /// The name of the client that it is for: idempotency keys belong to it, so that a token in place of this one is the
        /// same client. Without a name the token is a client of its own
        #[arg(long, value_name = "NAME")]
        client: Option<ClientName>,
    },
    /// Ask a server on this machine whether it is ready; exit with 1 when it is not. For containers
    Healthcheck(HealthcheckSettings),
    /// Print the GraphQL schema
    Schema,
}

#[derive(Copy, Clone, Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Apply what is missing (the default)
    Up,
    /// Show what is applied and what is missing
    Status,
    /// Take the newest migration back, WITH ALL DATA in the tables that it made
    Down,
}

/// A login for each service (PostgreSQL), with `migrate` and `migrate up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoleSettings {
    /// Then make a login for each service, or mend it: `PREFIX_increments`, `PREFIX_reports` and `PREFIX_wolf`, each with
    /// the least rights that its service needs (PostgreSQL)
    #[arg(long, env = "ANALYTICS_ROLES")]
    pub(crate) roles: bool,
    /// What the logins' names begin with: a letter, then letters, digits or _, all small
    #[arg(long, env = "ANALYTICS_ROLE_PREFIX", default_value = "analytics", value_name = "PREFIX")]
    pub(crate) role_prefix: RolePrefix,
    /// A file with a line 'SERVICE PASSWORD' for each login that gets a password; those that have no line keep theirs
    #[arg(long, env = "ANALYTICS_ROLE_PASSWORDS_FILE", value_name = "FILE")]
    pub(crate) role_passwords_file: Option<PathBuf>,
}

/// Whom to ask, and what.
#[derive(Args, Copy, Clone, Debug)]
pub(crate) struct HealthcheckSettings {
    /// The address that the server listens on
    #[arg(long, env = "ANALYTICS_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Ask only whether it lives
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ImportSettings {
    /// Access logs in the combined or the common format, plain or gzip; - is standard input. Import a log when it is
    /// complete (rotated): the last lines of one that has grown since would count again
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Count requests for images, styles, scripts and other assets too
    #[arg(long, env = "ANALYTICS_INCLUDE_ASSETS")]
    pub(crate) include_assets: bool,
    /// Count known bots too
    #[arg(long, env = "ANALYTICS_INCLUDE_BOTS")]
    pub(crate) include_bots: bool,
    #[command(flatten)]
    pub(crate) recorder: RecorderSettings,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        for argument in Cli::command().get_arguments() {
            let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
            let expected = match long {
                "database-url" => "DATABASE_URL".to_owned(),
                long => format!("ANALYTICS_{}", long.replace('-', "_").to_uppercase()),
            };
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()), "--{long}");
        }
    }
}
