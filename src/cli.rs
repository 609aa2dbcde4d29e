//! The command line: the commands, and the settings of each. Every setting has an environment variable.
//!
//! Each command has only the settings that it uses, so that neither its help nor a variable of another command is in
//! its way.

mod examples;
#[cfg(test)]
mod generated_files;
mod groups;
pub(crate) mod manage;
#[cfg(test)]
mod tests;

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use access_logs::Format;
use anyhow::{Context, bail};
use api::{
    access::Scopes,
    http::{HttpSettings, ServiceUrl, listen_address},
};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, builder::Resettable,
    parser::ValueSource,
};
use clap_complete::Shell;
use counts::{Form, FormatName};
use increments::{ClientName, RecorderSettings};
use reports::ReportSettings;
use storage::{
    ConnectionSettings, DatabaseSettings,
    database::{DEFAULT_URL, DatabaseUrl},
};
use wolf::{ReportKind, ReportKindSetting, WolfSettings};

pub(crate) use self::groups::{ApplyGroupsSettings, GroupsCommand};
use self::manage::{ImportsCommand, PagesCommand, ViewsCommand};
use crate::{follow::FollowSettings, log_settings::LogSettings, role_prefix::RolePrefix, spans::Endpoint, terminal};

/// The name of the program.
pub(crate) const PROGRAM: &str = env!("CARGO_PKG_NAME");
/// The command that runs if none is given.
const DEFAULT_COMMAND: &str = "serve";

/// Self-hosted page-view analytics: record increments, refresh a report, query it, know how fresh it is.
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    version = crate::VERSION,
    subcommand_value_name = "COMMAND",
    override_usage = "analytics [serve] [OPTIONS]\n       analytics <COMMAND> [OPTIONS]",
    after_help = "Without a command, `analytics` serves: its flags are those of `analytics serve`.",
    after_long_help = examples::ANALYTICS,
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parses the arguments of this process and its environment. If they are wrong, prints the reason and exits.
    pub(crate) fn parse_process() -> Self {
        let arguments = with_command(std::env::args_os().collect());
        let parsed = Self::command().try_get_matches_from(arguments).and_then(|matches| Self::from_matches(&matches));
        parsed.unwrap_or_else(|error| error.exit())
    }

    fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        if let Command::Migrate(settings) = &mut cli.command
            && let Some((_, matches)) = matches.subcommand()
            && matches.value_source("roles") == Some(ValueSource::EnvVariable)
            && matches!(settings.command, Some(MigrateCommand::Status | MigrateCommand::Down))
        {
            // The variable is meant for `migrate up` in the same environment.
            (settings.roles.roles, settings.roles.role_passwords_file) = (false, None);
        }
        Ok(cli)
    }
}

/// Inserts [`DEFAULT_COMMAND`] unless the first argument is a command, or asks for help or the version.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_flag = |first: &OsStr| {
        first.as_encoded_bytes().starts_with(b"-")
            && !["-h", "--help", "-V", "--version"].iter().any(|flag| first == *flag)
    };
    if arguments.get(1).is_none_or(|first| is_flag(first)) {
        arguments.insert(arguments.len().min(1), DEFAULT_COMMAND.into());
    }
    arguments
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record increments, refresh the report and answer queries (the default)
    #[command(after_long_help = examples::SERVE)]
    Serve(Box<ServeSettings>),
    /// Serve a made-up year of a site, with live views, from a database that is thrown away at the end: to look around
    #[command(after_long_help = examples::DEMO)]
    Demo(DemoSettings),
    /// Create or change the tables
    #[command(after_long_help = examples::MIGRATE)]
    Migrate(MigrateSettings),
    /// Refresh the report once, now, then exit
    #[command(after_long_help = examples::REFRESH)]
    Refresh(RefreshSettings),
    /// Build a new report from all counts, and replace the old one by it
    #[command(after_long_help = examples::REBUILD)]
    Rebuild(RebuildSettings),
    /// Compare the report with its definition; exit with 1 and a list if they differ, with 3 if they could not be compared
    #[command(after_long_help = examples::VERIFY)]
    Verify(CommonSettings),
    /// Copy the database, as it is at one moment, into a new file, while servers go on (SQLite). A PostgreSQL database is
    /// backed up with PostgreSQL's own tools; this says how and exits with 2
    #[command(after_long_help = examples::BACKUP)]
    Backup(BackupSettings),
    /// Write the counts into a file, as CSV or JSON Lines, while servers go on. `analytics import --counts` takes it back
    #[command(after_long_help = examples::EXPORT)]
    Export(ExportSettings),
    /// Count the page views of access logs, or counts of another database; importing the same file again counts nothing
    /// twice
    #[command(after_long_help = examples::IMPORT)]
    Import(ImportSettings),
    /// List the imports: when, which logs, by which options, how many lines. Or take one back
    #[command(after_long_help = examples::IMPORTS)]
    Imports(ImportsSettings),
    /// Rename pages, or remove them
    #[command(after_long_help = examples::PAGES)]
    Pages {
        #[command(subcommand)]
        command: PagesCommand,
    },
    /// Remove the views of a time, or correct the views of a page in an hour
    #[command(after_long_help = examples::VIEWS)]
    Views {
        #[command(subcommand)]
        command: ViewsCommand,
    },
    /// Declare groups of pages, whose totals and series cost what those of the whole site cost; or list them
    #[command(after_long_help = examples::GROUPS)]
    Groups {
        #[command(subcommand)]
        command: GroupsCommand,
    },
    /// List the changes of what was counted, newest first: those that wait, and those that are done
    #[command(after_long_help = examples::JOBS)]
    Jobs(CommonSettings),
    /// Create a token: prints it, this once, and the line by which a server knows it
    #[command(after_long_help = examples::TOKEN)]
    Token(TokenSettings),
    /// Print the lines that count the views of a page by its visitors' browsers, to be put into each page of a site
    #[command(after_long_help = examples::SNIPPET)]
    Snippet {
        /// The address by which browsers reach the service, such as `https://stats.example.org`
        #[arg(value_name = "URL")]
        service: ServiceUrl,
    },
    /// Check whether a server on this machine is ready; exit with 1 if it is not. For containers
    #[command(after_long_help = examples::HEALTHCHECK)]
    Healthcheck(HealthcheckSettings),
    /// Print the GraphQL schema
    #[command(after_long_help = examples::SCHEMA)]
    Schema,
    /// Print the completions of this command line for a shell
    #[command(after_long_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands into a folder
    #[command(after_long_help = examples::MAN)]
    Man {
        /// The folder, such as /usr/local/share/man/man1
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

impl Command {
    /// Returns how to log; `None` for the commands that log nothing.
    pub(crate) fn log(&self) -> Option<&LogSettings> {
        match self {
            Self::Serve(settings) => Some(&settings.log),
            Self::Migrate(MigrateSettings { common, .. })
            | Self::Refresh(RefreshSettings { common, .. })
            | Self::Rebuild(RebuildSettings { common, .. })
            | Self::Verify(common)
            | Self::Imports(ImportsSettings { common, .. })
            | Self::Jobs(common)
            | Self::Import(ImportSettings { common, .. }) => Some(&common.log),
            Self::Pages { command } => Some(&command.common().log),
            Self::Views { command } => Some(&command.common().log),
            Self::Groups { command } => Some(&command.common().log),
            Self::Backup(settings) => Some(&settings.log),
            Self::Export(settings) => Some(&settings.common.log),
            Self::Demo(settings) => Some(&settings.log),
            Self::Healthcheck(settings) => Some(&settings.log),
            Self::Token(_) | Self::Snippet { .. } | Self::Schema | Self::Completions { .. } | Self::Man { .. } => None,
        }
    }

    /// Returns where to send spans to.
    pub(crate) fn otlp_endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Serve(settings) => settings.spans.otlp_endpoint.as_ref(),
            Self::Refresh(settings) => settings.spans.otlp_endpoint.as_ref(),
            Self::Import(settings) => settings.spans.otlp_endpoint.as_ref(),
            _ => None,
        }
    }

    /// Returns the database that the command uses.
    pub(crate) fn database_url(&self) -> Option<&DatabaseUrl> {
        match self {
            Self::Serve(settings) => Some(&settings.database.connection.database_url),
            Self::Migrate(MigrateSettings { common, .. })
            | Self::Refresh(RefreshSettings { common, .. })
            | Self::Rebuild(RebuildSettings { common, .. })
            | Self::Verify(common)
            | Self::Imports(ImportsSettings { common, .. })
            | Self::Jobs(common)
            | Self::Import(ImportSettings { common, .. }) => Some(&common.connection.database_url),
            Self::Pages { command } => Some(&command.common().connection.database_url),
            Self::Views { command } => Some(&command.common().connection.database_url),
            Self::Groups { command } => Some(&command.common().connection.database_url),
            Self::Backup(settings) => Some(&settings.database_url),
            Self::Export(settings) => Some(&settings.common.connection.database_url),
            _ => None,
        }
    }
}

/// Where spans are sent to, by the commands that have some.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub(crate) struct SpanSettings {
    /// The URL of an OpenTelemetry collector to send spans of operations, commits and refreshes to, by OTLP over HTTP, such as
    /// `http://127.0.0.1:4318`. By default there are no spans
    #[arg(long, env = "ANALYTICS_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<Endpoint>,
}

/// The settings of all commands that work on the database.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonSettings {
    #[command(flatten)]
    pub(crate) connection: ConnectionSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

/// A service of a process.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Records increments
    Increments,
    /// Answers queries and subscriptions
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

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeSettings {
    /// The services of this process, separated by ','; other processes may have the others
    #[arg(
        long,
        env = "ANALYTICS_SERVICES",
        value_delimiter = ',',
        value_enum,
        default_value = "increments,reports,wolf"
    )]
    pub(crate) services: Vec<Service>,
    /// Migrate a PostgreSQL database first (an SQLite file always is)
    #[arg(long, env = "ANALYTICS_MIGRATE")]
    pub(crate) migrate: bool,
    /// Milliseconds between the signal to stop and the end of accepting requests. Meanwhile /health/ready answers 503, so
    /// that load balancers choose another server
    #[arg(long, env = "ANALYTICS_SHUTDOWN_DELAY_MS", default_value_t = 0, value_name = "MS")]
    pub(crate) shutdown_delay_ms: u64,
    /// Milliseconds that stopping may take after that; then the process ends with exit code 1, whatever is left to do
    #[arg(long, env = "ANALYTICS_SHUTDOWN_TIMEOUT_MS", default_value_t = 25_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) shutdown_timeout_ms: u64,
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) http: HttpSettings,
    #[command(flatten)]
    pub(crate) recorder: RecorderSettings,
    #[command(flatten)]
    pub(crate) follow: FollowSettings,
    #[command(flatten)]
    pub(crate) reports: ReportSettings,
    #[command(flatten)]
    pub(crate) wolf: WolfSettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(flatten)]
    pub(crate) spans: SpanSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DemoSettings {
    /// The address to listen on
    #[arg(long, env = "ANALYTICS_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

/// Returns the settings of the demo's server. The environment, which may be that of a real server, has no part in them.
pub(crate) fn serve_settings_of_demo(listen: SocketAddr, database_url: &str) -> anyhow::Result<ServeSettings> {
    let without_variables = |command: clap::Command| command.mut_args(|argument| argument.env(Resettable::Reset));
    let listen = listen.to_string();
    let arguments = [
        PROGRAM,
        DEFAULT_COMMAND,
        "--listen",
        &listen,
        "--database-url",
        database_url,
        "--refresh-cron",
        "*/2 * * * * *",
        "--site-title",
        "The Bakery (demo)",
    ];
    let matches = Cli::command().mut_subcommand(DEFAULT_COMMAND, without_variables).try_get_matches_from(arguments)?;
    match Cli::from_matches(&matches)?.command {
        Command::Serve(settings) => Ok(*settings),
        other => bail!("the demo's settings are those of {other:?}"),
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct MigrateSettings {
    #[command(subcommand)]
    pub(crate) command: Option<MigrateCommand>,
    #[command(flatten)]
    pub(crate) roles: RoleSettings,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

#[derive(Copy, Clone, Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Apply the missing migrations (the default)
    #[command(after_long_help = examples::MIGRATE_UP)]
    Up,
    /// Show which migrations are applied and which are missing
    #[command(after_long_help = examples::MIGRATE_STATUS)]
    Status,
    /// Revert the newest migration, WITH ALL DATA in the tables that it created
    #[command(after_long_help = examples::MIGRATE_DOWN)]
    Down,
}

/// A login for each service (PostgreSQL), with `migrate` and `migrate up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoleSettings {
    /// Then create or correct a login for each service: `PREFIX_increments`, `PREFIX_reports` and `PREFIX_wolf`, each with
    /// the least privileges that its service needs (PostgreSQL)
    #[arg(long, env = "ANALYTICS_ROLES")]
    pub(crate) roles: bool,
    /// The prefix of the logins' names: a lower-case letter, then lower-case letters, digits or _
    #[arg(long, env = "ANALYTICS_ROLE_PREFIX", default_value = "analytics", value_name = "PREFIX")]
    pub(crate) role_prefix: RolePrefix,
    /// A file with a line 'SERVICE PASSWORD' for each login that gets a password; the others keep theirs
    #[arg(long, env = "ANALYTICS_ROLE_PASSWORDS_FILE", value_name = "FILE")]
    pub(crate) role_passwords_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RefreshSettings {
    #[command(flatten)]
    pub(crate) report_kind: ReportKindSetting,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
    #[command(flatten)]
    pub(crate) spans: SpanSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RebuildSettings {
    /// What the report becomes on PostgreSQL; by default it stays what it is
    #[arg(long = "as", value_enum, value_name = "KIND")]
    pub(crate) kind: Option<ReportKind>,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct BackupSettings {
    /// The new file. It is never overwritten, and does not exist before it is complete
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The database to copy: `sqlite://FILE`
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        default_value = DEFAULT_URL,
        hide_env_values = true,
        help_heading = "Database"
    )]
    pub(crate) database_url: DatabaseUrl,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ExportSettings {
    /// The new file; - is standard output. It is never overwritten, and does not exist before it is complete
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// csv or jsonl; by default what the file's name ends with, and csv if that is neither
    #[arg(long, value_name = "FORM")]
    pub(crate) format: Option<Form>,
    /// Only counts from this hour or day (UTC) on, such as 2026-01-31 or 2026-01-31T13:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) start: Option<DateTime<Utc>>,
    /// Only counts before this hour or day
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) end: Option<DateTime<Utc>>,
    /// Only the page with this name; several times for several pages
    #[arg(long, value_name = "PAGE", group = "pages")]
    pub(crate) names: Vec<String>,
    /// Only pages whose names begin so
    #[arg(long, value_name = "TEXT", group = "pages")]
    pub(crate) prefix: Option<String>,
    /// Only pages whose names have this in them
    #[arg(long, value_name = "TEXT", group = "pages")]
    pub(crate) contains: Option<String>,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

/// Reads a time, or a day, which means its beginning (UTC).
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let day = text.parse().map(|day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc());
    day.or_else(|_no_day| text.parse()).map_err(|_wrong| "must be like 2026-01-31 or 2026-01-31T13:00:00Z".to_owned())
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ImportSettings {
    /// Access logs (with --counts, files of counts), plain or compressed with gzip, zstd, xz or bzip2. A folder means the logs in it, and a pattern in
    /// quotes, such as '/var/log/nginx/access.log*', those that match; - is standard input. Of a log that was imported
    /// before, only what is new counts
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The files have counts and are no access logs: exports of this program (CSV, JSON Lines), the CSV export of
    /// `GoatCounter`, Plausible's CSV of pages, Wikimedia's pageview dumps. Options of access logs do not matter then
    #[arg(long, conflicts_with_all = ["follow", "again"])]
    pub(crate) counts: bool,
    /// The format of the counts: csv, jsonl, goatcounter, plausible or wikimedia; by default it is found by the first line
    /// and the name of each file
    #[arg(long, value_name = "FORMAT", requires = "counts")]
    pub(crate) counts_format: Option<FormatName>,
    /// Go on counting while servers write to the logs, through every rotation, until a signal comes. Of a file that is
    /// named itself, rotated parts count only as far as they were written since
    #[arg(long, conflicts_with_all = ["dry_run", "again"])]
    pub(crate) follow: bool,
    /// Record nothing: print what would be counted by page, and the first line of each kind that would be left out
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Judge lines again that were imported before, and count those that were left out then and are not now
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) rules: ImportRules,
    #[command(flatten)]
    pub(crate) recorder: RecorderSettings,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
    #[command(flatten)]
    pub(crate) spans: SpanSettings,
}

/// The imports, or what is to be done with one.
#[derive(Args, Debug)]
pub(crate) struct ImportsSettings {
    #[command(subcommand)]
    pub(crate) command: Option<ImportsCommand>,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

/// Which lines of access logs count, and how they are read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access logs")]
pub(crate) struct ImportRules {
    /// The format of the logs, such as combined or json; by default the one that reads most of a log's first lines
    #[arg(long, env = "ANALYTICS_FORMAT", value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Count requests for images, styles, scripts and other assets too
    #[arg(long, env = "ANALYTICS_INCLUDE_ASSETS")]
    pub(crate) include_assets: bool,
    /// A further extension by which assets are known, such as pdfx; several are separated by ','
    #[arg(long, env = "ANALYTICS_ASSET", value_name = "EXTENSION", value_delimiter = ',')]
    pub(crate) asset: Vec<String>,
    /// Count known bots too
    #[arg(long, env = "ANALYTICS_INCLUDE_BOTS")]
    pub(crate) include_bots: bool,
}

impl From<ImportRules> for import::ImportSettings {
    fn from(settings: ImportRules) -> Self {
        let ImportRules { format, include_assets, asset, include_bots } = settings;
        let assets = asset.iter().map(|extension| extension.trim_start_matches('.').to_owned()).collect();
        let rules = import::Rules { include_assets, include_bots, assets };
        Self { rules, format, again: false, counts: None }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TokenSettings {
    /// What the token allows: increments (to record), reports (to read), manage (to change what was counted); several are
    /// separated by ','
    #[arg(long, default_value = "reports")]
    pub(crate) scopes: Scopes,
    /// The name of the token's client, to which idempotency keys belong: a new token with the same name replaces the old
    /// one. A token without a name is a client of its own
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<ClientName>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct HealthcheckSettings {
    /// The address that the server listens on
    #[arg(long, env = "ANALYTICS_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Check only whether the process responds, ready or not
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

/// Returns the script by which `shell` completes this command line.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Prints the manual page of the program, or writes the pages of all commands into `folder`, which has to exist.
///
/// # Errors
/// When a page can't be written.
pub(crate) fn write_manual(folder: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        // As `generate_to` does for the same page.
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        clap_mangen::Man::new(command).render(&mut page)?;
        terminal::print(&String::from_utf8_lossy(&page));
        return Ok(());
    };
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("can't write the manual pages into {}", folder.display()))
}
