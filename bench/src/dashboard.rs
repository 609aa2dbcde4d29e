//! The dashboard: how long each interaction takes in Chromium until its answer is drawn, on both databases.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    cli::DashboardSettings,
    figures::median,
    machine,
    server::Server,
    service::{self, Place, Service},
    terminal::Progress,
};

/// What uses the page.
const SCRIPT: &str = "dashboard-speed.mjs";
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients");
/// How many seconds all of it may take on one database.
const LIMIT_SECONDS: &str = "1800";

/// Times of an interaction, in milliseconds.
struct Measured {
    interaction: String,
    ms: Vec<f64>,
}

/// Uses the page on each database and prints the table.
pub(crate) async fn run(settings: &DashboardSettings) -> anyhow::Result<()> {
    ensure!(Path::new(CLIENTS).join("node_modules").exists(), "the test clients are not installed: run tests/run");
    if !cfg!(debug_assertions) {
        service::build()?;
    }
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    let mut tables = Vec::new();
    for place in [Place::Sqlite, Place::Postgres] {
        progress.part(&format!("{place:?}"));
        progress.step("uses the page");
        let (_, url) = server.create_database().await?;
        let service = Service::start(&server, place, &url, &["--refresh-cron", "* * * * * *"]).await?;
        tables.push(measure(&service, settings)?);
        service.stop()?;
    }
    let [sqlite, postgres] = tables.as_slice() else { return Ok(()) };
    progress.print(
        "\n| interaction | SQLite: median ms | most | PostgreSQL: median ms | most |\n| --- | --: | --: | --: | --: |",
    );
    for (sqlite, postgres) in sqlite.iter().zip(postgres) {
        let [one, other] = [sqlite, postgres].map(Measured::figures);
        progress.print(&format!("| {} | {one} | {other} |", sqlite.interaction));
    }
    Ok(())
}

fn measure(service: &Service, settings: &DashboardSettings) -> anyhow::Result<Vec<Measured>> {
    let url = format!("http://{}", service.address());
    let mut script = Command::new("node")
        .args([SCRIPT, &url, "--runs", &settings.runs.to_string(), "--limit", LIMIT_SECONDS])
        .current_dir(CLIENTS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("node can't be started")?;
    let output = BufReader::new(script.stdout.take().context("it has no standard output")?);
    let measured: anyhow::Result<Vec<_>> = output.lines().map(|line| Measured::read(&line?)).collect();
    ensure!(script.wait()?.success(), "{SCRIPT} failed, see above");
    measured
}

impl Measured {
    fn read(line: &str) -> anyhow::Result<Self> {
        let read: Value = serde_json::from_str(line)?;
        let interaction = read["interaction"].as_str().context("no interaction")?.to_owned();
        let ms: Vec<_> = read["ms"].as_array().context("no times")?.iter().filter_map(Value::as_f64).collect();
        ensure!(!ms.is_empty(), "{interaction}: no times");
        Ok(Self { interaction, ms })
    }

    /// The median and the most, as two cells of a table.
    fn figures(&self) -> String {
        let most = self.ms.iter().copied().fold(0.0, f64::max);
        format!("{:.0} | {most:.0}", median(self.ms.iter().copied()).unwrap_or_default())
    }
}
