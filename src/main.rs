//! The program `analytics`: parses the command line and runs the command.

mod backup;
mod cli;
mod database;
mod healthcheck;
mod import;
mod maintenance;
mod metrics;
mod roles;
mod serve;
mod spans;
mod terminal;
mod token;

use std::process::ExitCode;

use anyhow::Context;
use api::http::access::AccessError;
use clap::Parser;
use cli::{Cli, Command, MigrateCommand};
use entity::DatabaseError;
use mimalloc::MiMalloc;
use spans::Export;
use tokio::runtime::Runtime;

/// The allocator. Recording makes small allocations for each increment on all cores, and frees them on other cores.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit code of a failure.
const FAILURE: u8 = 1;
/// The exit code when the configuration does not allow the command.
const BAD_CONFIGURATION: u8 = 2;
/// The exit code when `verify` could not compare the report with its definition.
const NOT_VERIFIED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failure = if matches!(cli.command, Some(Command::Verify)) { NOT_VERIFIED } else { FAILURE };
    let log_format = cli.log.log_format;
    let ended = Runtime::new().context("can't start the threads").and_then(|runtime| {
        let ended = runtime.block_on(run_and_tell(cli));
        // Does not wait for blocking tasks: a DNS lookup on a dead network would keep the process running.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error, log_format);
            let is_known = error.downcast_ref::<maintenance::Differs>().is_some();
            ExitCode::from(match is_configuration(&error) {
                true => BAD_CONFIGURATION,
                false if is_known => FAILURE,
                false => failure,
            })
        }
    }
}

/// Starts logging and the export of spans, runs the command, and sends the remaining spans.
async fn run_and_tell(cli: Cli) -> anyhow::Result<()> {
    let export = cli.log.otlp_endpoint.as_ref().map(Export::to).transpose().context("can't export spans")?;
    terminal::log(&cli.log, export.as_ref());
    let settings = cli.database.clone();
    let ended = run(cli).await.map_err(|error| database::name_the_full_disk(error, &settings));
    export.iter().for_each(Export::finish);
    ended
}

/// Runs the command.
async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(settings) => serve::serve(&cli.database, *settings, cli.log.log_format).await,
        Command::Migrate { command, roles } => {
            maintenance::migrate(&cli.database, command.unwrap_or(MigrateCommand::Up), &roles).await
        }
        Command::Refresh { report_kind } => maintenance::refresh(&cli.database, report_kind).await,
        Command::Rebuild { kind } => maintenance::rebuild(&cli.database, kind).await,
        Command::Verify => maintenance::verify(&cli.database).await,
        Command::Backup { file } => backup::back_up(&cli.database, &file).await,
        Command::Import(settings) => import::import(&cli.database, &settings).await,
        Command::Token { scopes, client } => token::make(scopes, client),
        Command::Healthcheck(settings) => healthcheck::ask(settings).await,
        Command::Schema => {
            terminal::print(&api::schema::sdl());
            Ok(())
        }
    }
}

/// Returns whether the error is that of a bad configuration.
fn is_configuration(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(wolf::WolfError::NoMaterializedView))
        || error.downcast_ref::<DatabaseError>().is_some_and(|error| !matches!(error, DatabaseError::Connect { .. }))
        || error.downcast_ref::<AccessError>().is_some()
        || error.downcast_ref::<roles::RoleError>().is_some()
        || error.downcast_ref::<backup::BackedUpByPostgres>().is_some()
        || error.downcast_ref::<database::SchemaError>().is_some()
}
