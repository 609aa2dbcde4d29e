//! Many concurrent clients while refreshes run: the counts equal those of the model.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    app::{Rung, TestApp},
    model::{self, Counts},
    on_all_databases,
};

const CLIENTS: usize = 200;
const INCREMENTS: usize = 50_000;
const PAGES: i64 = 500;
/// Half of a client's requests hold one increment, the others this many.
const BATCH: usize = 9;

/// The acknowledged increments.
#[derive(Default)]
struct Model {
    counts: Counts,
    /// Time and views of each request.
    acknowledged: Vec<(DateTime<Utc>, i64)>,
}

impl Model {
    fn acknowledged_by(&self, as_of: DateTime<Utc>) -> i64 {
        self.acknowledged.iter().filter(|(recorded_at, _)| *recorded_at <= as_of).map(|(_, views)| views).sum()
    }
}

/// The requests of one client.
fn requests(seed: u8) -> Vec<Vec<(String, DateTime<Utc>, i64)>> {
    let first: DateTime<Utc> = "2026-02-26T20:00:00Z".parse().unwrap();
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let mut draw = |range: std::ops::Range<i64>| range.new_tree(&mut runner).unwrap().current();
    let mut left = INCREMENTS.div_euclid(CLIENTS);
    let mut requests = Vec::new();
    while left > 0 {
        let size = if requests.len().is_multiple_of(2) { 1 } else { BATCH.min(left) };
        left -= size;
        // The product makes low numbers likelier: some pages are hot.
        let increment = |draw: &mut dyn FnMut(std::ops::Range<i64>) -> i64| {
            let page = (draw(0..PAGES) * draw(0..PAGES)).div_euclid(PAGES);
            (format!("/page/{page}"), first + TimeDelta::hours(draw(0..100)), draw(1..10))
        };
        requests.push((0..size).map(|_| increment(&mut draw)).collect());
    }
    requests
}

on_all_databases! {
    async fn counts_equal_the_model_after_200_clients_record_during_refreshes(app: TestApp) {
        let app = Arc::new(app);
        let model = Arc::new(Mutex::new(Model::default()));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (app, model) = (Arc::clone(&app), Arc::clone(&model));
            clients.spawn(async move {
                for request in requests(u8::try_from(client).unwrap()) {
                    let increments: Vec<_> = request.iter()
                        .map(|(page, at, views)| json!({ "page": page, "at": at.to_rfc3339(), "views": views }))
                        .collect();
                    let query = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
                    let recorded = app.data(query, json!({ "input": { "increments": increments } })).await;
                    let recorded_at = recorded["recordPageViews"]["recordedAt"].as_str().unwrap().parse().unwrap();
                    let views = request.iter().map(|(_, _, views)| views).sum();
                    let mut model = model.lock().unwrap();
                    model.acknowledged.push((recorded_at, views));
                    for (page, at, views) in request {
                        let hour = entity::Hour::containing(at);
                        *model.counts.entry((page, hour.date(), hour.of_day())).or_default() += views;
                    }
                }
            });
        }
        let recording = Arc::new(AtomicBool::new(true));
        let mut refreshing = JoinSet::new();
        let (refreshed, is_recording, shared_model) = (Arc::clone(&app), Arc::clone(&recording), Arc::clone(&model));
        refreshing.spawn(async move {
            let mut refreshes = 0;
            while is_recording.load(Ordering::Relaxed) {
                let as_of = refreshed.refresh().await.as_of.unwrap();
                refreshes += 1;
                // At every moment a page's month is the sum of its hours, and the site is the sum of its pages.
                let rows = refreshed.report_rows().await;
                model::assert_adds_up(&rows);
                // Every increment acknowledged by asOf is in it.
                let reported: i64 = rows.iter().filter(|((grain, name, ..), _)| *grain == "month" && name.is_empty()).map(|(_, views)| views).sum();
                let promised = shared_model.lock().unwrap().acknowledged_by(as_of);
                assert!(promised <= reported, "{promised} views were acknowledged by {as_of}, {reported} are in the report");
            }
            refreshes
        });
        clients.join_all().await;
        recording.store(false, Ordering::Relaxed);
        let refreshes = refreshing.join_next().await.unwrap().unwrap();
        assert!(refreshes > 0, "refreshes ran meanwhile");

        app.refresh().await;
        let model = model.lock().unwrap().counts.clone();
        assert_eq!(app.counts().await, model);
        assert_eq!(app.report_rows().await, model::report(&model));
        assert_eq!(app.marks().await, 0);
    }
}

/// Between two transactions of a merge, too, every month is the sum of its hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_agree_between_the_transactions_of_a_merge() {
    for rung in [Rung::Sqlite, Rung::Table] {
        let app = Arc::new(TestApp::start(rung).await);
        for page in 0..200 {
            let first: DateTime<Utc> = "2026-01-20T00:00:00Z".parse().unwrap();
            let times: Vec<_> = (0..100).map(|hours| (first + TimeDelta::hours(hours * 7)).to_rfc3339()).collect();
            let name = format!("/{page}");
            app.record(times.iter().map(|at| (name.as_str(), at.as_str(), 1))).await;
        }
        let mut merging = JoinSet::new();
        let merged = Arc::clone(&app);
        merging.spawn(async move { merged.refresh().await });
        let mut seen = std::collections::BTreeMap::new();
        while merging.try_join_next().is_none() {
            let (version, rows, ..) = app.content().await;
            model::assert_adds_up(&rows);
            let same = seen.insert(version, rows.clone());
            assert!(same.is_none_or(|same| same == rows), "version {version} stands for two contents");
        }
        let versions: Vec<_> = seen.keys().collect();
        assert!(seen.len() > 2, "the merge was seen between its transactions: {versions:?}");
        assert_eq!(app.report_rows().await, model::report(&app.counts().await));
    }
}
