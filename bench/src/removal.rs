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
         {WRITERS} writers of one increment at a time.\n\n\
         | database | job | removed/s | requests | p50 ms | p99 ms | most ms |\n| --- | --- | --: | --: | --: | --: | --: |",
        figures::count(u64::from(settings.pages) * u64::from(settings.hours)),
        figures::count(settings.pages),
        settings.hours,
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
            let increments = pages.map(|page| increment(format!("/removed/{page}"), at)).collect::<Result<_, _>>()?;
            recorder.record(Request::new(increments, None)).await?;
        }
    }
    progress.step("refreshes");
    refresher.refresh(LockMode::Wait, None).await?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let begin = |writer| write(recorder.clone(), last_hour, writer, Arc::clone(&is_stopped));
    progress.step("warms up");
    let mut writing = JoinSet::new();
    (0..WRITERS).for_each(|writer| drop(writing.spawn(begin(writer))));
    sleep(Duration::from_secs(2)).await;
    end(&mut writing, &is_stopped).await?;
    progress.step("measures without a job");
    (0..WRITERS).for_each(|writer| drop(writing.spawn(begin(writer))));
    sleep(Duration::from_secs(settings.seconds)).await;
    let quiet = end(&mut writing, &is_stopped).await?;
    progress.step("measures during the job");
    let pages = Some(PageSelection::Prefix("/removed/".to_owned()));
    let task = Task::RemoveViews { pages, start: None, end: None };
    let jobs = Jobs::new(database);
    (0..WRITERS).for_each(|writer| drop(writing.spawn(begin(writer))));
    let submitted = jobs.submit(JobRequest { task, reason: None, key: None }).await?;
    let begun = Instant::now();
    refresher.refresh(LockMode::Wait, None).await?;
    let took = begun.elapsed();
    let busy = end(&mut writing, &is_stopped).await?;
    let job = jobs.find(submitted.job.id).await?.context("the job is gone")?;
    let wanted = i64::from(settings.pages) * i64::from(settings.hours);
    ensure!(job.status == Status::Done && job.views == wanted, "{job:?}");
    let verified = wolf::verify(database).await?;
    ensure!(verified.count == 0, "{verified:?}");
    let removed = ratio(Duration::from_secs(u64::try_from(wanted)?), took);
    for (job, removed, histogram) in [("none", String::new(), &quiet), ("running", format!("{removed:.0}"), &busy)] {
        let at = |quantile| figures::ms(Duration::from_micros(histogram.value_at_quantile(quantile)));
        let (requests, most) = (figures::count(histogram.len()), figures::ms(Duration::from_micros(histogram.max())));
        progress.print(&format!("| {name} | {job} | {removed} | {requests} | {} | {} | {most} |", at(0.5), at(0.99)));
    }
    let times = |quantile| {
        let [busy, quiet] =
            [&busy, &quiet].map(|histogram| Duration::from_micros(histogram.value_at_quantile(quantile)));
        ratio(busy, quiet)
    };
    progress.print(&format!("| {name} | running / none | | | {:.2} | {:.2} | |", times(0.5), times(0.99)));
    Ok(())
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

/// Stops the writers. Returns how long their requests took.
async fn end(
    writing: &mut JoinSet<anyhow::Result<Histogram<u64>>>,
    is_stopped: &AtomicBool,
) -> anyhow::Result<Histogram<u64>> {
    is_stopped.store(true, Ordering::Relaxed);
    let mut all = Histogram::new(3)?;
    while let Some(latencies) = writing.join_next().await {
        all += latencies??;
    }
    is_stopped.store(false, Ordering::Relaxed);
    Ok(all)
}
