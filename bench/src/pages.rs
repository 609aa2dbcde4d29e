//! Many pages: what lists, counts of pages and refreshes take by the number of pages, beside DuckDB with the same rows.

mod content;
mod duckdb;
mod live;
mod memory;
mod questions;
mod store;
mod subject;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use entity::Hour;
use storage::clock;

pub(crate) use self::{content::Popularity, store::Kind};
use self::{
    content::{CHANGED, Content},
    duckdb::DuckDb,
    live::{Live, Samples},
    memory::BackendMemory,
    questions::Question,
    store::Store,
    subject::{Answer, Asked, Subject},
};
use crate::{
    cli::PageSettings,
    figures::{self, median},
    import, machine,
    server::Server,
    service,
    terminal::Progress,
};

/// A question that takes long is asked until this has passed, and at least as often as [`ASKED_MIN`].
const ASKED_FOR: Duration = Duration::from_secs(20);
const ASKED_MIN: u32 = 3;

/// Everything that is there for all numbers of pages.
struct Bench<'a> {
    settings: &'a PageSettings,
    server: Server,
    memory: BackendMemory,
    /// DuckDB's virtual environment.
    environment: PathBuf,
    programs: Vec<PathBuf>,
    progress: Progress,
}

/// What one subject did with one number of pages.
struct Outcome {
    pages: u32,
    subject: String,
    built: subject::Built,
    reports_peak_bytes: u64,
    backends_peak_bytes: Option<u64>,
    live: Live,
}

/// Measures every popularity and number of pages, and prints the tables.
pub(crate) async fn run(settings: &PageSettings) -> anyhow::Result<()> {
    service::build()?;
    let server = Server::start().await?;
    machine::print_head(&server).await?;
    store::create_user(&server).await?;
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
    let environment = folder.path().join("venv");
    duckdb::install(&environment)?;
    let bench = Bench {
        settings,
        memory: BackendMemory::watch(server.main_process()?),
        server,
        environment,
        programs: settings.other.iter().cloned().chain([service::binary()?]).collect(),
        progress: Progress::new(),
    };
    bench.run().await
}

impl Bench<'_> {
    async fn run(mut self) -> anyhow::Result<()> {
        for popularity in &self.settings.popularity {
            let mut outcomes = Vec::new();
            for pages in &self.settings.pages {
                outcomes.extend(self.measure(*pages, *popularity).await?);
            }
            self.print_outcomes(*popularity, &outcomes);
        }
        Ok(())
    }

    async fn measure(&mut self, pages: u32, popularity: Popularity) -> anyhow::Result<Vec<Outcome>> {
        let name = format!("{}, {} pages", heading(popularity), figures::count(pages));
        self.progress.part(&name);
        self.progress.step("writes the rows");
        let content = Content::write(self.settings, pages, popularity, Hour::containing(clock::process_now()))?;
        let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
        self.progress.step("loads DuckDB");
        let mut duckdb = DuckDb::load(&self.environment, &folder.path().join("duck.db"), &content)?;
        self.progress.print(&format!(
            "\n### {name}\n\n{} hourly rows in {} days. DuckDB {}, {} bytes a row.\n",
            figures::count(content.rows()),
            figures::count(self.settings.days),
            duckdb.version()?,
            std::fs::metadata(folder.path().join("duck.db"))?.len().div_euclid(content.rows()),
        ));
        let subjects = self.subjects(&content, folder.path()).await?;
        let reports_peak_bytes = self.print_lists(&content, &subjects, &mut duckdb).await?;
        let duckdb_peak = duckdb.memory_peak_bytes()?;
        self.progress.print(&format!("\nDuckDB's process had at most {} MiB.", mib(duckdb_peak)));
        drop(duckdb);
        let mut outcomes = Vec::new();
        for (subject, reports_peak_bytes) in subjects.into_iter().zip(reports_peak_bytes) {
            let backends_peak_bytes =
                subject.store.database().and_then(|database| self.memory.take_peak_bytes(database));
            let Self { settings, server, memory, progress, .. } = self;
            let live = live::measure(&subject, &content, server, memory, settings.refreshes, progress).await?;
            let Subject { name, store, built, .. } = subject;
            outcomes.push(Outcome { pages, subject: name, built, reports_peak_bytes, backends_peak_bytes, live });
            store.remove(server).await?;
        }
        print_built(&outcomes, content.rows(), &self.progress);
        Ok(outcomes)
    }

    /// Fills a database of each kind and gives each program a copy, which it migrates and builds the report of.
    async fn subjects(&mut self, content: &Content, folder: &Path) -> anyhow::Result<Vec<Subject>> {
        let mut subjects = Vec::new();
        for kind in &self.settings.databases {
            self.progress.step(format!("{}: fills the database", kind.name()));
            let filled = Store::create(*kind, &mut self.server, folder).await?;
            // A newer program can use the database of an older one.
            let oldest = self.programs.first().context("no program")?;
            subject::run(oldest, &filled.url(), &["migrate"]).await?;
            let mut admin = filled.connect().await?;
            admin.fill(content).await?;
            admin.close().await?;
            for (number, program) in self.programs.iter().enumerate() {
                let version = import::version(program)?;
                let version = version.split(' ').next().unwrap_or_default();
                let name = if self.programs.len() > 1 {
                    format!("{}, {version}", kind.name())
                } else {
                    kind.name().to_owned()
                };
                self.progress.step(format!("{name}: builds the report"));
                let store = filled.copy(&mut self.server, folder, number).await?;
                subjects.push(Subject::build(name, program, store).await?);
            }
            filled.remove(&self.server).await?;
        }
        Ok(subjects)
    }

    /// Asks DuckDB and all services in turns, and prints the medians. Returns the services' peaks of memory.
    async fn print_lists(
        &mut self,
        content: &Content,
        subjects: &[Subject],
        duckdb: &mut DuckDb,
    ) -> anyhow::Result<Vec<u64>> {
        let names: Vec<_> = subjects.iter().map(|subject| subject.name.as_str()).collect();
        self.progress.print(&format!(
            "| question | DuckDB ms | {} ms | DuckDB / {} |\n| --- |{}",
            names.join(" ms | "),
            names.join(" | DuckDB / "),
            " --: |".repeat(1 + 2 * names.len())
        ));
        let mut services = Vec::new();
        for subject in subjects {
            services.push(subject.serve_reports(&self.server).await?);
        }
        for question in questions::questions(content.last_hour().date()) {
            self.progress.step(question.name);
            let row = ask_all(&question, &mut services, duckdb, self.settings.asked).await?;
            self.progress.print(&row);
        }
        services.into_iter().map(Asked::stop).collect()
    }

    fn print_outcomes(&self, popularity: Popularity, outcomes: &[Outcome]) {
        print_refreshes(popularity, outcomes, &self.progress);
        print_memory(popularity, outcomes, &self.progress);
    }
}

/// What one service needed for a question; a question that it refused is not asked again.
#[derive(Debug, Default)]
struct Times {
    durations: Vec<Duration>,
    refused: Option<String>,
}

/// Asks once to compare the answers, and then until there are enough durations. Returns the table's row.
async fn ask_all(
    question: &Question,
    services: &mut [Asked],
    duckdb: &mut DuckDb,
    asked: u32,
) -> anyhow::Result<String> {
    let first = services.first_mut().context("nobody to ask")?;
    let (_, Answer::Said(interval)) = first.ask(question.interval_body()).await? else {
        anyhow::bail!("{}: no interval", question.name)
    };
    let sql = question.sql(&interval)?;
    let (_, rows) = duckdb.ask(&sql)?;
    let mut times: Vec<_> = services.iter().map(|_| Times::default()).collect();
    for (service, times) in services.iter_mut().zip(&mut times) {
        match service.ask(question.body()).await? {
            (_, Answer::Said(answer)) => question.check(&answer, &rows)?,
            (duration, Answer::Refused(code)) => {
                times.refused = Some(format!("{code} after {} ms", figures::ms(duration)));
            }
        }
    }
    let (begun, mut duckdb_durations) = (Instant::now(), Vec::new());
    for number in 0..asked {
        if number >= ASKED_MIN && begun.elapsed() > ASKED_FOR {
            break;
        }
        duckdb_durations.push(duckdb.ask(&sql)?.0);
        for (service, times) in services.iter_mut().zip(&mut times).filter(|(_, times)| times.refused.is_none()) {
            match service.ask(question.body()).await? {
                (duration, Answer::Said(_)) => times.durations.push(duration),
                (_, Answer::Refused(code)) => times.refused = Some(code),
            }
        }
    }
    let duckdb_median = median(duckdb_durations).unwrap_or_default();
    let said = times.iter().map(|times| times.refused.clone().unwrap_or_else(|| figures::ms(times.median())));
    let ratios = times.iter().map(|times| match times.refused {
        None => format!("{:.2}", figures::ratio(duckdb_median, times.median())),
        Some(_) => "–".to_owned(),
    });
    let cells: Vec<_> = said.chain(ratios).collect();
    Ok(format!("| {} | {} | {} |", question.name, figures::ms(duckdb_median), cells.join(" | ")))
}

impl Times {
    fn median(&self) -> Duration {
        median(self.durations.iter().copied()).unwrap_or_default()
    }
}

/// Prints what the reports took that were built from all rows.
fn print_built(outcomes: &[Outcome], rows: u64, progress: &Progress) {
    progress.print(
        "\n| report | built in s | peak memory of that, MiB | report and indexes, MiB | bytes a count |\n\
         | --- | --: | --: | --: | --: |",
    );
    for Outcome { subject, built, .. } in outcomes {
        #[expect(clippy::cast_precision_loss, reason = "printed with a digit")]
        let bytes_each = built.report_bytes as f64 / rows as f64;
        progress.print(&format!(
            "| {subject} | {:.1} | {} | {} | {bytes_each:.0} |",
            built.duration.as_secs_f64(),
            mib(built.memory_peak_bytes),
            figures::mib(built.report_bytes),
        ));
    }
}

fn print_refreshes(popularity: Popularity, outcomes: &[Outcome], progress: &Progress) {
    let counts = figures::count(CHANGED);
    progress.print(&format!(
        "\n### {}: refreshes of {counts} counts\n\n\
         | pages | report | changed counts: {} | of that of the fewest pages | HOT | first of their day: {} | later in their day: {} | dashboard's event after ms | most ms |\n\
         | --: | --- | {} | --: | --: | {} | {} | --: | --: |",
        heading(popularity), Samples::HEAD, Samples::HEAD, Samples::HEAD, Samples::RULE, Samples::RULE, Samples::RULE,
    ));
    for outcome in outcomes {
        let live = &outcome.live;
        let fewest = outcomes.iter().find(|other| other.subject == outcome.subject).unwrap_or(outcome);
        let event = |of: Option<Duration>| of.map_or_else(|| "–".to_owned(), figures::ms);
        progress.print(&format!(
            "| {} | {} | {} | {:.2} | {} | {} | {} | {} | {} |",
            figures::count(outcome.pages),
            outcome.subject,
            live.changed.cells(),
            figures::ratio(live.changed.duration(), fewest.live.changed.duration()),
            figures::percent(live.hot),
            live.first_of_day.cells(),
            live.later_in_day.cells(),
            event(median(live.events.iter().copied())),
            event(live.events.iter().copied().max()),
        ));
    }
}

fn print_memory(popularity: Popularity, outcomes: &[Outcome], progress: &Progress) {
    progress.print(&format!(
        "\n### {}: the most memory, MiB\n\n\
         | pages | report | lists: service | PostgreSQL's processes | live: service | the Wolf | PostgreSQL's processes |\n\
         | --: | --- | --: | --: | --: | --: | --: |",
        heading(popularity)
    ));
    let some = |bytes: Option<u64>| bytes.map_or_else(|| "–".to_owned(), mib);
    for Outcome { pages, subject, reports_peak_bytes, backends_peak_bytes, live, .. } in outcomes {
        progress.print(&format!(
            "| {} | {subject} | {} | {} | {} | {} | {} |",
            figures::count(pages),
            mib(*reports_peak_bytes),
            some(*backends_peak_bytes),
            mib(live.service_peak_bytes),
            some(live.wolf_peak_bytes),
            some(live.backends_peak_bytes),
        ));
    }
}

fn heading(popularity: Popularity) -> &'static str {
    match popularity {
        Popularity::Zipf => "Zipf",
        Popularity::Uniform => "Uniform",
    }
}

fn mib(bytes: u64) -> String {
    figures::mib(i64::try_from(bytes).unwrap_or(i64::MAX))
}
