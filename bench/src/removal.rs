//! What recording notices while a job removes many views.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use entity::Hour;
use hdrhistogram::Histogram;
use increments::{Increment, PageName, Recorder, Request, Views};
use jobs::{JobRequest, Jobs, PageSelection, Status, Task};
use storage::clock;
use tokio::{task::JoinSet, time::sleep};
use wolf::{LockMode, Refresher, ReportKind};

use crate::{
    cli::RemovalSettings,
    dataset::Recording,
    figures::{self, ratio},
    machine,
    server::Server,
    terminal::Progress,
};

/// The pages that stay, which the writers record, one after the other.
const PAGES_KEPT: u16 = 1_000;
const WRITERS: u16 = 4;
/// How many increments are recorded at a time to fill the database.
const BATCH: usize = 10_000;

/// Measures both databases and prints the table.
pub(crate) async fn run(settings: &RemovalSettings) -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    progress.print(&format!(
        "\n### Recording while {} views are removed, of {} pages with {} hours each\n\n\
         {WRITERS} writers of one increment at a time. Medians of {} turns, in each of which recording is measured without \
         a job, and then while one removes its part of the pages.\n\n\
         | database | job | removed/s | requests a turn | p50 ms | p99 ms | most ms |\n\
         | --- | --- | --: | --: | --: | --: | --: |",
        figures::count(u64::from(settings.pages) * u64::from(settings.hours)),
        figures::count(settings.pages),
        settings.hours,
        settings.turns,
    ));
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir()?;
    let sqlite = format!("sqlite://{}", folder.path().join("analytics.db").display());
    measure("SQLite", &sqlite, settings, &progress).await?;
    let (_, url) = server.create_database().await?;
    measure("PostgreSQL", &url, settings, &progress).await
}

async fn measure(name: &str, url: &str, settings: &RemovalSettings, progress: &Progress) -> anyhow::Result<()> {
    progress.part(name);
    let recording = Recording::open(url).await?;
    let (database, recorder) = (&recording.database, &recording.recorder);
    let refresher = Refresher::new(database);
    refresher.ensure_kind(ReportKind::Table).await?;
    progress.step("records");
    let last_hour = Hour::containing(clock::process_now());
    for hour in 0..settings.hours {
        let at = last_hour.plus(-i32::from(hour));
        for first in (0..settings.pages).step_by(BATCH) {
            let pages = first..settings.pages.min(first + u32::try_from(BATCH)?);
            let increments = pages.map(|page| increment(format!("{}{page}", folder_of(page % settings.turns)), at));
            recorder.record(Request::new(increments.collect::<Result<_, _>>()?, None)).await?;
        }
    }
    progress.step("refreshes");
    refresher.refresh(LockMode::Wait, None).await?;
    progress.step("warms up");
    let writing = Writing::begin(recorder, last_hour);
    sleep(Duration::from_secs(2)).await;
    writing.end().await?;

    let (mut quiet, mut busy) = (vec![], vec![]);
    let (mut removed, mut removing) = (0, Duration::ZERO);
    for turn in 0..settings.turns {
        progress.step("measures without a job");
        let writing = Writing::begin(recorder, last_hour);
        sleep(Duration::from_secs(settings.seconds)).await;
        quiet.push(writing.end().await?);
        progress.step("measures during a job");
        let pages = Some(PageSelection::Prefix(folder_of(turn)));
        let task = Task::RemoveViews { pages, start: None, end: None };
        let jobs = Jobs::new(database);
        let writing = Writing::begin(recorder, last_hour);
        let submitted = jobs.submit(JobRequest { task, reason: None, key: None }).await?;
        let begun = Instant::now();
        refresher.refresh(LockMode::Wait, None).await?;
        removing += begun.elapsed();
        busy.push(writing.end().await?);
        let job = jobs.find(submitted.job.id).await?.context("the job is gone")?;
        ensure!(job.status == Status::Done, "{job:?}");
        removed += job.views;
    }
    ensure!(removed == i64::from(settings.pages) * i64::from(settings.hours), "{removed} views were removed");
    let verified = wolf::verify(database).await?;
    ensure!(verified.count == 0, "{verified:?}");

    let rate = ratio(Duration::from_secs(u64::try_from(removed)?), removing);
    for (job, rate, turns) in [("none", String::new(), &quiet), ("running", format!("{rate:.0}"), &busy)] {
        let median = |figure: fn(&Histogram<u64>) -> u64| figures::median(turns.iter().map(figure)).unwrap_or_default();
        let [p50, p99, most] = [of_quantile::<50>, of_quantile::<99>, Histogram::max]
            .map(|figure| figures::ms(Duration::from_micros(median(figure))));
        let requests = figures::count(median(Histogram::len));
        progress.print(&format!("| {name} | {job} | {rate} | {requests} | {p50} | {p99} | {most} |"));
    }
    let times = |figure: fn(&Histogram<u64>) -> u64| {
        let each =
            busy.iter().zip(&quiet).map(|turn| <[_; 2]>::from(turn).map(|all| Duration::from_micros(figure(all))));
        let mut times: Vec<f64> = each.map(|[busy, quiet]| ratio(busy, quiet)).collect();
        times.sort_by(f64::total_cmp);
        let median = figures::median(times.iter().copied()).unwrap_or_default();
        let (least, most) = (times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default());
        format!("{median:.2} ({least:.2} to {most:.2})")
    };
    let (p50, p99) = (times(of_quantile::<50>), times(of_quantile::<99>));
    progress.print(&format!("| {name} | running / none | | | {p50} | {p99} | |"));
    Ok(())
}

/// The folder of the pages that one turn removes.
fn folder_of(turn: u32) -> String {
    format!("/removed/{turn}/")
}

/// Returns below which time so many percent of the requests were.
fn of_quantile<const PERCENT: u8>(latencies: &Histogram<u64>) -> u64 {
    latencies.value_at_quantile(f64::from(PERCENT) / 100.0)
}

fn increment(page: String, hour: Hour) -> anyhow::Result<Increment> {
    Ok(Increment { page: PageName::new(page)?, views: Views::ONE, hour, at: None, title: None })
}

/// Records one increment after the other until it is stopped. Returns how long each took, in microseconds.
async fn write(
    recorder: Recorder,
    hour: Hour,
    writer: u16,
    is_stopped: Arc<AtomicBool>,
) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    let mut page = writer;
    while !is_stopped.load(Ordering::Relaxed) {
        page = (page + WRITERS) % PAGES_KEPT;
        let request = Request::new(vec![increment(format!("/kept/{page}"), hour)?], None);
        let begun = Instant::now();
        recorder.record(request).await?;
        latencies.record(u64::try_from(begun.elapsed().as_micros())?)?;
    }
    Ok(latencies)
}

/// Writers at work.
struct Writing {
    writers: JoinSet<anyhow::Result<Histogram<u64>>>,
    is_stopped: Arc<AtomicBool>,
}

impl Writing {
    fn begin(recorder: &Recorder, hour: Hour) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let writers =
            (0..WRITERS).map(|writer| write(recorder.clone(), hour, writer, Arc::clone(&is_stopped))).collect();
        Self { writers, is_stopped }
    }

    /// Stops the writers. Returns how long their requests took.
    async fn end(mut self) -> anyhow::Result<Histogram<u64>> {
        self.is_stopped.store(true, Ordering::Relaxed);
        let mut all = Histogram::new(3)?;
        while let Some(latencies) = self.writers.join_next().await {
            all += latencies??;
        }
        Ok(all)
    }
}
