//! DuckDB, a columnar database: a process that answers SQL over the counts as they were recorded.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::content::Content;
use crate::usage;

const PROGRAM: &str = include_str!("duckdb.py");

/// A running process of DuckDB with a database that has the rows of `page_views`.
#[derive(Debug)]
pub(super) struct DuckDb {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// Makes a virtual environment with DuckDB's newest Python package in the folder.
pub(super) fn install(folder: &Path) -> anyhow::Result<()> {
    let made = Command::new("python3").args(["-m", "venv"]).arg(folder).status();
    ensure!(made.context("can't start python3")?.success(), "python3 can't make a virtual environment");
    let installed = Command::new(folder.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "duckdb"])
        .status()?;
    ensure!(installed.success(), "pip can't install DuckDB");
    Ok(())
}

impl DuckDb {
    /// Starts DuckDB from the virtual environment, with a database in `file`, and loads the rows.
    pub(super) fn load(environment: &Path, file: &Path, content: &Content) -> anyhow::Result<Self> {
        let mut child = Command::new(environment.join("bin/python"))
            .args(["-c", PROGRAM])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't start python")?;
        let input = child.stdin.take().context("python has no standard input")?;
        let output = child.stdout.take().context("python has no standard output")?;
        let mut duckdb = Self { child, input, output: BufReader::new(output).lines() };
        let rows = content.page_views_file();
        let rows = rows.to_str().context("the folder's name is no text")?.replace('\'', "''");
        duckdb.ask(&format!(
            "CREATE TABLE page_views AS SELECT name, date, hour, views FROM read_csv('{rows}', header = false, columns = \
             {{'name': 'VARCHAR', 'date': 'DATE', 'hour': 'TINYINT', 'views': 'BIGINT', 'updated_at': 'VARCHAR'}})"
        ))?;
        duckdb.ask("CHECKPOINT")?;
        let (_, loaded) = duckdb.ask("SELECT count(*) FROM page_views")?;
        ensure!(loaded == json!([[content.rows()]]), "DuckDB loaded {loaded} instead of {} rows", content.rows());
        Ok(duckdb)
    }

    pub(super) fn version(&mut self) -> anyhow::Result<String> {
        let (_, rows) = self.ask("SELECT version()")?;
        Ok(rows[0][0].as_str().unwrap_or_default().to_owned())
    }

    /// Returns how long the statement took within the process, and its rows.
    pub(super) fn ask(&mut self, sql: &str) -> anyhow::Result<(Duration, Value)> {
        writeln!(self.input, "{}", json!(sql)).context("DuckDB has ended; see above")?;
        let line = self.output.next().context("DuckDB has ended; see above")??;
        let mut answer: Value = serde_json::from_str(&line)?;
        let ms = answer["ms"].as_f64().context("DuckDB's answer has no duration")?;
        Ok((Duration::from_secs_f64(ms / 1_000.0), answer["rows"].take()))
    }

    pub(super) fn memory_peak_bytes(&self) -> anyhow::Result<u64> {
        usage::memory_peak_bytes(i32::try_from(self.child.id())?)
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
