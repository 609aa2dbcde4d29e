//! What writers and readers notice of a refresh.

use std::{
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use entity::Hour;
use hdrhistogram::Histogram;
use increments::{Recorder, Request};
use reports::{Interval, PageFilter, ReportReader, ReportSettings, freshness::FreshnessFeed};
use tokio::{task::JoinSet, time::sleep};
use wolf::LockMode;

use crate::{
    cli::RefreshSettings,
    dataset::{self, Dataset, PAGES},
    figures::{self, median},
    server::Server,
    stage::{Counted, Moment, Stages},
    terminal::Progress,
};

const WRITERS: u16 = 4;
const READERS: u16 = 2;
const WARM_UP: Duration = Duration::from_secs(2);
/// Between a change, the refresh and the next change.
const PAUSE: Duration = Duration::from_millis(200);
/// Any prime that does not divide the number of pages: every page has its turn, and neighbours lie apart.
const PAGE_STEP: u16 = 7_919;
/// What a dashboard asks for.
const READ_HOURS: i32 = 30 * 24;

/// The durations of one task's requests, in microseconds.
#[derive(Debug)]
struct Latencies {
    quiet: Histogram<u64>,
    refresh: Histogram<u64>,
}

/// What all tasks share.
#[derive(Debug, Default)]
struct Load {
    stages: Stages,
    stopped: AtomicBool,
    pause: Duration,
}

/// Measures each number of rows and prints the table.
pub(crate) async fn run(server: &mut Server, settings: &RefreshSettings) -> anyhow::Result<()> {
    let progress = Progress::new();
    for rows in settings.rows() {
        progress.part(&format!("{} rows", figures::count(rows)));
        let mut dataset = Dataset::create(server, rows, &progress).await?;
        let result = measure(&mut dataset, rows, settings, &progress).await;
        progress.step("drops the database");
        dataset.drop(server).await?;
        result?;
    }
    Ok(())
}

async fn measure(
    dataset: &mut Dataset,
    rows: u64,
    settings: &RefreshSettings,
    progress: &Progress,
) -> anyhow::Result<()> {
    progress.step("turns the report into a table");
    dataset.convert_to_table().await?;
    dataset.settle(progress).await?;

    let load = Arc::new(Load { pause: Duration::from_millis(settings.pause_ms), ..Load::default() });
    let (recorder, committer) = dataset.one_writer()?;
    let mut committing = JoinSet::new();
    committing.spawn(committer.run(Default::default()));
    let (mut writing, mut reading) = (JoinSet::new(), JoinSet::new());
    for writer in 0..WRITERS {
        writing.spawn(write(recorder.clone(), dataset.last_hour, writer, Arc::clone(&load)));
    }
    drop(recorder);
    for _ in 0..READERS {
        reading.spawn(read(uncached(&dataset.database), dataset.last_hour, Arc::clone(&load)));
    }
    let refreshes = go_through_stages(dataset, &load, Duration::from_secs(settings.seconds), progress).await;
    load.stopped.store(true, Ordering::Relaxed);
    let (writers, readers) = (all(writing).await?, all(reading).await?);
    while let Some(ended) = committing.join_next().await {
        ended?;
    }
    let refreshes = refreshes?;
    // What the writers added last is not in the report yet.
    dataset.refresher.refresh(LockMode::Wait, None).await.context("the refresh failed")?;
    dataset.check().await?;
    print(rows, &refreshes, &[("writers", writers), ("readers", readers)], progress);
    Ok(())
}

/// Until refreshes have run for `each` in all; returns how long each of them took.
async fn go_through_stages(
    dataset: &Dataset,
    load: &Load,
    each: Duration,
    progress: &Progress,
) -> anyhow::Result<Vec<Duration>> {
    progress.step("warms up");
    sleep(WARM_UP).await;
    load.stages.next();
    progress.step("measures without refreshes");
    sleep(each).await;
    progress.step("measures during refreshes");
    let mut refreshes = Vec::new();
    while refreshes.iter().sum::<Duration>() < each {
        load.stages.next();
        dataset.change().await?;
        load.stages.next();
        sleep(PAUSE).await;
        load.stages.next();
        let begun = Instant::now();
        dataset.refresher.refresh(LockMode::Wait, None).await.context("the refresh failed")?;
        refreshes.push(begun.elapsed());
        load.stages.next();
        sleep(PAUSE).await;
    }
    Ok(refreshes)
}

/// Records one increment after the other, to the hour that the refreshes are busy with.
async fn write(recorder: Recorder, hour: Hour, writer: u16, load: Arc<Load>) -> anyhow::Result<Latencies> {
    let mut page = writer;
    let mut latencies = Latencies::new()?;
    while load.goes_on() {
        page = page.wrapping_add(PAGE_STEP) % PAGES;
        let request = Request::new(vec![dataset::increment(page, hour)?], None);
        let begun = load.begin();
        recorder.record(request).await?;
        latencies.end(begun, &load)?;
        load.pause().await;
    }
    Ok(latencies)
}

/// Reads everything anew, each time.
pub(crate) fn uncached(database: &storage::Database) -> ReportReader {
    ReportReader::new(database, FreshnessFeed::new(database).0, &ReportSettings { cache_bytes: 0 })
}

/// Reads the site's total of 30 days, again and again.
async fn read(reader: ReportReader, last_hour: Hour, load: Arc<Load>) -> anyhow::Result<Latencies> {
    let end = last_hour.plus(1);
    let interval = Interval::of_range(end.plus(-READ_HOURS).start(), end.start())?;
    let mut latencies = Latencies::new()?;
    while load.goes_on() {
        let begun = load.begin();
        let view = reader.uncached_view().await?;
        view.views(interval, &Arc::new(PageFilter::All)).await?;
        latencies.end(begun, &load)?;
        // The transaction of the view ends here, as it does after a response.
        drop(view);
        load.pause().await;
    }
    Ok(latencies)
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn begin(&self) -> (Moment, Instant) {
        (self.stages.now(), Instant::now())
    }

    async fn pause(&self) {
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
    }
}

impl Latencies {
    fn new() -> anyhow::Result<Self> {
        const DIGITS: u8 = 3;
        Ok(Self { quiet: Histogram::new(DIGITS)?, refresh: Histogram::new(DIGITS)? })
    }

    /// A request that began then has ended.
    fn end(&mut self, (moment, begun): (Moment, Instant), load: &Load) -> anyhow::Result<()> {
        let micros = u64::try_from(begun.elapsed().as_micros())?;
        match moment.until(load.stages.now()) {
            Some(Counted::Quiet) => self.quiet.record(micros)?,
            Some(Counted::DuringRefresh) => self.refresh.record(micros)?,
            None => {}
        }
        Ok(())
    }
}

impl AddAssign for Latencies {
    fn add_assign(&mut self, other: Self) {
        self.quiet += other.quiet;
        self.refresh += other.refresh;
    }
}

async fn all(mut tasks: JoinSet<anyhow::Result<Latencies>>) -> anyhow::Result<Latencies> {
    let mut sum = Latencies::new()?;
    while let Some(latencies) = tasks.join_next().await {
        sum += latencies??;
    }
    Ok(sum)
}

fn print(rows: u64, refreshes: &[Duration], measured: &[(&str, Latencies)], progress: &Progress) {
    progress.print(&format!(
        "\n### Writers and readers during refreshes, {} hourly rows\n\n\
         {WRITERS} writers of one increment at a time over one connection, {READERS} readers of the site's 30 days; \
         {} refreshes of {} changed rows each, {} ms in the median, under this load.\n\n\
         | who | refresh | requests | p50 ms | p99 ms | most ms |\n| --- | --- | --: | --: | --: | --: |",
        figures::count(rows),
        refreshes.len(),
        figures::count(PAGES),
        figures::ms(median(refreshes.iter().copied()).unwrap_or_default()),
    ));
    let at = |histogram: &Histogram<u64>, quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    for (who, Latencies { quiet, refresh }) in measured {
        for (when, histogram) in [("none", quiet), ("running", refresh)] {
            progress.print(&format!(
                "| {who} | {when} | {} | {} | {} | {} |",
                figures::count(histogram.len()),
                figures::ms(at(histogram, 0.5)),
                figures::ms(at(histogram, 0.99)),
                figures::ms(Duration::from_micros(histogram.max())),
            ));
        }
        let times = |quantile| figures::ratio(at(refresh, quantile), at(quiet, quantile));
        progress.print(&format!("| {who} | running / none | | {:.2} | {:.2} | |", times(0.5), times(0.99)));
    }
}
