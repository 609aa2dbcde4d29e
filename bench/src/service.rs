//! The released binary, as people run it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::{
    server::Server,
    usage::{self, Usage},
};

/// Refreshes are this program's.
pub(crate) const NO_REFRESH: [&str; 4] = ["--report-kind", "table", "--refresh-cron", "0 0 0 1 1 *"];
/// Every query is asked of the database.
pub(crate) const NO_CACHE: [&str; 4] = ["--cache-bytes", "0", "--response-cache-bytes", "0"];

/// Where increments go.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A service on PostgreSQL.
    Postgres,
    /// A service on an SQLite file.
    Sqlite,
}

/// A serving process; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    address: String,
    url: String,
    database_process: i32,
    _folder: TempDir,
}

/// Builds the binary that is measured: cargo knows whether there is anything to do.
pub(crate) fn build() -> anyhow::Result<()> {
    let built = Command::new("cargo").args(["build", "--release", "--locked", "--package", "analytics"]).status()?;
    ensure!(built.success(), "the service can't be built");
    Ok(())
}

pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("this binary lies in no folder")?.join("analytics"))
}

/// The sum of all counts of a database.
pub(crate) async fn recorded(url: &str) -> anyhow::Result<u64> {
    const SQL: &str = "SELECT CAST(coalesce(sum(views), 0) AS bigint) FROM page_views";
    let views: i64 = if url.starts_with("sqlite") {
        sqlx::query_scalar(SQL).fetch_one(&mut SqliteConnection::connect(url).await?).await?
    } else {
        sqlx::query_scalar(SQL).fetch_one(&mut PgConnection::connect(url).await?).await?
    };
    Ok(u64::try_from(views)?)
}

impl Service {
    /// Serves on a free port, with all services, as soon as it says where.
    pub(crate) async fn start(server: &Server, place: Place, url: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_build(&binary()?, server, place, url, arguments)
    }

    /// The same with another build of the program.
    pub(crate) fn start_build(
        program: &Path,
        server: &Server,
        place: Place,
        url: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
        let url = match place {
            Place::Sqlite => format!("sqlite://{}", folder.path().join("analytics.db").display()),
            Place::Postgres => url.to_owned(),
        };
        Self::start_command(serve(program, arguments), server, url, folder)
    }

    /// Serves with any build of the program, from the database at `url`.
    pub(crate) fn start_program(
        server: &Server,
        program: &Path,
        url: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_build(program, server, Place::Postgres, url, arguments)
    }

    /// Serves the same schema with the stock handlers, from the database at `url`.
    pub(crate) fn start_stock(server: &Server, url: &str) -> anyhow::Result<Self> {
        Self::start_own("stock-server", server, url)
    }

    /// Starts a hidden subcommand of this program that serves.
    pub(crate) fn start_own(subcommand: &str, server: &Server, url: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(subcommand);
        Self::start_command(command, server, url.to_owned(), folder)
    }

    fn start_command(mut command: Command, server: &Server, url: String, folder: TempDir) -> anyhow::Result<Self> {
        let mut child = command
            .env("DATABASE_URL", &url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't start the service")?;
        let mut lines = BufReader::new(child.stdout.take().context("it has no standard output")?).lines();
        let address = lines.find_map(|line| Some(line.ok()?.split_once("http://")?.1.split('/').next()?.to_owned()));
        let address = address.context("the service did not start; see above")?;
        Ok(Self { child, address, url, database_process: server.main_process()?, _folder: folder })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::now(Some(self.process()?), self.database_process)
    }

    pub(crate) fn memory_bytes(&self) -> anyhow::Result<u64> {
        usage::memory_bytes(self.process()?)
    }

    pub(crate) fn memory_peak_bytes(&self) -> anyhow::Result<u64> {
        usage::memory_peak_bytes(self.process()?)
    }

    /// The sum of all counts.
    pub(crate) async fn recorded(&self) -> anyhow::Result<u64> {
        recorded(&self.url).await
    }

    /// Ends it in order, which it must do.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").arg(self.child.id().to_string()).status()?.success(), "can't stop the service");
        let status = self.child.wait()?;
        ensure!(status.success(), "the service ended with {status}");
        Ok(())
    }

    fn process(&self) -> anyhow::Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }
}

/// The command that serves on a free port.
fn serve(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--migrate", "--log", "warn"]).args(arguments);
    command
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
