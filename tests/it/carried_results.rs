//! Results of pages that a refresh did not change are carried over to its version, and those of single pages are read together:
//! each equals what a snapshot of its own tells, whatever has changed the report in between.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::jobs::{JobRequest, Jobs, PageSelection, Task};
use chrono::{DateTime, TimeDelta, Utc};
use entity::Hour;
use futures_util::{StreamExt, future::join_all};
use increments::Request;
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use reports::{CacheFigures, Calendar, Granularity, Interval, PageFilter, PageOrder, ReportError, ReportView};
use serde_json::json;
use storage::clock;
use tokio::time::timeout;
use wolf::{GroupDefinitions, LockMode, Maintenance, Refresher, ReportKind, declare_groups};

use crate::{
    app::{Rung, TestApp},
    on_all_databases,
    search::titled,
    websocket::WebSocket,
};

/// Selections of a live report: with the freshness at any place or none, of named pages and of the whole site, and what depends
/// on the hour, on the first counted hour and on the number of the refresh.
const LIVE: [&str; 9] = [
    "{ freshness { refreshId asOf lookedAt rowsChanged status } totals { views pages } series(granularity: DAY) { start views complete whole } }",
    "{ total: totals { views } hours: series(granularity: HOUR) { __typename views from: start localStart end } f: freshness { id: refreshId __typename } }",
    "{ totals(compareTo: PREVIOUS_PERIOD) { views comparableViews previous change } ...F previous { views series(granularity: WEEK) { views } } }      fragment F on Report { freshness { ...G } } fragment G on Freshness { refreshId asOf }",
    "{ id countedSince interval { start end exact } peak { start views } freshness { refreshId } freshness { asOf } }",
    "{ pages { nodes { page title views } pageInfo { endCursor } } freshness { refreshId } }",
    "{ pages { nodes { page title views series(granularity: MONTH) { views } firstViewed } } freshness { refreshId } }",
    "{ site { totals { views } freshness { refreshId } } totals { views } freshness { asOf } }",
    "{ totals { views } series(granularity: MONTH) { views } }",
    "{ page(name: \"/1\") { title views } sections { nodes { name views } } a: freshness { refreshId } b: freshness { asOf } }",
];
const PAGES: u32 = 14;
const ROUNDS: u32 = 45;
/// How long to wait for an event that is not equal to what a query tells.
const EVENT_WAIT: Duration = Duration::from_secs(20);
/// About how many hours before now views are counted in.
const HOURS: u32 = 24 * 50;

fn names(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("/{number}")).collect()
}

/// All that a report of `pages` tells, as text.
async fn told(view: &ReportView, begun: DateTime<Utc>, pages: Vec<String>) -> Result<String, ReportError> {
    let utc = Calendar::new(chrono_tz::UTC, view.freshness().hours_since);
    let [month, half] = [50, 20]
        .map(|days| Interval::of_range(begun - TimeDelta::days(days), begun - TimeDelta::days(days - 40)).unwrap());
    let names: Arc<[String]> = pages.clone().into();
    let filter = Arc::new(PageFilter::Names(pages));
    let mut told = Vec::new();
    for interval in [month, half] {
        told.push(format!("{:?}", view.views(interval, &filter).await?));
        told.push(format!("{:?}", view.page_count(interval, &filter).await?));
        told.push(format!("{:?}", view.series(interval, &filter, Granularity::Day, utc).await?));
        told.push(format!("{:?}", view.pages(interval, &filter, PageOrder::Views, None, 10).await?));
        told.push(format!("{:?}", view.views_of(interval, &names).await?));
        told.push(format!("{:?}", view.series_of(interval, &names, Granularity::Hour, utc).await?));
        told.push(format!("{:?}", view.sections(interval, &filter, &"".into(), None, 10).await?));
    }
    told.push(format!("{:?}", view.viewed(&names).await?));
    Ok(told.join("\n"))
}

struct Changes {
    app: TestApp,
    rng: TestRng,
    begun: DateTime<Utc>,
}

impl Changes {
    fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end
    }

    async fn record(&mut self, number: u32) {
        let increments = (0..number).map(|_| {
            let (page, hours, views) = (self.below(PAGES), self.below(HOURS), 1 + self.below(9));
            let title = ["", "", "A title", "Another title"][self.below(4) as usize];
            titled(&format!("/{page}"), self.begun - TimeDelta::hours(hours.into()), views.into(), title)
        });
        let increments = increments.collect();
        self.app.recorder.record(Request::new(increments, None)).await.unwrap();
    }

    async fn hand_over(&mut self) {
        let page = |number| format!("/{number}");
        let (one, other) = (self.below(PAGES), self.below(PAGES));
        let task = match self.below(3) {
            0 => Task::RenamePage { from: page(one), to: page(other), keep_alias: one > other },
            1 => Task::RemoveViews { pages: Some(PageSelection::Names(names([one]))), start: None, end: None },
            _ => {
                let hour = Hour::containing(self.begun - TimeDelta::hours(self.below(HOURS).into())).start();
                Task::CorrectViews { page: page(one), hour, views: 5 }
            }
        };
        // It may be refused, as when there is no such page.
        drop(Jobs::new(&self.app.database).submit(JobRequest { task, reason: None, key: None }).await);
    }

    /// Changes something, in most cases little, and refreshes.
    async fn change(&mut self) {
        let is_file = self.app.test_database.rung == Rung::Sqlite;
        match self.below(16) {
            0 => self.record(300).await,
            1 => self.hand_over().await,
            2 => drop(self.app.refresher.rebuild(None, &|_, _| {}).await.unwrap()),
            // A materialized view can't be spread over nodes.
            3 if !is_file && !self.app.is_on_a_cluster() => {
                let kind = if self.below(3) == 0 { ReportKind::MaterializedView } else { ReportKind::Table };
                self.app.refresher.ensure_kind(kind).await.unwrap();
            }
            4 => {
                let keep = 24 * (30 + self.below(20));
                Maintenance::new(&self.app.database, Some(keep)).run().await.unwrap();
            }
            // The Wolf dies during a refresh, and another one begins.
            5 => {
                self.record(100).await;
                let within = Duration::from_micros(u64::from(self.below(20_000)));
                let refresh = self.app.refresher.refresh(LockMode::Wait, None);
                if let Ok(ended) = timeout(within, refresh).await {
                    ended.unwrap();
                }
                self.app.refresher = Refresher::new(&self.app.database).merging_at_most(1 + self.below(40) as usize);
                // The last statement of the dead one may still be under way. This changes nothing, and waits for the lock.
                declare_groups(&self.app.database, &GroupDefinitions::default()).await.unwrap();
                // Titles may be newer than the counts that came with them.
                self.check("a refresh was cut off").await;
            }
            6 => {}
            _ => {
                let number = 1 + self.below(3);
                self.record(number).await;
            }
        }
        self.app.refresh().await;
    }

    /// Compares all that is cached with a snapshot.
    async fn check(&self, context: &str) {
        let uncached = self.app.reader.uncached_view().await.unwrap();
        let cached = self.app.reader.view().await.unwrap();
        assert_eq!(cached.freshness().content_version, uncached.freshness().content_version);
        let mut pages: Vec<_> = (0..=PAGES).map(|page| names([page])).collect();
        pages.push(names([1, 2, 3]));
        let answers = join_all(pages.iter().map(|pages| told(&cached, self.begun, pages.clone()))).await;
        for (pages, answer) in pages.into_iter().zip(answers) {
            let expected = told(&uncached, self.begun, pages.clone()).await.unwrap();
            assert_eq!(answer.unwrap(), expected, "{context}: {pages:?}");
        }
    }
}

on_all_databases! {
    async fn carried_results_equal_those_of_a_snapshot_whatever_changes(app: TestApp) {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[61; 32]);
        let mut changes = Changes { app, rng, begun: clock::process_now() };
        changes.record(400).await;
        changes.app.refresh().await;
        for round in 0..ROUNDS {
            // Some versions are skipped.
            for _ in 0..=changes.below(3) {
                changes.change().await;
            }
            changes.check(&format!("round {round}")).await;
        }
    }

    async fn events_that_are_carried_over_equal_those_that_are_executed(app: TestApp) {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[62; 32]);
        let mut changes = Changes { app, rng, begun: clock::process_now() };
        changes.record(400).await;
        changes.app.refresh().await;
        let mut socket = WebSocket::connect(&changes.app.address).await;
        let (start, end) = (changes.begun - TimeDelta::days(40), changes.begun + TimeDelta::days(2));
        let range = json!({ "range": { "start": start.to_rfc3339(), "end": end.to_rfc3339() } });
        let mut live = Vec::new();
        for (number, selection) in (0..).zip(LIVE) {
            for pages in [names([number]), names([number + 1, number + 2])] {
                let filter = json!({ "filter": { "pages": { "names": pages }, "interval": range } });
                let (fields, fragments) = selection.split_once(" fragment ").unwrap_or((selection, ""));
                let fragments = if fragments.is_empty() { String::new() } else { format!("fragment {fragments}") };
                let report = format!("($filter: ReportFilter) {{ report(filter: $filter) {fields} }} {fragments}");
                let query = json!({ "query": format!("subscription {report}"), "variables": filter });
                socket.subscribe_with(&live.len().to_string(), &query).await;
                live.push((format!("query {report}"), filter));
            }
        }
        for round in 0..ROUNDS {
            changes.change().await;
            let mut missing = HashMap::new();
            for (number, (query, filter)) in live.iter().enumerate() {
                missing.insert(number.to_string(), changes.app.data(query, filter.clone()).await);
            }
            while !missing.is_empty() {
                let Ok(message) = timeout(EVENT_WAIT, socket.next()).await else {
                    panic!("round {round}: no event has told {missing:#?}");
                };
                let (id, data) = (message["id"].as_str().unwrap(), &message["payload"]["data"]);
                assert!(data.is_object(), "{message}");
                if missing.get(id) == Some(data) {
                    missing.remove(id);
                }
            }
        }
    }

    async fn event_of_an_unchanged_page_is_not_executed(app: TestApp) {
        const FOLLOWERS: u32 = 30;
        let at = clock::process_now().to_rfc3339();
        let all = names(0..FOLLOWERS);
        app.record(all.iter().map(|name| (name.as_str(), at.as_str(), 1))).await;
        app.refresh().await;
        let mut sockets = Vec::new();
        for name in &all {
            let mut socket = WebSocket::connect(&app.address).await;
            let report = "totals { views } freshness { refreshId stalenessSeconds status } series(granularity: DAY) { views }";
            let names = json!([name]);
            socket.subscribe("1", &format!("subscription {{ report(filter: {{ pages: {{ names: {names} }} }}) {{ {report} }} }}")).await;
            socket.next().await;
            sockets.push(socket);
        }
        for round in 1..4 {
            app.record([(all[0].as_str(), at.as_str(), 1)]).await;
            let asked = |figures: CacheFigures| figures.hits + figures.misses;
            let before = asked(app.reader.cache_figures());
            let refreshed = app.refresh().await;
            for (number, socket) in sockets.iter_mut().enumerate() {
                let report = socket.next().await["payload"]["data"]["report"].take();
                let views = if number == 0 { 1 + round } else { 1 };
                assert_eq!(report["totals"]["views"], views, "{report}");
                assert_eq!(report["series"].as_array().unwrap().last().unwrap()["views"], views, "{report}");
                assert_eq!(report["freshness"]["refreshId"], refreshed.id.to_string(), "{report}");
                assert!(report["freshness"]["stalenessSeconds"].as_f64().unwrap() < 60.0, "{report}");
            }
            let asked = asked(app.reader.cache_figures()) - before;
            let is_recorded = app.test_database.rung != Rung::MaterializedView && !app.is_on_a_cluster();
            let executed = if is_recorded { 1 } else { u64::from(FOLLOWERS) };
            assert_eq!(asked, 2 * executed, "the sum and the series of those that are executed");
        }
    }

    async fn follower_of_an_unchanged_page_hears_of_a_refresh_and_nothing_is_computed(app: TestApp) {
        const FOLLOWERS: u32 = 40;
        let begun = clock::process_now();
        let at = begun.to_rfc3339();
        let all = names(0..FOLLOWERS);
        app.record(all.iter().map(|name| (name.as_str(), at.as_str(), 1))).await;
        app.refresh().await;
        let interval = Interval::of_range(begun - TimeDelta::days(1), begun + TimeDelta::days(1)).unwrap();
        let mut followers: Vec<_> = (0..FOLLOWERS).map(|_| Box::pin(app.reader.follow())).collect();
        let mut as_of = None;
        for round in 0..4 {
            if round > 0 {
                app.record([(all[0].as_str(), at.as_str(), 1)]).await;
                app.refresh().await;
            }
            let before = app.reader.cache_figures().computed;
            for (follower, name) in followers.iter_mut().zip(&all) {
                let view = follower.next().await.unwrap().unwrap();
                assert!(view.freshness().as_of > as_of, "{name} hears of every refresh");
                let filter = Arc::new(PageFilter::Names(vec![name.clone()]));
                let expected = if *name == all[0] { 1 + round } else { 1 };
                assert_eq!(view.views(interval, &filter).await.unwrap(), expected, "{name}");
            }
            as_of = app.feed.known().unwrap().as_of;
            let computed = app.reader.cache_figures().computed - before;
            let is_recorded = app.test_database.rung != Rung::MaterializedView && !app.is_on_a_cluster();
            assert_eq!(computed, if round > 0 && is_recorded { 1 } else { FOLLOWERS.into() });
        }
    }
}
