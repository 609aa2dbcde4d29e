//! `analytics import` of a large access log, on each database, by one or two builds of the program in turns.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::{
    cli::ImportSettings,
    figures::{self, median_by},
    ingest::bodies,
    machine,
    server::Server,
    service::{self, Place},
    terminal::Progress,
    usage::{self, Usage},
};

/// The first second of the log.
const BEGIN: &str = "2026-05-17T00:00:00Z";
/// The number of lines of each second of the log.
const LINES_PER_SECOND: u64 = 100;
/// The pause between two looks at the memory of a running import.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
const MILLION: f64 = 1e6;

/// The sizes of tables and indexes, without those of the counts: before and after an import, they differ by what is
/// kept of the import itself.
const KEPT_POSTGRES: &str = "SELECT CAST(sum(pg_total_relation_size(oid)) AS bigint) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND relname NOT IN ('pages', 'page_views', 'stale_hours', 'stale_titles')";
const KEPT_SQLITE: &str = "SELECT sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name)
    WHERE tbl_name NOT IN ('pages', 'page_views', 'stale_hours', 'stale_titles')";

/// The log that is imported.
#[derive(Debug)]
struct Log {
    file: PathBuf,
    lines: u64,
}

/// What one import took.
#[derive(Copy, Clone, Debug)]
struct Measured {
    wall_s: f64,
    import_cpu_s: f64,
    database_cpu_s: f64,
    memory_peak_bytes: u64,
    kept_bytes: i64,
}

/// Measures the imports and prints the table.
pub(crate) async fn run(settings: &ImportSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    progress.part("import");
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
    progress.step("writing the log");
    let log = Log::write(folder.path().join("access.log"), settings.bytes).context("can't write a log")?;
    progress.print(&format!(
        "\nImport of {} lines, {} MiB:\n\n\
         | database | program | lines/s | CPU s per million lines: import | database | peak memory of the import, MiB \
         | kept of the import, KiB per million lines |\n| --- | --- | --: | --: | --: | --: | --: |",
        figures::count(log.lines),
        figures::mib(i64::try_from(settings.bytes)?),
    ));
    let programs: Vec<_> = settings.other.iter().cloned().chain([service::binary()?]).collect();
    for (name, place) in [("PostgreSQL", Place::Postgres), ("SQLite", Place::Sqlite)] {
        let mut measured = vec![Vec::new(); programs.len()];
        for run in 1..=settings.runs {
            for (program, measured) in programs.iter().zip(&mut measured) {
                progress.step(format!("{name}, run {run} of {}, {}", settings.runs, program.display()));
                measured.push(measure(&mut server, place, program, &log).await?);
            }
        }
        for (program, measured) in programs.iter().zip(measured) {
            let median = median_by(measured, |measured| measured.wall_s).context("no runs")?;
            progress.print(&median.row(name, &version(program)?, log.lines));
        }
    }
    Ok(())
}

impl Log {
    /// Writes lines of the combined format, each of them a view, until the file has `bytes`.
    fn write(file: PathBuf, bytes: u64) -> anyhow::Result<Self> {
        let begin: DateTime<Utc> = BEGIN.parse()?;
        let mut written = BufWriter::new(File::create(&file)?);
        let (mut lines, mut length) = (0_u64, 0_u64);
        for page in bodies::pages() {
            if length >= bytes {
                break;
            }
            let time = begin + TimeDelta::seconds(i64::try_from(lines.div_euclid(LINES_PER_SECOND))?);
            let line = format!(
                "192.0.2.1 - - [{}] \"GET {page} HTTP/1.1\" 200 5123 \"https://example.org/\" \
                 \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\"\n",
                time.format("%d/%b/%Y:%H:%M:%S +0000"),
            );
            written.write_all(line.as_bytes())?;
            lines += 1;
            length += u64::try_from(line.len())?;
        }
        written.flush()?;
        Ok(Self { file, lines })
    }
}

/// Imports the log into a database of its own, and checks that each line was counted.
async fn measure(server: &mut Server, place: Place, program: &Path, log: &Log) -> anyhow::Result<Measured> {
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
    let (database, mut url) = server.create_database().await?;
    if place == Place::Sqlite {
        url = format!("sqlite://{}", folder.path().join("analytics.db").display());
    }
    ensure!(analytics(program, &url).arg("migrate").status()?.success(), "can't migrate");
    let kept_before = kept_bytes(&url).await?;
    let before = Usage::now(None, server.main_process()?)?;
    let children_before_s = usage::children_s()?;
    let begun = Instant::now();
    let mut child = analytics(program, &url).arg("import").arg(&log.file).spawn().context("can't start the import")?;
    let process = i32::try_from(child.id())?;
    let mut memory_peak_bytes = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Between its end and this look there is no memory to be seen any more.
        memory_peak_bytes = usage::memory_peak_bytes(process).unwrap_or(memory_peak_bytes);
        std::thread::sleep(LOOK_PAUSE);
    };
    let wall_s = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "the import failed, see above");
    let import_cpu_s = usage::children_s()? - children_before_s;
    let database_cpu_s = Usage::now(None, server.main_process()?)?.since(before).database_s;
    let recorded = service::recorded(&url).await?;
    ensure!(recorded == log.lines, "{recorded} of {} lines are counted", log.lines);
    let kept_bytes = kept_bytes(&url).await? - kept_before;
    server.drop_database(&database).await?;
    Ok(Measured { wall_s, import_cpu_s, database_cpu_s, memory_peak_bytes, kept_bytes })
}

/// The size of all tables but those of the counts.
async fn kept_bytes(url: &str) -> anyhow::Result<i64> {
    Ok(if url.starts_with("sqlite") {
        sqlx::query_scalar(KEPT_SQLITE).fetch_one(&mut SqliteConnection::connect(url).await?).await?
    } else {
        sqlx::query_scalar(KEPT_POSTGRES).fetch_one(&mut PgConnection::connect(url).await?).await?
    })
}

impl Measured {
    fn row(&self, database: &str, program: &str, lines: u64) -> String {
        #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
        let (lines, kept_kib) = (lines as f64, self.kept_bytes as f64 / 1_024.0);
        let millions = lines / MILLION;
        format!(
            "| {database} | {program} | {} | {:.2} | {:.2} | {} | {} |",
            figures::count(format!("{:.0}", lines / self.wall_s)),
            self.import_cpu_s / millions,
            self.database_cpu_s / millions,
            i64::try_from(self.memory_peak_bytes).map_or_else(|_| "–".to_owned(), figures::mib),
            figures::count(format!("{:.0}", kept_kib / millions)),
        )
    }
}

/// The version of a build, such as `b2b25bab9 2026-11-26`.
pub(crate) fn version(program: &Path) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    let printed = String::from_utf8(output.stdout)?;
    Ok(printed.split(['(', ')']).nth(1).unwrap_or(&printed).to_owned())
}

/// The program on the database at `url`, without what it prints.
fn analytics(program: &Path, url: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DATABASE_URL", url).env("ANALYTICS_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
    command
}
