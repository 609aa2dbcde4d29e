//! Clients that record while faults happen, and note the responses that they get.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{expectations::Expectations, plan::Rng};
use crate::{model::Counts, wait::pace};

const QUERY: &str =
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt duplicate } }";
/// Few, so that clients with keys record to the same pages.
const PAGES: u64 = 8;
/// The page that all clients without a key count on.
const SHARED: &str = "/shared";
/// The first day that clients record to. So long ago that no clock calls it the future.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
/// A client's pause after an error, as clients make them.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// The number of days that clients record to.
const DAYS: u64 = 1_000;
/// How many old requests a client with keys keeps, to retry one of them.
const OLD_REQUESTS: usize = 32;

/// The outcome of a request as the client knows it.
#[derive(Copy, Clone, Debug)]
enum RequestOutcome {
    Acknowledged {
        recorded_at: DateTime<Utc>,
        duplicate: bool,
    },
    /// Certainly not counted.
    Refused,
    /// Counted or not.
    Unknown,
}

/// The state that all clients share.
pub(crate) struct Workload {
    /// The addresses of the processes that record.
    pub(crate) recorders: Mutex<Vec<String>>,
    /// The addresses of the processes that serve reports.
    pub(crate) reporters: Mutex<Vec<String>>,
    /// How many requests were acknowledged by each process that records.
    pub(crate) acknowledged: Vec<AtomicU64>,
    /// How many requests got an error.
    pub(crate) errors: AtomicU64,
    pub(crate) stop: CancellationToken,
    pub(crate) client: reqwest::Client,
    /// How long a client pauses after an acknowledged request.
    pub(crate) pause: Duration,
    expectations: Mutex<Expectations>,
}

impl Workload {
    pub(crate) fn new(recorders: Vec<String>, reporters: Vec<String>, pause: Duration) -> Self {
        Self {
            acknowledged: recorders.iter().map(|_| AtomicU64::new(0)).collect(),
            recorders: Mutex::new(recorders),
            reporters: Mutex::new(reporters),
            errors: AtomicU64::new(0),
            stop: CancellationToken::new(),
            client: reqwest::Client::new(),
            pause,
            expectations: Mutex::default(),
        }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().map(|process| process.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(crate) fn expectations(&self) -> MutexGuard<'_, Expectations> {
        self.expectations.lock().unwrap()
    }

    /// Sends each request until it is acknowledged, to any process or to two at once, and sometimes once more, at once
    /// or much later.
    pub(crate) async fn record_with_keys(self: Arc<Self>, client: u64, mut rng: Rng) {
        let own = format!("/once/{client}");
        let mut old_requests: Vec<Value> = Vec::new();
        for number in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let mut counts = Counts::new();
            let mut increments: Vec<_> = (0..rng.draw(1..6))
                .map(|_| {
                    let (page, hour, views) =
                        (format!("/keys/{}", rng.draw(0..PAGES)), rng.draw(0..3), rng.draw(1..10));
                    *counts.entry((page.clone(), FIRST_DAY, 0)).or_default() += i64::try_from(views).unwrap();
                    json!({ "page": page, "at": format!("{FIRST_DAY}T{hour:02}:30:00Z"), "views": views })
                })
                .collect();
            increments.push(json!({ "page": own, "at": format!("{FIRST_DAY}T12:00:00Z") }));
            let input = json!({ "increments": increments, "idempotencyKey": format!("{client} {number}") });
            self.expectations().sends(&own);
            self.until_acknowledged(&input, &own, &mut rng).await;
            {
                let mut expectations = self.expectations();
                counts.into_iter().for_each(|(key, views)| *expectations.with_keys.entry(key).or_default() += views);
            }

            let place = usize::try_from(number).unwrap_or(usize::MAX);
            if place < OLD_REQUESTS {
                old_requests.push(input);
            } else if rng.draw(0..16) == 0 {
                // Some requests stay for very long.
                let place = usize::try_from(rng.draw(0..u64::try_from(OLD_REQUESTS).unwrap())).unwrap();
                old_requests[place] = input;
            }
            if rng.draw(0..8) == 0 {
                let old = usize::try_from(rng.draw(0..u64::try_from(old_requests.len()).unwrap())).unwrap();
                let errors = self.send(rng.draw(0..2), &old_requests[old]).await;
                if let RequestOutcome::Acknowledged { duplicate, .. } = errors {
                    assert!(duplicate, "{} was counted again", old_requests[old]);
                }
            }
            pace(self.pause).await;
        }
    }

    async fn until_acknowledged(&self, input: &Value, own: &str, rng: &mut Rng) {
        let (mut firsts, mut acknowledged) = (0, false);
        while !acknowledged || rng.draw(0..4) == 0 {
            let target = rng.draw(0..2);
            let twice = rng.draw(0..4) == 0;
            let one = self.send(target, input);
            let other = async { if twice { Some(self.send(target + 1, input).await) } else { None } };
            let (one, other) = tokio::join!(one, other);
            let mut promises = Vec::new();
            for errors in [Some(one), other].into_iter().flatten() {
                if let RequestOutcome::Acknowledged { recorded_at, duplicate } = errors {
                    promises.push(recorded_at);
                    firsts += u32::from(!duplicate);
                }
            }
            assert!(firsts <= 1, "{input} was counted twice");
            match promises.into_iter().min() {
                Some(recorded_at) if !acknowledged => {
                    self.expectations().acknowledged(own, recorded_at);
                    acknowledged = true;
                }
                Some(_) => {}
                None => pace(RETRY_PAUSE).await,
            }
        }
    }

    /// Sends each request once, to a page of its own and to the page that all share: dated to a day that is another one
    /// after each request of unknown fate, or not dated.
    pub(crate) async fn record_without_keys(self: Arc<Self>, client: u64, dated: bool) {
        let page = format!("/{}/{client}", if dated { "own" } else { "now" });
        let mut unknown = 0;
        for number in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let day = FIRST_DAY + Days::new(unknown % DAYS);
            let key = (page.clone(), day, 0);
            let input = match dated {
                true => {
                    let at = format!("{day}T12:30:00Z");
                    json!({ "increments": [{ "page": page, "at": at }, { "page": SHARED, "at": at }] })
                }
                false => json!({ "increments": [{ "page": page }, { "page": SHARED }] }),
            };
            self.expectations().sends(&page);
            let errors = self.send(client + number, &input).await;
            match errors {
                RequestOutcome::Acknowledged { recorded_at, duplicate } => {
                    assert!(!duplicate);
                    let mut expectations = self.expectations();
                    expectations.acknowledged(&page, recorded_at);
                    if dated {
                        *expectations.without_keys.entry(key).or_default() += 1;
                    }
                }
                RequestOutcome::Refused => self.expectations().refused(&page),
                RequestOutcome::Unknown => {
                    *self.expectations().unknown.entry(key).or_default() += 1;
                    unknown += 1;
                }
            }
            let served = matches!(errors, RequestOutcome::Acknowledged { .. });
            pace(if served { self.pause } else { RETRY_PAUSE }).await;
        }
    }

    async fn send(&self, target: u64, input: &Value) -> RequestOutcome {
        let (target, address) = {
            let addresses = self.recorders.lock().unwrap();
            let target = usize::try_from(target).unwrap() % addresses.len();
            (target, addresses[target].clone())
        };
        let body = json!({ "query": QUERY, "variables": { "input": input } });
        let request = self.client.post(format!("http://{address}/graphql")).json(&body);
        let Ok(response) = request.send().await else { return RequestOutcome::Unknown };
        let Ok(answer) = response.json::<Value>().await else { return RequestOutcome::Unknown };
        let Some(errors) = answer.get("errors") else {
            let recorded = &answer["data"]["recordPageViews"];
            let recorded_at = recorded["recordedAt"].as_str().unwrap().parse().unwrap();
            let duplicate = recorded["duplicate"].as_bool().unwrap();
            self.expectations().recorded(recorded_at, duplicate);
            self.acknowledged[target].fetch_add(1, Ordering::Relaxed);
            return RequestOutcome::Acknowledged { recorded_at, duplicate };
        };
        self.errors.fetch_add(1, Ordering::Relaxed);
        assert_eq!(errors[0]["extensions"]["retryable"], true, "{answer}");
        match errors[0]["extensions"]["code"].as_str() {
            Some("OVERLOADED") => RequestOutcome::Refused,
            Some("UNAVAILABLE") => RequestOutcome::Unknown,
            _ => panic!("neither recorded nor unavailable: {answer}"),
        }
    }
}
