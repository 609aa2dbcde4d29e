//! Clients that read the report while faults happen, and check each response.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{clients::Workload, plan::Rng};
use crate::wait::pace;

/// The range has the days of all clients, whatever a process's clock shows.
const FILTER: &str =
    "filter: { interval: { range: { start: \"2020-01-01T00:00:00Z\", end: \"2030-01-01T00:00:00Z\" } } }";
/// All parts of one response have to add up. Without its staleness a response has an ETag that is valid until the next
/// refresh.
const FIELDS: &str = "{
        freshness { refreshId asOf status }
        totals { views pages }
        months: series(granularity: MONTH) { views }
        days: series(granularity: DAY) { views }
        pages(first: 1000) { nodes { page views } }
    }";
/// The longest wait for a report that is as fresh as a query requires, and the greatest staleness that it allows.
const WAIT_MAX_MS: u64 = 500;
const STALENESS_MAX_MS: u64 = 3_000;
/// The longest pause of a reader between its queries.
const PAUSE_MAX_MS: u64 = 300;
/// How long the report may be FRESH without a new refresh. The schedule is a second.
const FRESH_MAX: Duration = Duration::from_secs(10);
/// The same for a subscriber, whose process may be busy.
const SUBSCRIBED_FRESH_MAX: Duration = Duration::from_secs(20);

/// The progress of all readers.
pub(crate) struct Readers {
    /// The newest refresh that each of them knows of. First those that ask, then those that subscribe.
    pub(crate) known: Vec<AtomicI64>,
    pub(crate) checks: AtomicU64,
    /// How many responses were 304.
    pub(crate) not_modified: AtomicU64,
    /// How many responses were as fresh as their query required.
    pub(crate) fresh_enough: AtomicU64,
}

/// What a query requires of its report.
#[derive(Copy, Clone, Debug)]
enum Requirement {
    NotBefore(DateTime<Utc>),
    Staleness(Duration),
}

/// How a reader gets its responses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReaderKind {
    Query,
    /// A subscription of all reports.
    Reports,
    /// A subscription of the freshness only.
    Freshness,
}

/// The readers of each process.
pub(crate) const READER_KINDS: [ReaderKind; 4] =
    [ReaderKind::Query, ReaderKind::Query, ReaderKind::Reports, ReaderKind::Freshness];

/// A client that reads from one process, whichever serves in its place.
pub(crate) struct Reader {
    pub(crate) workload: Arc<Workload>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) number: usize,
    pub(crate) rng: Rng,
    /// The newest `asOf` that it got.
    as_of: Option<DateTime<Utc>>,
}

impl Readers {
    pub(crate) fn new(count: usize) -> Self {
        let known = (0..count).map(|_| AtomicI64::new(0)).collect();
        let [checks, not_modified, fresh_enough] = [(); 3].map(|()| AtomicU64::new(0));
        Self { known, checks, not_modified, fresh_enough }
    }
}

impl Reader {
    pub(crate) fn new(workload: &Arc<Workload>, readers: &Arc<Readers>, number: usize, rng: Rng) -> Self {
        Self { workload: Arc::clone(workload), readers: Arc::clone(readers), number, rng, as_of: None }
    }

    /// Reads until the clients are stopped.
    pub(crate) async fn run(mut self) {
        let stop = self.workload.stop.clone();
        let (process, kind) =
            (self.number.div_euclid(READER_KINDS.len()), READER_KINDS[self.number % READER_KINDS.len()]);
        let reading = async {
            match kind {
                ReaderKind::Query => self.ask(process).await,
                ReaderKind::Reports | ReaderKind::Freshness => self.subscribe(process, kind).await,
            }
        };
        tokio::select! { () = stop.cancelled() => {} () = reading => {} }
    }

    fn url(&self, process: usize) -> String {
        format!("http://{}/graphql", self.workload.reporters.lock().unwrap()[process])
    }

    async fn ask(&mut self, process: usize) {
        let mut last: Option<(header::HeaderValue, Value)> = None;
        loop {
            pace(Duration::from_millis(self.rng.draw(0..PAUSE_MAX_MS))).await;
            let asked = Instant::now();
            if self.rng.draw(0..2) == 0 {
                self.ask_for_a_fresh_report(process, asked).await;
                continue;
            }
            // A restarted process has another address.
            let (url, query) = (self.url(process), format!("{{ report({FILTER}) {FIELDS} }}"));
            let request = match self.rng.draw(0..2) {
                0 => self.workload.client.post(url).json(&json!({ "query": query })),
                _ => {
                    let get = self.workload.client.get(url).query(&[("query", query)]);
                    match &last {
                        Some((tag, _)) => get.header(header::IF_NONE_MATCH, tag),
                        None => get,
                    }
                }
            };
            let Ok(response) = request.send().await else { continue };
            if response.status() == StatusCode::NOT_MODIFIED {
                self.readers.not_modified.fetch_add(1, Ordering::Relaxed);
                let (_, answer) = last.clone().unwrap();
                self.check(&answer, Some(asked));
                continue;
            }
            let tag = response.headers().get(header::ETAG).cloned();
            let Ok(answer) = response.json::<Value>().await else { continue };
            if self.check(&answer, Some(asked)).is_some()
                && let Some(tag) = tag
            {
                last = Some((tag, answer));
            }
        }
    }

    /// Sends a query with `notBefore` or with `maxStalenessSeconds`, and checks that its answer, if it gets one, obeys it.
    async fn ask_for_a_fresh_report(&mut self, process: usize, asked: Instant) {
        let (recorded_at, is_clock_set) = {
            let expectations = self.workload.expectations();
            (expectations.recorded_at_last, expectations.is_clock_set)
        };
        let (requirement, arguments) = match recorded_at.filter(|_| self.rng.draw(0..2) == 0) {
            Some(at) => {
                let wait_ms = self.rng.draw(0..WAIT_MAX_MS);
                (Requirement::NotBefore(at), format!("notBefore: \"{}\", waitMs: {wait_ms}", at.to_rfc3339()))
            }
            // A clock that is set back while a process does not run makes its report look younger.
            None if is_clock_set => return,
            None => {
                let max = Duration::from_millis(self.rng.draw(0..STALENESS_MAX_MS));
                (Requirement::Staleness(max), format!("maxStalenessSeconds: {}", max.as_secs_f64()))
            }
        };
        let body = json!({ "query": format!("{{ report({FILTER}, {arguments}) {FIELDS} }}") });
        let Ok(response) = self.workload.client.post(self.url(process)).json(&body).send().await else { return };
        let Ok(answer) = response.json::<Value>().await else { return };
        if self.check(&answer, Some(asked)).is_none() {
            return;
        }
        self.readers.fresh_enough.fetch_add(1, Ordering::Relaxed);
        let context = format!("reader {}, {requirement:?}", self.number);
        match requirement {
            Requirement::NotBefore(at) => assert!(self.as_of >= Some(at), "{context} got {:?}", self.as_of),
            Requirement::Staleness(max) => {
                let views = checked_views(&answer["data"]["report"], &context);
                let expectations = self.workload.expectations();
                if !expectations.is_clock_set {
                    expectations.check_staleness(&views, asked, max, &context);
                }
            }
        }
    }

    /// Subscribes again only when the connection is lost: a silent subscription has to recover by itself.
    async fn subscribe(&mut self, process: usize, kind: ReaderKind) {
        let query = match kind {
            ReaderKind::Freshness => "subscription { freshness { refreshId asOf status stalenessSeconds } }".to_owned(),
            _ => format!("subscription {{ report({FILTER}) {FIELDS} }}"),
        };
        loop {
            pace(Duration::from_millis(100)).await;
            let request = self.workload.client.post(self.url(process)).json(&json!({ "query": query }));
            let Ok(mut response) = request.header(header::ACCEPT, "text/event-stream").send().await else { continue };
            let (mut text, mut status) = (Vec::new(), None);
            loop {
                let Ok(chunk) = timeout(SUBSCRIBED_FRESH_MAX, response.chunk()).await else {
                    assert_ne!(status.as_deref(), Some("FRESH"), "reader {} got no event since", self.number);
                    continue;
                };
                let Ok(Some(chunk)) = chunk else { break };
                text.extend_from_slice(&chunk);
                while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                    let event: Vec<_> = text.drain(..end + 2).collect();
                    let event = String::from_utf8(event).unwrap();
                    let Some((_, data)) = event.split_once("data: ") else { continue };
                    if let Ok(answer) = serde_json::from_str(data.trim_end()) {
                        status = self.check(&answer, None);
                    }
                }
            }
        }
    }

    /// Checks the response to a request sent at `asked`, and returns its status. Errors have to be
    /// retryable.
    fn check(&mut self, answer: &Value, asked: Option<Instant>) -> Option<String> {
        if let Some(errors) = answer["errors"].as_array() {
            let passes = errors.iter().all(|error| error["extensions"]["retryable"] == true);
            assert!(passes, "reader {}: {answer}", self.number);
            return None;
        }
        self.readers.checks.fetch_add(1, Ordering::Relaxed);
        let report = &answer["data"]["report"];
        let freshness = if report.is_null() { &answer["data"]["freshness"] } else { &report["freshness"] };
        let status = freshness["status"].as_str().unwrap().to_owned();
        let context =
            format!("reader {} ({:?}) got {freshness}", self.number, READER_KINDS[self.number % READER_KINDS.len()]);
        assert!(freshness["stalenessSeconds"].as_f64().is_none_or(|staleness| staleness >= 0.0), "{context}");
        let as_of: Option<DateTime<Utc>> = freshness["asOf"].as_str().map(|as_of| as_of.parse().unwrap());
        assert!(as_of >= self.as_of, "{context}, after {:?}", self.as_of);
        self.as_of = as_of;
        let refresh: i64 = freshness["refreshId"].as_str().unwrap().parse().unwrap();
        self.readers.known[self.number].fetch_max(refresh, Ordering::Relaxed);

        let mut expectations = self.workload.expectations();
        let seen = *expectations.refreshes.entry(refresh).or_insert_with(Instant::now);
        if let Some(asked) = asked.filter(|_| status == "FRESH") {
            let age = asked.saturating_duration_since(seen);
            assert!(age < FRESH_MAX, "{context}, but the last refresh was {age:?} ago");
        }
        if let Some(as_of) = as_of {
            if !report.is_null() {
                expectations.check(&checked_views(report, &context), as_of, &context);
            }
            expectations.promised(self.number, self.readers.known.len(), as_of);
        }
        Some(status)
    }
}

/// Checks that all sums of a report are the same, and returns its views by page.
fn checked_views(report: &Value, context: &str) -> BTreeMap<String, u64> {
    let sum = |rows: &Value| -> u64 { rows.as_array().unwrap().iter().map(|row| row["views"].as_u64().unwrap()).sum() };
    let (totals, pages) = (&report["totals"], &report["pages"]["nodes"]);
    let sums = [totals["views"].as_u64().unwrap(), sum(&report["months"]), sum(&report["days"]), sum(pages)];
    assert!(sums.iter().all(|other| *other == sums[0]), "site, months, days and pages have {sums:?} views; {context}");
    let pages = pages.as_array().unwrap();
    assert_eq!(totals["pages"].as_u64(), u64::try_from(pages.len()).ok(), "{context}");
    let views = |page: &Value| (page["page"].as_str().unwrap().to_owned(), page["views"].as_u64().unwrap());
    pages.iter().map(views).collect()
}
