//! The program `analytics`: parses the command line and runs the command.

mod backup;
mod cli;
mod commands;
mod database;
mod demo;
mod export;
mod follow;
mod groups;
mod hangup;
mod healthcheck;
mod import;
mod log_settings;
mod manage;
mod metrics;
mod new_file;
mod role_prefix;
mod roles;
mod serve;
mod signals;
mod spans;
mod terminal;
mod token;

use std::process::ExitCode;

use anyhow::Context;
use api::access::AccessError;
use cli::{
    Cli, Command, ImportsSettings,
    manage::{ImportsCommand, NamesError},
};
use log_settings::LogFormat;
use mimalloc::MiMalloc;
use spans::Export;
use storage::DatabaseError;
use tokio::runtime::Runtime;

/// The allocator. Recording makes small allocations for each increment on all cores, and frees them on other cores.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The version of the program, with the commit that it is built from and its date (`build.rs`).
pub(crate) const VERSION: &str = env!("ANALYTICS_VERSION");
/// The commit that the program is built from, with its date, and `, changed` if the sources were others; or that it is
/// not known.
pub(crate) const BUILT_FROM: &str = env!("ANALYTICS_BUILT_FROM");

/// The exit code of a failure.
const FAILURE: u8 = 1;
/// The exit code when the configuration does not allow the command.
const BAD_CONFIGURATION: u8 = 2;
/// The exit code when `verify` could not compare the report with its definition.
const NOT_VERIFIED: u8 = 3;

fn main() -> ExitCode {
    let command = Cli::parse_process().command;
    let failure = if matches!(command, Command::Verify(_)) { NOT_VERIFIED } else { FAILURE };
    let log_format = command.log().map_or_else(LogFormat::default, |log| log.log_format);
    let result = Runtime::new().context("can't start the threads").and_then(|runtime| {
        let result = runtime.block_on(run_with_logging(command));
        // Does not wait for blocking tasks: a DNS lookup on a dead network would keep the process running.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_error(&error, log_format);
            let is_difference = error.downcast_ref::<commands::ReportDiffers>().is_some();
            ExitCode::from(match is_configuration(&error) {
                true => BAD_CONFIGURATION,
                false if is_difference => FAILURE,
                false => failure,
            })
        }
    }
}

/// Starts logging and the export of spans, runs the command, and sends the remaining spans.
async fn run_with_logging(command: Command) -> anyhow::Result<()> {
    let export = command.otlp_endpoint().map(Export::to).transpose().context("can't export spans")?;
    if let Some(log) = command.log() {
        terminal::log(log, export.as_ref());
    }
    let database_url = command.database_url().cloned();
    let result = run(command).await.map_err(|error| database::name_full_disk(error, database_url.as_ref()));
    export.iter().for_each(Export::finish);
    result
}

/// Runs the command.
async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(settings) => serve::serve(*settings).await,
        Command::Migrate(settings) => commands::migrate(settings).await,
        Command::Refresh(settings) => commands::refresh(settings).await,
        Command::Rebuild(settings) => commands::rebuild(settings).await,
        Command::Verify(settings) => commands::verify(settings).await,
        Command::Backup(settings) => backup::back_up(&settings).await,
        Command::Demo(settings) => demo::demo(settings).await,
        Command::Export(settings) => export::export(settings).await,
        Command::Import(settings) => import::import(settings).await,
        Command::Imports(ImportsSettings { command: None, common }) => import::list(&common).await,
        Command::Imports(ImportsSettings { command: Some(ImportsCommand::Undo(settings)), common }) => {
            manage::undo(settings, common).await
        }
        Command::Pages { command } => manage::pages(command).await,
        Command::Views { command } => manage::views(command).await,
        Command::Groups { command } => groups::groups(command).await,
        Command::Jobs(settings) => manage::list(settings).await,
        Command::Token(settings) => token::create(settings),
        Command::Snippet { service } => {
            terminal::print(&api::http::snippet(&service));
            Ok(())
        }
        Command::Healthcheck(settings) => healthcheck::check(&settings).await,
        Command::Schema => {
            terminal::print(&api::graphql::sdl());
            Ok(())
        }
        Command::Completions { shell } => {
            terminal::print(&cli::completions(shell));
            Ok(())
        }
        Command::Man { folder } => cli::write_manual(folder.as_deref()),
    }
}

/// Returns whether the error is that of a bad configuration.
fn is_configuration(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(wolf::WolfError::NoMaterializedView))
        || error.downcast_ref::<DatabaseError>().is_some_and(|error| !matches!(error, DatabaseError::Connect { .. }))
        || error.downcast_ref::<AccessError>().is_some()
        || error.downcast_ref::<follow::FollowRefused>().is_some()
        || error.downcast_ref::<manage::NotConfirmed>().is_some()
        || error.downcast_ref::<manage::NoReason>().is_some()
        || error.downcast_ref::<groups::GroupsRefused>().is_some()
        || error.downcast_ref::<NamesError>().is_some()
        || error.downcast_ref::<roles::RoleError>().is_some()
        || error.downcast_ref::<backup::BackedUpByPostgres>().is_some()
        || error.downcast_ref::<database::SchemaError>().is_some()
}
