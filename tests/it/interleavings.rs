//! Any interleaving of recording, refreshing, converting, rebuilding, pruning, crashing, declaring groups and changing what was counted ends with a report that is
//! equal to its definition and to a plain model.

use std::{collections::BTreeMap, time::Duration};

use ::jobs::{JobError, JobRequest, Jobs, PageSelection, Status, Task};
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
    app::{Groups, Rung, TestApp, Titles},
    groups,
    model::{self, Counts, Declared, Rows},
    wait,
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
    /// A change of what was counted, and refreshes that are cut off after so many microseconds before one that ends.
    Job(Change, Vec<u64>),
    /// Groups in place of those that are declared: of each a group of patterns.
    Declare(Vec<Vec<u8>>),
}

/// Patterns of groups.
const PATTERNS: [&str; 6] = ["/1*", "/?", "!/3", "/**", "/2", "!/1?"];

#[derive(Clone, Debug)]
enum Change {
    Rename(u8, u8, bool),
    RemovePages(Vec<u8>),
    RemovePrefix(u8),
    /// From so many hours ago on, for so many hours.
    RemoveTime(u32, u32),
    /// Page, hours ago, views.
    Correct(u8, u32, i64),
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
        3 => prop::collection::vec(prop::collection::vec(0..6_u8, 1..4), 0..6).prop_map(Step::Declare),
        6 => (changes(), prop::collection::vec(0..30_000_u64, 0..3)).prop_map(|(change, cuts)| Step::Job(change, cuts)),
    ];
    prop::collection::vec(step, STEPS)
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0..12_u8, 0..14_u8, any::<bool>()).prop_map(|(from, to, alias)| Change::Rename(from, to, alias)),
        2 => prop::collection::vec(0..12_u8, 1..3).prop_map(Change::RemovePages),
        1 => (0..3_u8).prop_map(Change::RemovePrefix),
        2 => (0..24 * 12_u32, 1..60_u32).prop_map(|(ago, hours)| Change::RemoveTime(ago, hours)),
        3 => (0..12_u8, 0..24 * 12_u32, -60..60_i64).prop_map(|(page, ago, views)| Change::Correct(page, ago, views)),
    ]
}

struct Case {
    app: TestApp,
    begun: DateTime<Utc>,
    counts: Counts,
    /// The targets of aliases.
    aliases: BTreeMap<String, String>,
    /// The report by its version.
    versions: BTreeMap<i64, (Rows, Titles, Groups)>,
    groups: Declared,
}

impl Case {
    async fn step(&mut self, step: &Step) {
        // A materialized view can't be spread over nodes.
        let can_be_view = !self.app.is_on_a_cluster();
        let view = |view: bool| if view && can_be_view { ReportKind::MaterializedView } else { ReportKind::Table };
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
            Step::Job(change, cuts) => self.change(change, cuts).await,
            Step::Declare(all) => {
                let patterns = |chosen: &Vec<u8>| {
                    let others = chosen.iter().map(|pattern| PATTERNS[usize::from(*pattern)]);
                    ["/0"].into_iter().chain(others).map(str::to_owned).collect()
                };
                self.groups = (0..).zip(all).map(|(number, chosen)| (format!("g{number}"), patterns(chosen))).collect();
                groups::declare(&self.app, &self.groups).await;
            }
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
        let page = self.aliases.get(&page).cloned().unwrap_or(page);
        *self.counts.entry((page, hour.date(), hour.of_day())).or_default() += views;
    }

    /// Hands a change over, lets refreshes begin it that are cut off, and one that ends; and changes the model likewise.
    async fn change(&mut self, change: &Change, cuts: &[u64]) {
        let name = |page: &u8| format!("/{page}");
        let ago = |hours: u32| Hour::containing(self.begun - TimeDelta::hours(hours.into()));
        let task = match change {
            Change::Rename(from, to, keep_alias) => {
                Task::RenamePage { from: name(from), to: name(to), keep_alias: *keep_alias }
            }
            Change::RemovePages(pages) => {
                let names = pages.iter().map(name).collect();
                Task::RemoveViews { pages: Some(PageSelection::Names(names)), start: None, end: None }
            }
            Change::RemovePrefix(page) => {
                Task::RemoveViews { pages: Some(PageSelection::Prefix(name(page))), start: None, end: None }
            }
            Change::RemoveTime(from, hours) => {
                let (start, end) = (ago(*from), ago(*from).plus((*hours).try_into().unwrap()));
                Task::RemoveViews { pages: None, start: Some(start.start()), end: Some(end.start()) }
            }
            Change::Correct(page, hours, views) => {
                Task::CorrectViews { page: name(page), hour: ago(*hours).start(), views: *views }
            }
        };
        let request = JobRequest { task: task.clone(), reason: None, key: None };
        let jobs = Jobs::new(&self.app.database);
        let submitted = match jobs.submit(request).await {
            Ok(submitted) => submitted,
            Err(JobError::Database(error)) => panic!("{error}"),
            // No such page, or an alias in the way.
            Err(_) => return,
        };
        for micros in cuts {
            let refresh = self.app.refresher.refresh(LockMode::Wait, None);
            if let Ok(ended) = tokio::time::timeout(Duration::from_micros(*micros), refresh).await {
                ended.unwrap();
            }
            assert_adds_up(&self.app.report_rows().await, &format!("{task:?}"));
        }
        self.app.refresh().await;
        let job = jobs.find(submitted.job.id).await.unwrap().unwrap();
        assert!(job.finished_at.is_some() && job.task.is_none(), "{job:?}");
        if job.status == Status::Done {
            self.apply(task);
        } else {
            assert!(job.status == Status::Refused && job.error.is_some(), "{job:?}");
        }
    }

    fn apply(&mut self, task: Task) {
        match task {
            Task::RenamePage { from, to, keep_alias } => {
                let moved: Counts = self.counts.extract_if(.., |(page, ..), _| *page == from).collect();
                for ((_, date, hour), views) in moved {
                    *self.counts.entry((to.clone(), date, hour)).or_default() += views;
                }
                for target in self.aliases.values_mut().filter(|target| **target == from) {
                    target.clone_from(&to);
                }
                self.aliases.retain(|name, _| *name != from && *name != to);
                if keep_alias {
                    self.aliases.insert(from, to);
                }
            }
            Task::RemoveViews { pages, start, end } => {
                let is_removed = |page: &str| pages.as_ref().is_none_or(|pages| pages.admits(page, None));
                self.counts.retain(|(page, date, hour), _| {
                    let hour = Hour::new(*date, *hour).start();
                    !is_removed(page) || start.is_some_and(|start| hour < start) || end.is_some_and(|end| hour >= end)
                });
                if start.is_none() {
                    self.aliases.retain(|name, target| !is_removed(name) && !is_removed(target));
                }
            }
            Task::CorrectViews { page, hour, views } => {
                let hour_of = Hour::containing(hour);
                let count = self.counts.entry((page.clone(), hour_of.date(), hour_of.of_day())).or_default();
                *count += views;
                let mut lacking = -(*count).min(0);
                *count = (*count).max(0);
                // Of hours that were dropped, only the sum of the day is known.
                for of_day in 0..24 {
                    let Some(count) = self.counts.get_mut(&(page.clone(), hour_of.date(), of_day)) else { continue };
                    let taken = lacking.min(*count);
                    *count -= taken;
                    lacking -= taken;
                }
                assert_eq!(lacking, 0);
                self.counts.retain(|_, views| *views > 0);
            }
            Task::UndoImport { .. } => unreachable!("no import is undone here"),
        }
    }

    /// Checks that a version has one content, and that versions only grow.
    async fn check_version(&mut self, context: &str) {
        let (version, rows, titles, groups) = self.app.content().await;
        assert!(self.versions.last_key_value().is_none_or(|(last, _)| *last <= version), "{context}");
        assert_adds_up(&rows, context);
        assert_groups_add_up(&rows, &groups, context);
        let content = (rows, titles, groups);
        if let Some(same) = self.versions.insert(version, content.clone()) {
            assert!(same == content, "version {version} stands for two contents; {context}");
        }
    }

    async fn check(&self, context: &str) {
        self.app.refresh().await;
        let found = wolf::verify(&self.app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]), "{context}");
        let since = report_refresh::newest(&self.app.database.readers).await.unwrap().and_then(|row| row.hours_since);
        let kept = |rows: Rows| -> Rows { rows.into_iter().filter(|(key, _)| is_kept(key, since)).collect() };
        assert_eq!(kept(self.app.report_rows().await), kept(model::report(&self.counts)), "{context}");
        let expected = model::groups(&self.counts, &self.groups);
        assert_eq!(kept(self.app.group_rows().await), kept(expected), "{context}");
        let (_, _, _, groups) = self.app.content().await;
        assert!(groups.values().all(Option::is_some), "{context}");
        assert!(groups.keys().eq(self.groups.keys()), "{context}");
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

/// Checks that each group is the sum of its pages, also between the transactions of one refresh.
fn assert_groups_add_up(rows: &Rows, groups: &Groups, context: &str) {
    for (group, (pages, sums)) in groups.iter().filter_map(|(name, group)| Some((name, group.as_ref()?))) {
        let mut expected = Rows::new();
        for ((grain, name, date, hour), views) in rows {
            if pages.contains(name) {
                *expected.entry((grain, group.clone(), *date, *hour)).or_default() += views;
            }
        }
        assert_eq!(*sums, expected, "{context}");
    }
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
            app.refresher = app
                .refresher
                .merging_at_most(COUNTS_MAX)
                .flagging_at_least(2)
                .building_groups_within(Duration::ZERO, wait::WAIT_MAX);
        }
        let mut case = Case {
            app,
            begun: clock::process_now(),
            counts: Counts::new(),
            aliases: BTreeMap::new(),
            versions: BTreeMap::new(),
            groups: Declared::new(),
        };
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
