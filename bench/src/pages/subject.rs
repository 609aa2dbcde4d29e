//! One build of the program on a database of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::time::sleep;

use super::store::{Kind, Store};
use crate::{
    load::Connection,
    server::Server,
    service::{NO_CACHE, NO_REFRESH, Service},
    usage,
};

/// The pause between two looks at the memory of a running program.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// The service closes connections that are silent for longer than 75 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One build of the program on a database of its own.
#[derive(Debug)]
pub(super) struct Subject {
    /// The database's kind, and the program's version where there are several.
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) store: Store,
    pub(super) built: Built,
}

/// What the first report took.
#[derive(Copy, Clone, Debug)]
pub(super) struct Built {
    pub(super) duration: Duration,
    /// The most memory of the process that built it.
    pub(super) memory_peak_bytes: u64,
    /// The report with its indexes.
    pub(super) report_bytes: i64,
}

/// A service that answers questions one after the other.
#[derive(Debug)]
pub(super) struct Asked {
    service: Service,
    connection: Connection,
    used_at: Instant,
}

/// What the service said.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Said(Value),
    /// The code of an error.
    Refused(String),
}

impl Subject {
    /// Migrates the database, builds its report as a table, and lets the database settle.
    pub(super) async fn build(name: String, program: &Path, store: Store) -> anyhow::Result<Self> {
        let url = store.url();
        run(program, &url, &["migrate"]).await?;
        let rebuild: &[&str] = match store.kind() {
            Kind::Postgresql => &["rebuild", "--as", "table"],
            Kind::Sqlite => &["rebuild"],
        };
        let begun = Instant::now();
        let memory_peak_bytes = run(program, &url, rebuild).await?;
        let duration = begun.elapsed();
        // The first refresh says how fresh the report is, and has the planner's statistics made.
        run(program, &url, &["refresh", "--report-kind", "table"]).await?;
        let mut admin = store.connect().await?;
        admin.settle().await?;
        let report_bytes = admin.report_bytes().await?;
        admin.close().await?;
        let built = Built { duration, memory_peak_bytes, report_bytes };
        Ok(Self { name, program: program.to_owned(), store, built })
    }

    /// Serves reports without caches and without refreshes.
    pub(super) async fn serve_reports(&self, server: &Server) -> anyhow::Result<Asked> {
        let arguments = [["--services", "reports"].as_slice(), &NO_CACHE, &NO_REFRESH].concat();
        let service = self.serve(server, &arguments)?;
        let connection = Connection::open(service.address()).await?;
        Ok(Asked { service, connection, used_at: Instant::now() })
    }

    pub(super) fn serve(&self, server: &Server, arguments: &[&str]) -> anyhow::Result<Service> {
        Service::start_program(server, &self.program, &self.store.url(), arguments)
    }
}

impl Asked {
    /// Sends the body and returns the answer, and how long it took to come.
    pub(super) async fn ask(&mut self, body: String) -> anyhow::Result<(Duration, Answer)> {
        if self.used_at.elapsed() > SILENCE_MAX {
            self.connection = Connection::open(self.service.address()).await?;
        }
        let body = Bytes::from(body);
        let begun = Instant::now();
        let (status, bytes) = self.connection.post(body).await?;
        let duration = begun.elapsed();
        self.used_at = Instant::now();
        let answer: Value = serde_json::from_slice(&bytes)?;
        if let Some(code) = answer.pointer("/errors/0/extensions/code").and_then(Value::as_str) {
            return Ok((duration, Answer::Refused(code.to_owned())));
        }
        ensure!(status.is_success() && answer.get("errors").is_none(), "the service answered {status} with {answer}");
        Ok((duration, Answer::Said(answer)))
    }

    /// Stops the service and returns the most memory that it had.
    pub(super) fn stop(self) -> anyhow::Result<u64> {
        let peak = self.service.memory_peak_bytes()?;
        drop(self.connection);
        self.service.stop()?;
        Ok(peak)
    }
}

/// Runs the program to its end, which must be a success, and returns the most memory that it had.
pub(super) async fn run(program: &Path, url: &str, arguments: &[&str]) -> anyhow::Result<u64> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("ANALYTICS_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("can't start {}", program.display()))?;
    let process = i32::try_from(child.id())?;
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Between its end and this look there is no memory to be seen any more.
        peak = usage::memory_peak_bytes(process).unwrap_or(peak);
        sleep(LOOK_PAUSE).await;
    };
    ensure!(status.success(), "`analytics {}` ended with {status}; see above", arguments.join(" "));
    Ok(peak)
}
