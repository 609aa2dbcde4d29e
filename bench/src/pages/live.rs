//! A report that changes: what refreshes take, and when a dashboard has their outcome.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use entity::Hour;
use hyper::body::Bytes;
use serde_json::{Value, json};
use storage::clock;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    content::{CHANGED, Content},
    memory::BackendMemory,
    store::{Admin, Kind, Refresh, Written},
    subject::Subject,
};
use crate::{
    figures::{self, median},
    load::Connection,
    server::Server,
    service::Service,
    subscribers::Subscriber,
    terminal::Progress,
};

/// Refreshes as often as a cron expression can say: a change waits for at most a second.
const EVERY_SECOND: [&str; 4] = ["--report-kind", "table", "--refresh-cron", "* * * * * *"];
/// The pause between two looks whether a refresh is over.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// The same where the time of the commit is to be known: the refresh's row names a time before it, and on SQLite the commit of a
/// large refresh takes tens of milliseconds.
const COMMIT_LOOK_PAUSE: Duration = Duration::from_millis(2);
/// The longest that a refresh, and an event after it, are waited for.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Connections that were not asked to say what they counted do so by themselves within 10 seconds.
const COUNTED_MAX: Duration = Duration::from_secs(12);
/// How many events of the dashboard may wait to be noted.
const EVENTS_MAX: usize = 1_000;

/// How many refreshes come before those that are measured: the first ones find no room beside the rows, and each page
/// that they touch is written ahead as a whole.
const SETTLING: u32 = 3;

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
/// What a dashboard shows of 30 days.
const DASHBOARD: &str = "subscription {
    report(filter: { interval: { period: LAST_30_DAYS } }) {
        freshness { refreshId status asOf }
        totals { views pages }
        series(granularity: DAY) { start views complete whole }
        pages(first: 10) { nodes { page title views share } }
    }
}";

/// What was measured.
#[derive(Debug)]
pub(super) struct Live {
    /// Counts that were in the report.
    pub(super) changed: Samples,
    /// Of the rows that the refreshes of them updated, the share that touched no index.
    pub(super) hot: Option<f64>,
    /// New counts, each the first one of its page and day.
    pub(super) first_of_day: Samples,
    /// New counts of pages that have one of the same day.
    pub(super) later_in_day: Samples,
    /// From the commits of refreshes to the dashboard's events, up to [`COMMIT_LOOK_PAUSE`] more; the ones that never came are
    /// missing.
    pub(super) events: Vec<Duration>,
    pub(super) service_peak_bytes: u64,
    /// Where the Wolf has a process of its own.
    pub(super) wolf_peak_bytes: Option<u64>,
    pub(super) backends_peak_bytes: Option<u64>,
}

/// Refreshes of [`CHANGED`] counts each.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

#[derive(Copy, Clone, Debug)]
struct Sample {
    duration: Duration,
    /// What the refresh says that it changed of the report.
    rows_changed: i64,
    /// What the server wrote ahead meanwhile, if nothing else was written.
    wal_bytes: Option<i64>,
}

/// The processes that make a report live: on PostgreSQL the Wolf has one of its own.
struct Processes {
    service: Service,
    wolf: Option<Service>,
    connection: Connection,
    admin: Admin,
}

/// Measures refreshes without a dashboard, then events with one.
pub(super) async fn measure(
    subject: &Subject,
    content: &Content,
    server: &Server,
    memory: &BackendMemory,
    runs: u32,
    progress: &Progress,
) -> anyhow::Result<Live> {
    let mut processes = Processes::start(subject, server).await?;
    let step = |what: &str, run| progress.step(format!("{}: {what}, {} of {runs}", subject.name, run + 1));
    for run in 0..SETTLING {
        step("settles", run);
        processes.sample(content.increments(run, content.last_hour())).await?;
    }
    let before = processes.admin.written().await?;
    let mut changed = Samples::default();
    for run in 0..runs {
        step("refreshes changes", run);
        changed.0.push(processes.sample(content.increments(run, content.last_hour())).await?);
    }
    let hot = processes.hot_share(before, &changed).await?;
    let (mut first_of_day, mut later_in_day) = (Samples::default(), Samples::default());
    for run in 0..runs {
        step("refreshes new rows", run);
        let noon = content.empty_day(run).plus(12);
        first_of_day.0.push(processes.sample(content.increments(run, noon)).await?);
        later_in_day.0.push(processes.sample(content.increments(run, noon.plus(1))).await?);
    }
    let events = processes.events(content, runs, content.last_hour(), step).await?;
    let service_peak_bytes = processes.service.memory_peak_bytes()?;
    let wolf_peak_bytes = processes.wolf.as_ref().map(Service::memory_peak_bytes).transpose()?;
    processes.stop().await?;
    let backends_peak_bytes = subject.store.database().and_then(|database| memory.take_peak_bytes(database));
    Ok(Live {
        changed,
        hot,
        first_of_day,
        later_in_day,
        events,
        service_peak_bytes,
        wolf_peak_bytes,
        backends_peak_bytes,
    })
}

impl Processes {
    async fn start(subject: &Subject, server: &Server) -> anyhow::Result<Self> {
        let apart = subject.store.kind() == Kind::Postgresql;
        let service = if apart { ["--services", "increments,reports"].as_slice() } else { &EVERY_SECOND };
        let service = subject.serve(server, service)?;
        let wolf = [["--services", "wolf"].as_slice(), &EVERY_SECOND].concat();
        let wolf = if apart { Some(subject.serve(server, &wolf)?) } else { None };
        let connection = Connection::open(service.address()).await?;
        Ok(Self { service, wolf, connection, admin: subject.store.connect().await? })
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop(self.connection);
        self.admin.close().await?;
        self.service.stop()?;
        self.wolf.map(Service::stop).transpose()?;
        Ok(())
    }

    /// Records the increments right after a refresh, and measures the next one.
    async fn sample(&mut self, increments: Vec<Value>) -> anyhow::Result<Sample> {
        let last = self.next_refresh_is_over().await?;
        self.record(increments).await?;
        let before = self.admin.wal_position().await?;
        let (refresh, _) = self.refresh_with_changes(last, LOOK_PAUSE).await?;
        let after = self.admin.wal_position().await?;
        // A refresh that began sooner has written already.
        let wal = before.zip(after).filter(|(before, _)| before.at < refresh.started_at);
        Ok(Sample {
            duration: Duration::from_millis(u64::try_from(refresh.duration_ms)?),
            rows_changed: refresh.rows_changed,
            wal_bytes: wal.map(|(before, after)| after.bytes - before.bytes),
        })
    }

    /// Waits for the end of a refresh, and returns it.
    async fn next_refresh_is_over(&mut self) -> anyhow::Result<i64> {
        let (begun, last) = (Instant::now(), self.admin.last_refresh().await?);
        loop {
            let now = self.admin.last_refresh().await?;
            if now > last {
                return Ok(now);
            }
            ensure!(begun.elapsed() < WAIT_MAX, "no refresh in {} s", WAIT_MAX.as_secs());
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Waits for the first refresh after `last` that has changed something. It has all of a request: that is
    /// committed at once. Returns also when the last look began that did not see it.
    async fn refresh_with_changes(
        &mut self,
        last: i64,
        look_pause: Duration,
    ) -> anyhow::Result<(Refresh, DateTime<Utc>)> {
        let (begun, mut unseen_at) = (Instant::now(), clock::process_now());
        loop {
            let looked_at = clock::process_now();
            if let Some(refresh) = self.admin.refreshes_after(last).await?.first() {
                return Ok((*refresh, unseen_at));
            }
            unseen_at = looked_at;
            ensure!(begun.elapsed() < WAIT_MAX, "no refresh with changes in {} s", WAIT_MAX.as_secs());
            sleep(look_pause).await;
        }
    }

    async fn record(&mut self, increments: Vec<Value>) -> anyhow::Result<()> {
        let body = json!({ "query": RECORD, "variables": { "input": { "increments": increments } } });
        let (status, answer) = self.connection.post(Bytes::from(body.to_string())).await?;
        ensure!(
            answer.starts_with(br#"{"data":{"#),
            "the service answered {status} with {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }

    /// Returns the share of HOT updates as soon as the server has counted all that the refreshes wrote.
    async fn hot_share(&mut self, before: Option<Written>, changed: &Samples) -> anyhow::Result<Option<f64>> {
        let Some(before) = before else { return Ok(None) };
        let rows: i64 = changed.0.iter().map(|sample| sample.rows_changed).sum();
        let begun = Instant::now();
        loop {
            let Some(now) = self.admin.written().await? else { return Ok(None) };
            let (updated, inserted) = (now.updated - before.updated, now.inserted - before.inserted);
            if updated + inserted >= rows || begun.elapsed() > COUNTED_MAX {
                #[expect(clippy::cast_precision_loss, reason = "printed as whole percent")]
                return Ok((updated > 0).then(|| (now.hot - before.hot) as f64 / updated as f64));
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Returns how long after the commits of refreshes a dashboard had their events.
    async fn events(
        &mut self,
        content: &Content,
        runs: u32,
        hour: Hour,
        step: impl Fn(&str, u32),
    ) -> anyhow::Result<Vec<Duration>> {
        let mut dashboard = Subscriber::open(self.service.address(), DASHBOARD).await?;
        let (send, mut events) = mpsc::channel(EVENTS_MAX);
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            loop {
                let event = dashboard.hear().await?;
                send.send((clock::process_now(), refresh_id(&event))).await?;
            }
            #[expect(unreachable_code, reason = "says the type")]
            anyhow::Ok(())
        });
        let mut latencies = Vec::new();
        for run in 0..runs {
            step("waits for the dashboard's event", run);
            let last = self.next_refresh_is_over().await?;
            self.record(content.increments(run, hour)).await?;
            let (refresh, unseen_at) = self.refresh_with_changes(last, COMMIT_LOOK_PAUSE).await?;
            let Ok(at) = timeout(WAIT_MAX, event_of(&mut events, refresh.id)).await else { break };
            latencies.push((at? - unseen_at).to_std().unwrap_or_default());
        }
        listening.shutdown().await;
        Ok(latencies)
    }
}

/// Returns the refresh whose outcome an event shows; nothing of an event with an error.
fn refresh_id(event: &Value) -> Option<i64> {
    event["payload"]["data"]["report"]["freshness"]["refreshId"].as_str()?.parse().ok()
}

/// Returns when the first event came that shows the refresh, or a later one.
async fn event_of(
    events: &mut mpsc::Receiver<(DateTime<Utc>, Option<i64>)>,
    refresh: i64,
) -> anyhow::Result<DateTime<Utc>> {
    loop {
        let (at, shown) = events.recv().await.context("the service closed the dashboard's socket")?;
        if shown.is_some_and(|shown| shown >= refresh) {
            return Ok(at);
        }
    }
}

impl Samples {
    /// The median.
    pub(super) fn duration(&self) -> Duration {
        median(self.0.iter().map(|sample| sample.duration)).unwrap_or_default()
    }

    /// Cells of a table: median milliseconds, microseconds a count, bytes of WAL a count. The head is [`Self::HEAD`].
    pub(super) fn cells(&self) -> String {
        let counts = i64::from(CHANGED);
        let wal = median(self.0.iter().filter_map(|sample| sample.wal_bytes));
        format!(
            "{} | {:.1} | {}",
            figures::ms(self.duration()),
            self.duration().as_secs_f64() * 1e6 / f64::from(CHANGED),
            wal.map_or_else(|| "–".to_owned(), |bytes| figures::count(bytes.div_euclid(counts))),
        )
    }

    pub(super) const HEAD: &'static str = "ms | µs a count | WAL bytes a count";
    pub(super) const RULE: &'static str = "--: | --: | --:";
}
