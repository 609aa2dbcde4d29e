//! Clients that record whatever happens, and remember what they were told.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::plan::Dice;
use crate::model::Counts;

const QUERY: &str =
    "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt duplicate } }";
/// So many pages that clients with keys meet on them.
const PAGES: u64 = 8;
/// The page that all clients without a key count on.
const SHARED: &str = "/shared";
const DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
/// A client's pause when it was not served, as clients make them: others are to be served meanwhile.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What a client knows after it sent a request.
#[derive(Copy, Clone, Debug)]
enum Told {
    Acknowledged {
        duplicate: bool,
    },
    /// Certainly not counted.
    Refused,
    /// Counted or not.
    Unknown,
}

/// All clients, and what they know together.
pub(crate) struct World {
    /// Where the service's processes listen.
    pub(crate) addresses: Mutex<Vec<String>>,
    /// How many requests were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// How many were answered that they can't be.
    pub(crate) told: AtomicU64,
    pub(crate) stop: CancellationToken,
    client: reqwest::Client,
    knowledge: Mutex<Knowledge>,
}

#[derive(Default)]
struct Knowledge {
    /// What has to be counted under keys, exactly.
    with_keys: Counts,
    duplicates: usize,
    /// The pages of requests without a key: acknowledged, and of unknown fate.
    acknowledged: BTreeSet<String>,
    unknown: BTreeSet<String>,
    recorded_at_max: Option<DateTime<Utc>>,
}

impl World {
    pub(crate) fn new(addresses: Vec<String>) -> Self {
        Self {
            addresses: Mutex::new(addresses),
            acknowledged: AtomicU64::new(0),
            told: AtomicU64::new(0),
            stop: CancellationToken::new(),
            client: reqwest::Client::new(),
            knowledge: Mutex::default(),
        }
    }

    /// Sends each request until it is acknowledged, to any process or to two at once, and sometimes once more.
    pub(crate) async fn record_with_keys(self: Arc<Self>, client: u64, mut dice: Dice) {
        for number in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let mut counts = Counts::new();
            let increments: Vec<_> = (0..dice.draw(1..6))
                .map(|_| {
                    let (page, hour, views) = (format!("/{}", dice.draw(0..PAGES)), dice.draw(0..3), dice.draw(1..10));
                    *counts.entry((page.clone(), DAY, i16::try_from(hour).unwrap())).or_default() +=
                        i64::try_from(views).unwrap();
                    json!({ "page": page, "at": format!("{DAY}T{hour:02}:30:00Z"), "views": views })
                })
                .collect();
            let input = json!({ "increments": increments, "idempotencyKey": format!("{client} {number}") });
            let (mut firsts, mut acknowledged) = (0, false);
            while !acknowledged || dice.draw(0..4) == 0 {
                let target = usize::try_from(dice.draw(0..2)).unwrap();
                let twice = dice.draw(0..4) == 0;
                let one = self.send(target, &input);
                let other = async { if twice { Some(self.send(target + 1, &input).await) } else { None } };
                let (one, other) = tokio::join!(one, other);
                for told in [Some(one), other].into_iter().flatten() {
                    if let Told::Acknowledged { duplicate } = told {
                        acknowledged = true;
                        firsts += u32::from(!duplicate);
                    }
                }
                assert!(firsts <= 1, "{input} was counted twice");
                if !acknowledged {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
            let mut knowledge = self.knowledge.lock().unwrap();
            counts.into_iter().for_each(|(key, views)| *knowledge.with_keys.entry(key).or_default() += views);
        }
    }

    /// Sends each request once: a page of its own, and the page that all share.
    pub(crate) async fn record_without_keys(self: Arc<Self>, client: u64) {
        for number in 0_usize.. {
            if self.stop.is_cancelled() {
                return;
            }
            let page = format!("/own/{client}/{number}");
            let at = format!("{DAY}T12:00:00Z");
            let input = json!({ "increments": [{ "page": page, "at": at }, { "page": SHARED, "at": at }] });
            let told = self.send(number, &input).await;
            match told {
                Told::Acknowledged { duplicate } => {
                    assert!(!duplicate);
                    self.knowledge.lock().unwrap().acknowledged.insert(page);
                }
                Told::Refused => {}
                Told::Unknown => {
                    self.knowledge.lock().unwrap().unknown.insert(page);
                }
            }
            if !matches!(told, Told::Acknowledged { .. }) {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn send(&self, target: usize, input: &Value) -> Told {
        let url = {
            let addresses = self.addresses.lock().unwrap();
            format!("http://{}/graphql", addresses[target % addresses.len()])
        };
        let body = json!({ "query": QUERY, "variables": { "input": input } });
        let Ok(response) = self.client.post(url).json(&body).send().await else { return Told::Unknown };
        let Ok(answer) = response.json::<Value>().await else { return Told::Unknown };
        let Some(errors) = answer.get("errors") else {
            let recorded = &answer["data"]["recordPageViews"];
            let recorded_at = recorded["recordedAt"].as_str().unwrap().parse().unwrap();
            let duplicate = recorded["duplicate"].as_bool().unwrap();
            let mut knowledge = self.knowledge.lock().unwrap();
            knowledge.duplicates += usize::from(duplicate);
            knowledge.recorded_at_max = knowledge.recorded_at_max.max(Some(recorded_at));
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            return Told::Acknowledged { duplicate };
        };
        self.told.fetch_add(1, Ordering::Relaxed);
        assert_eq!(errors[0]["extensions"]["retryable"], true, "{answer}");
        match errors[0]["extensions"]["code"].as_str() {
            Some("OVERLOADED") => Told::Refused,
            Some("UNAVAILABLE") => Told::Unknown,
            _ => panic!("neither recorded nor unavailable: {answer}"),
        }
    }

    /// Compares what clients were told with what is counted, after a refresh that promises `as_of`. Returns how many
    /// duplicates there were, and how many requests of unknown fate.
    pub(crate) fn told_the_truth(&self, counts: &Counts, as_of: DateTime<Utc>) -> [usize; 2] {
        let knowledge = self.knowledge.lock().unwrap();
        let recorded_at = knowledge.recorded_at_max.unwrap();
        assert!(recorded_at <= as_of, "{recorded_at} should be promised by {as_of}");

        let is_own = |page: &str| page.starts_with("/own/");
        let with_keys: Counts = counts
            .iter()
            .filter(|((page, ..), _)| !is_own(page) && page != SHARED)
            .map(|(key, views)| (key.clone(), *views))
            .collect();
        assert_eq!(with_keys, knowledge.with_keys, "with keys everything counts exactly once");

        let own = counts.iter().filter(|((page, ..), _)| is_own(page));
        assert!(own.clone().all(|(_, views)| *views == 1), "without a key nothing counts twice that is sent once");
        let counted: BTreeSet<_> = own.map(|((page, ..), _)| page.clone()).collect();
        let lost: Vec<_> = knowledge.acknowledged.difference(&counted).collect();
        assert_eq!(lost, [""; 0], "of {} acknowledged", knowledge.acknowledged.len());
        let refused: Vec<_> = counted
            .iter()
            .filter(|page| !knowledge.acknowledged.contains(*page) && !knowledge.unknown.contains(*page))
            .collect();
        assert_eq!(refused, [""; 0], "counted, although certainly refused");
        let shared = counts.get(&(SHARED.to_owned(), DAY, 12)).copied().unwrap_or(0);
        assert_eq!(usize::try_from(shared).unwrap(), counted.len(), "a request counts wholly or not at all");
        [knowledge.duplicates, knowledge.unknown.len()]
    }
}
