//! `analytics import` of an access log, on each database.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};

use super::bodies;
use crate::{
    figures::{self, median},
    server::Server,
    service::{self, Place},
    terminal::Progress,
};

/// How many lines the log has, each of them a view.
const LINES: u32 = 1_000_000;
/// How many lines there are to a second of the log.
const LINES_PER_SECOND: u32 = 100;

/// Prints how many lines a second are imported.
pub(super) async fn run(server: &mut Server, runs: u32, progress: &Progress) -> anyhow::Result<()> {
    progress.part("import");
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
    let log = folder.path().join("access.log");
    write(&log).context("can't write a log")?;
    progress.print(&format!("\nImport of {} lines:\n\n| database | lines/s |\n| --- | --: |", figures::count(LINES)));
    for (name, place) in [("PostgreSQL", Place::Postgres), ("SQLite", Place::Sqlite)] {
        let mut seconds = Vec::new();
        for run in 1..=runs {
            progress.step(format!("{name}, run {run} of {runs}"));
            let (database, url) = server.create_database().await?;
            let file = folder.path().join(format!("{run}.db"));
            let url = if place == Place::Sqlite { format!("sqlite://{}", file.display()) } else { url };
            analytics(&url, &["migrate"])?;
            let begun = Instant::now();
            let said = analytics(&url, &["import", &log.display().to_string()])?;
            seconds.push(begun.elapsed().as_secs_f64());
            ensure!(said.contains(&LINES.to_string()), "not every line was counted: {said}");
            server.drop_database(&database).await?;
        }
        let lines_per_s = f64::from(LINES) / median(seconds).context("no runs")?;
        progress.print(&format!("| {name} | {} |", figures::count(format!("{lines_per_s:.0}"))));
    }
    Ok(())
}

fn write(file: &Path) -> anyhow::Result<()> {
    let mut log = BufWriter::new(File::create(file)?);
    for (line, page) in (0..LINES).zip(bodies::pages()) {
        let second = line.div_euclid(LINES_PER_SECOND);
        let (hour, minute, second) = (second.div_euclid(3_600) % 24, second.div_euclid(60) % 60, second % 60);
        writeln!(
            log,
            "192.0.2.1 - - [17/May/2026:{hour:02}:{minute:02}:{second:02} +0000] \"GET {page} HTTP/1.1\" 200 5123 \
             \"https://example.org/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\""
        )?;
    }
    Ok(log.flush()?)
}

/// What the command prints.
fn analytics(url: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(service::binary()?);
    command.args(arguments).args(["--log", "warn"]).env("DATABASE_URL", url).stdin(Stdio::null());
    let output = command.output().context("can't start the import")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
