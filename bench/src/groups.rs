//! Declared groups: what a refresh costs by the number of groups a page, and what a group's sums cost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use entity::Hour;
use increments::Request;
use storage::clock;
use wolf::{GroupDefinitions, LockMode, Outcome, Refresher, ReportKind};

use crate::{
    cli::GroupSettings,
    dataset::{self, PAGES, Recording},
    figures::{self, median, ratio},
    load::Connection,
    machine,
    server::Server,
    service::{self, NO_CACHE, NO_REFRESH, Service},
    terminal::Progress,
};

/// How many groups each page is in.
const GROUPS_EACH: [usize; 4] = [0, 1, 4, 8];
/// Which of them answers questions.
const ASKED_OF: usize = 4;
/// The digits in the name of a page that differ, and by each of which there are ten groups.
const DIGITS: usize = 4;
const HOURS_PER_DAY: i32 = 24;

/// A database with one number of groups a page, and how long its refreshes took.
struct Grouped {
    groups_each: usize,
    url: String,
    recording: Recording,
    refresher: Refresher,
    last_hour: Hour,
    /// The refresh that built the groups.
    built: Duration,
    refreshes: Vec<Duration>,
}

/// Measures both databases and prints the tables.
pub(crate) async fn run(settings: &GroupSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
    let sqlite = GROUPS_EACH.map(|groups| format!("sqlite://{}", folder.path().join(format!("{groups}.db")).display()));
    measure("SQLite", &sqlite, &server, settings, &progress).await?;
    let mut postgres = Vec::new();
    for _ in GROUPS_EACH {
        postgres.push(server.create_database().await?.1);
    }
    measure("PostgreSQL", &postgres, &server, settings, &progress).await
}

async fn measure(
    name: &str,
    urls: &[String],
    server: &Server,
    settings: &GroupSettings,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut databases = Vec::new();
    for (groups_each, url) in GROUPS_EACH.into_iter().zip(urls) {
        progress.part(&format!("{name}, {groups_each} groups a page"));
        databases.push(Grouped::create(groups_each, url, settings.days, progress).await?);
    }
    progress.part(name);
    for run in 1..=settings.runs {
        progress.step(format!("refreshes, run {run} of {}", settings.runs));
        for database in &mut databases {
            database.change_and_refresh().await?;
        }
    }
    progress.print(&format!(
        "\n{name}: refreshes of {} changed pages, {} runs\n\n\
         | groups a page | ms | least to most | / without groups | built in ms |\n| --: | --: | --: | --: | --: |",
        figures::count(PAGES),
        settings.runs,
    ));
    let without = databases.first().map(Grouped::refresh_time).unwrap_or_default();
    for database in &databases {
        progress.step("verifies");
        progress.print(&database.row(without).await?);
    }
    for database in databases {
        if database.groups_each == ASKED_OF {
            progress.step("asks");
            database.ask(name, server, settings, progress).await?;
        }
        database.recording.close().await?;
    }
    Ok(())
}

impl Grouped {
    /// [`PAGES`] pages with views of one hour each day, in a report that is a table, and the groups of them.
    async fn create(groups_each: usize, url: &str, days: u16, progress: &Progress) -> anyhow::Result<Self> {
        let recording = Recording::open(url).await?;
        let refresher = Refresher::new(&recording.database);
        refresher.ensure_kind(ReportKind::Table).await?;
        let last_hour = Hour::containing(clock::process_now());
        let refreshes = Vec::new();
        let mut database = Self {
            groups_each,
            url: url.to_owned(),
            recording,
            refresher,
            last_hour,
            built: Duration::ZERO,
            refreshes,
        };
        progress.step("records");
        for day in 0..days {
            database.change(last_hour.plus(-HOURS_PER_DAY * i32::from(day))).await?;
        }
        progress.step("refreshes");
        database.refresh().await?;
        progress.step("builds the groups");
        wolf::declare_groups(&database.recording.database, &definitions(groups_each)?).await?;
        database.built = database.refresh().await?;
        Ok(database)
    }

    /// Records one view of each page.
    async fn change(&self, hour: Hour) -> anyhow::Result<()> {
        let increments = (0..PAGES).map(|page| dataset::increment(page, hour)).collect::<Result<_, _>>()?;
        self.recording.recorder.record(Request::new(increments, None)).await?;
        Ok(())
    }

    async fn refresh(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let outcome = self.refresher.refresh(LockMode::Wait, None).await?;
        let Outcome::Refreshed(_) = outcome else { bail!("somebody else refreshes") };
        Ok(begun.elapsed())
    }

    async fn change_and_refresh(&mut self) -> anyhow::Result<()> {
        self.change(self.last_hour).await?;
        let took = self.refresh().await?;
        self.refreshes.push(took);
        Ok(())
    }

    fn refresh_time(&self) -> Duration {
        median(self.refreshes.iter().copied()).unwrap_or_default()
    }

    /// A line of the table, if the report is right.
    async fn row(&self, without: Duration) -> anyhow::Result<String> {
        let verified = wolf::verify(&self.recording.database).await?;
        ensure!(verified.count == 0, "{verified:?}");
        let took = self.refresh_time();
        let most_and_least = [self.refreshes.iter().min(), self.refreshes.iter().max()];
        let [least, most] = most_and_least.map(|took| figures::ms(took.copied().unwrap_or_default()));
        let built = if self.groups_each == 0 { String::new() } else { figures::ms(self.built) };
        let ratio = ratio(took, without);
        Ok(format!("| {} | {} | {least} to {most} | {ratio:.2} | {built} |", self.groups_each, figures::ms(took)))
    }

    /// Asks a service of this database, one question after the other.
    async fn ask(
        &self,
        name: &str,
        server: &Server,
        settings: &GroupSettings,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let report = |pages: &str, fields: &str| {
            format!("{{ report(filter: {{ interval: {{ period: LAST_30_DAYS }} {pages} }}) {{ {fields} }} }}")
        };
        let sums = "totals(compareTo: PREVIOUS_PERIOD) { views } series(granularity: DAY) { start views }";
        let of_group = r#"pages: { group: "g0-0-0" }"#;
        let top = "pages(first: 10) { nodes { page views } }";
        let questions = [
            ("the site: total, comparison, daily series", report("", sums)),
            ("a group of 1,000 pages: the same", report(of_group, sums)),
            ("the same pages by a search: the same", report(r#"pages: { prefix: "/page/00" }"#, sums)),
            ("the totals of 40 groups", report("", "groups { name totals { views } }")),
            ("the site: top 10 pages", report("", top)),
            ("a group of 1,000 pages: top 10 pages", report(of_group, top)),
        ];
        let service = Service::start_program(server, &service::binary()?, &self.url, &[NO_REFRESH, NO_CACHE].concat())?;
        let mut client = Connection::open(service.address()).await?;
        let mut took = questions.each_ref().map(|_| Vec::new());
        // The first time does not count.
        for run in 0..=settings.asked {
            for ((_, query), took) in questions.iter().zip(&mut took) {
                let (elapsed, _) = client.query(query).await?;
                if run > 0 {
                    took.push(elapsed);
                }
            }
        }
        drop(client);
        service.stop()?;
        progress.print(&format!(
            "\n{name}: questions, {} times each, {ASKED_OF} groups a page\n\n| question | p50 ms | / the first |\n| --- | --: | --: |",
            settings.asked
        ));
        let medians = took.map(|took| median(took).unwrap_or_default());
        let first = *medians.first().context("no question")?;
        for ((question, _), took) in questions.iter().zip(medians) {
            progress.print(&format!("| {question} | {} | {:.2} |", figures::ms(took), ratio(took, first)));
        }
        Ok(())
    }
}

/// As many groups for each page: each digit of its name puts it into one, of a thousand pages.
fn definitions(groups_each: usize) -> anyhow::Result<GroupDefinitions> {
    let mut groups = BTreeMap::new();
    for number in 0..groups_each {
        let (copy, position) = (number.div_euclid(DIGITS), number % DIGITS);
        for digit in 0..10 {
            // Names have a leading zero before the digits that differ.
            let pattern = format!("/page/{}{digit}*", "?".repeat(position + 1));
            groups.insert(format!("g{copy}-{position}-{digit}"), vec![pattern]);
        }
    }
    Ok(GroupDefinitions::new(groups)?)
}
