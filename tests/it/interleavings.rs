//! Any interleaving of recording, refreshing, converting, rebuilding, pruning and crashing ends with a report that is
//! equal to its definition and to a plain model.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use entity::{Hour, report_refresh};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use storage::clock;
use wolf::{LockMode, Maintenance, ReportKind};

use crate::{
    app::{Rung, TestApp, Titles},
    model::{self, Counts, Rows},
};

const CASES: u8 = 8;
const STEPS: usize = 30;
const COUNTS_MAX: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Page, hours ago, views.
    Record(Vec<(u8, u32, i64)>),
    Retitle(u8, u8),
    Refresh,
    /// A refresh that is cut off after so many microseconds, wherever it is then.
    Crash(u64),
    Convert(bool),
    Rebuild(bool),
    Prune(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let increments = prop::collection::vec((0..12_u8, 0..24 * 12_u32, 1..50_i64), 1..40);
    let step = prop_oneof![
        6 => increments.prop_map(Step::Record),
        2 => (0..12_u8, 0..4_u8).prop_map(|(page, title)| Step::Retitle(page, title)),
        4 => Just(Step::Refresh),
        3 => (0..30_000_u64).prop_map(Step::Crash),
        1 => any::<bool>().prop_map(Step::Convert),
        1 => any::<bool>().prop_map(Step::Rebuild),
        2 => (48..24 * 10_u32).prop_map(Step::Prune),
    ];
    prop::collection::vec(step, STEPS)
}

struct Case {
    app: TestApp,
    begun: DateTime<Utc>,
    counts: Counts,
    /// The report by its version.
    versions: BTreeMap<i64, (Rows, Titles)>,
}

impl Case {
    async fn step(&mut self, step: &Step) {
        let view = |view: bool| if view { ReportKind::MaterializedView } else { ReportKind::Table };
        let sqlite = self.app.test_database.rung == Rung::Sqlite;
        match step {
            Step::Record(increments) => self.record(increments).await,
            Step::Retitle(page, title) => {
                let query = "mutation ($page: String!, $at: DateTime, $title: String) { recordPageViews(input: {
                    increments: [{ page: $page, at: $at, title: $title }] }) { views } }";
                let (page, title) = (format!("/{page}"), format!("title {title}"));
                self.app.data(query, json!({ "page": page, "at": self.begun.to_rfc3339(), "title": title })).await;
                self.count(page, self.begun, 1);
            }
            Step::Refresh => {
                self.app.refresh().await;
            }
            Step::Crash(micros) => {
                let refresh = self.app.refresher.refresh(LockMode::Wait, None);
                if let Ok(ended) = tokio::time::timeout(Duration::from_micros(*micros), refresh).await {
                    ended.unwrap();
                }
            }
            Step::Convert(to) if !sqlite => {
                self.app.refresher.ensure_kind(view(*to)).await.unwrap();
            }
            Step::Rebuild(to) if !sqlite => {
                self.app.refresher.rebuild(Some(view(*to)), &|_, _| {}).await.unwrap();
            }
            Step::Rebuild(_) => {
                self.app.refresher.rebuild(None, &|_, _| {}).await.unwrap();
            }
            Step::Convert(_) => {}
            Step::Prune(hours) => Maintenance::new(&self.app.database, Some(*hours)).run().await.unwrap(),
        }
    }

    async fn record(&mut self, increments: &[(u8, u32, i64)]) {
        let increments: Vec<_> = increments
            .iter()
            .map(|(page, hours, views)| (format!("/{page}"), self.begun - TimeDelta::hours((*hours).into()), *views))
            .collect();
        let texts: Vec<_> =
            increments.iter().map(|(page, at, views)| (page.as_str(), at.to_rfc3339(), *views)).collect();
        self.app.record(texts.iter().map(|(page, at, views)| (*page, at.as_str(), *views))).await;
        for (page, at, views) in increments {
            self.count(page, at, views);
        }
    }

    fn count(&mut self, page: String, at: DateTime<Utc>, views: i64) {
        let hour = Hour::containing(at);
        *self.counts.entry((page, hour.date(), hour.of_day())).or_default() += views;
    }

    /// Checks that a version has one content, and that versions only grow.
    async fn check_version(&mut self, context: &str) {
        let (version, rows, titles) = self.app.content().await;
        assert!(self.versions.last_key_value().is_none_or(|(last, _)| *last <= version), "{context}");
        assert_adds_up(&rows, context);
        if let Some(same) = self.versions.insert(version, (rows.clone(), titles.clone())) {
            assert!(same == (rows, titles), "version {version} stands for two contents; {context}");
        }
    }

    async fn check(&self, context: &str) {
        self.app.refresh().await;
        let found = wolf::verify(&self.app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]), "{context}");
        let since = report_refresh::newest(&self.app.database.readers).await.unwrap().and_then(|row| row.hours_since);
        let kept = |rows: Rows| -> Rows { rows.into_iter().filter(|(key, _)| is_kept(key, since)).collect() };
        assert_eq!(kept(self.app.report_rows().await), kept(model::report(&self.counts)), "{context}");
    }
}

/// Checks that the site is the sum of the pages and a month the sum of its days, also between the transactions of one
/// refresh.
/// (A day need not be the sum of its hours: they may have been dropped.)
fn assert_adds_up(rows: &Rows, context: &str) {
    let mut differences: BTreeMap<(&str, &str, NaiveDate, i16), i64> = BTreeMap::new();
    for ((grain, name, date, hour), views) in rows {
        let sign = if name.is_empty() { 1 } else { -1 };
        *differences.entry((grain, "", *date, *hour)).or_default() += sign * views;
        let sign = match *grain {
            "hour" => continue,
            "day" => -1,
            _ => 1,
        };
        let month = date.with_day(1).unwrap();
        *differences.entry(("month of days", name, month, 0)).or_default() += sign * views;
    }
    differences.retain(|_, difference| *difference != 0);
    assert_eq!(differences, BTreeMap::new(), "{context}");
}

/// Of days whose hours were dropped, some hours may be there (views that came later), but only days and months count.
fn is_kept((grain, _, date, _): &(&str, String, NaiveDate, i16), since: Option<NaiveDate>) -> bool {
    *grain != "hour" || since.is_none_or(|since| *date >= since)
}

async fn report_equals_the_model_after_any_interleaving(rung: Rung) {
    for seed in 0..CASES {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let steps = steps().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current();
        let mut app = TestApp::start(rung).await;
        if !seed.is_multiple_of(2) {
            // So few counts that an hour takes several transactions, and so few flags that they change.
            app.refresher = app.refresher.merging_at_most(COUNTS_MAX).flagging_at_least(2);
        }
        let mut case = Case { app, begun: clock::process_now(), counts: Counts::new(), versions: BTreeMap::new() };
        for (number, step) in steps.iter().enumerate() {
            case.step(step).await;
            case.check_version(&format!("{rung:?}, seed {seed}, after step {number} of {steps:?}")).await;
            if number.is_multiple_of(10) {
                case.check(&format!("{rung:?}, seed {seed}, after step {number} of {steps:?}")).await;
            }
        }
        case.check(&format!("{rung:?}, seed {seed}, at the end of {steps:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_equals_the_model_after_any_interleaving_on_sqlite() {
    report_equals_the_model_after_any_interleaving(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_equals_the_model_after_any_interleaving_beginning_with_a_materialized_view() {
    report_equals_the_model_after_any_interleaving(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_equals_the_model_after_any_interleaving_beginning_with_a_table() {
    report_equals_the_model_after_any_interleaving(Rung::Table).await;
}
