//! The cache of query results: shared between requests, and valid for one version of the report.

use std::sync::Arc;

use api::{access::Access, http};
use chrono_tz::UTC;
use reports::{
    CacheFigures, Calendar, Granularity, IntervalChoice, PageFilter, PageOrder, Period, ReportError, ReportReader,
    ReportSettings, freshness::FreshnessFeed,
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use storage::{Purpose, Transaction, clock};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    app::{Rung, Settings, TestApp, services},
    on_all_databases,
    wait::{eventually, wait_for},
};

const REPORT: &str = "query ($of: IntervalInput) { report(filter: { interval: $of }) {
    freshness { refreshId asOf }
    totals { views pages }
    series(granularity: MONTH) { views }
    pages(first: 1000) { nodes { views } }
} }";
/// Sum, number of pages, series, list. The response needs the sum twice.
const QUESTIONS: u64 = 4;

fn utc() -> Calendar {
    Calendar::new(UTC, None)
}

fn year() -> Value {
    json!({ "of": { "range": { "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" } } })
}

/// Asserts that all parts of a report have the same sum, and returns it.
pub(crate) fn agreed_sum(report: &Value) -> i64 {
    let sum = |list: &Value| list.as_array().unwrap().iter().map(|entry| entry["views"].as_i64().unwrap()).sum::<i64>();
    let views = report["totals"]["views"].as_i64().unwrap();
    assert_eq!((sum(&report["series"]), sum(&report["pages"]["nodes"])), (views, views), "{report}");
    views
}

/// Takes all connections that queries may use.
async fn all_readers(app: &TestApp) -> Vec<Transaction> {
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.push(app.database.readers.begin(Purpose::Snapshot).await.unwrap());
    }
    taken
}

on_all_databases! {
    async fn cached_report_needs_no_database(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 3), ("/b", "2026-04-01T00:00:00Z", 4)]).await;
        app.refresh().await;
        let first = app.data(REPORT, year()).await["report"].take();
        assert_eq!(agreed_sum(&first), 7);
        let before = app.reader.cache_figures();
        assert_eq!(before.computed, QUESTIONS);
        let taken = all_readers(&app).await;
        assert_eq!(app.data(REPORT, year()).await["report"], first);
        drop(taken);
        let after = app.reader.cache_figures();
        assert_eq!(after, CacheFigures { hits: before.hits + QUESTIONS, ..after });
        assert_eq!((after.misses, after.computed), (before.misses, before.computed));

        // A refresh that changes nothing invalidates no result, but the freshness is new.
        app.refresh().await;
        let again = app.data(REPORT, year()).await["report"].take();
        assert_ne!(again["freshness"], first["freshness"]);
        assert_eq!(again["totals"], first["totals"]);
        assert_eq!(app.reader.cache_figures().computed, before.computed);
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        assert_eq!(agreed_sum(&app.data(REPORT, year()).await["report"]), 8);
        assert_eq!(app.reader.cache_figures().computed, before.computed + QUESTIONS);
    }

    async fn concurrent_queries_share_one_computation(app: TestApp) {
        const CLIENTS: u64 = 40;
        app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
        app.refresh().await;
        let taken = all_readers(&app).await;
        let app = Arc::new(app);
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let app = Arc::clone(&app);
            clients.spawn(async move { app.data(REPORT, year()).await["report"].take() });
        }
        eventually("every question of every client waits", async || {
            app.reader.cache_figures().misses == CLIENTS * QUESTIONS
        }).await;
        drop(taken);
        for report in clients.join_all().await {
            assert_eq!(agreed_sum(&report), 3);
        }
        assert_eq!(app.reader.cache_figures().computed, QUESTIONS);
    }

    async fn failed_computation_is_not_cached(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
        app.refresh().await;
        let relation = if app.test_database.rung == Rung::MaterializedView { "MATERIALIZED VIEW" } else { "TABLE" };
        let rename = async |from: &str, to: &str| {
            app.database.background.execute_unprepared(&format!("ALTER {relation} {from} RENAME TO {to}")).await.unwrap();
        };
        rename("page_views_report", "hidden").await;
        assert_eq!(app.errors(REPORT, year()).await[0].0, "INTERNAL_SERVER_ERROR");
        rename("hidden", "page_views_report").await;
        assert_eq!(agreed_sum(&app.data(REPORT, year()).await["report"]), 3);
    }

    async fn cancelled_query_does_not_cancel_the_shared_computation(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
        app.refresh().await;
        let taken = all_readers(&app).await;
        let interval = IntervalChoice::Period(Period::Last7Days).interval(utc(), || clock::process_now().into(), None);
        let all = Arc::new(PageFilter::All);
        let (first, second) = (app.reader.view().await.unwrap(), app.reader.view().await.unwrap());
        let mut leaving = Box::pin(first.views(interval, &all));
        assert!(futures_util::poll!(leaving.as_mut()).is_pending());
        let mut staying = Box::pin(second.views(interval, &all));
        assert!(futures_util::poll!(staying.as_mut()).is_pending());
        // The first query is neither polled nor dropped, as for a client that does not read.
        drop(taken);
        assert_eq!(wait_for("the computation", staying).await.unwrap(), 0);
        assert_eq!(app.reader.cache_figures().computed, 1);
        drop(leaving);
    }

    async fn cached_bytes_are_bounded(app: TestApp) {
        const BYTES: u64 = 200_000;
        app.record((0..500).map(|_| ("/a", "2026-03-01T00:00:00Z", 1))).await;
        app.refresh().await;
        let reader = ReportReader::new(&app.database, app.feed.clone(), &ReportSettings { cache_bytes: BYTES });
        let answer = reader.view().await.unwrap();
        let interval = IntervalChoice::Period(Period::Last30Days).interval(utc(), || clock::process_now().into(), None);
        for number in 0..200 {
            let filter = Arc::new(PageFilter::Prefix(format!("/{number}")));
            // 720 points of 16 bytes.
            answer.series(interval, &filter, Granularity::Hour, utc()).await.unwrap();
            let bytes = reader.cache_figures().bytes;
            assert!(bytes <= BYTES, "{bytes} after {number}");
        }
        assert_eq!(reader.cache_figures().computed, 200);
        let none = ReportReader::new(&app.database, app.feed.clone(), &ReportSettings { cache_bytes: 0 });
        for _ in 0..2 {
            none.view().await.unwrap().views(interval, &Arc::new(PageFilter::All)).await.unwrap();
        }
        let figures = none.cache_figures();
        assert_eq!(figures, CacheFigures { hits: 0, misses: 0, computed: 0, bytes: 0 }, "each view reads in its own transaction");
    }

    async fn report_view_has_one_version_even_if_a_refresh_ends_between_two_fields(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
        app.refresh().await;
        let all = Arc::new(PageFilter::All);
        let interval = reports::Interval::of_range("2026-01-01T00:00:00Z".parse().unwrap(), "2027-01-01T00:00:00Z".parse().unwrap()).unwrap();
        let (own, shared) = (app.reader.uncached_view().await.unwrap(), app.reader.view().await.unwrap());
        for answer in [&own, &shared] {
            assert_eq!(answer.views(interval, &all).await.unwrap(), 3);
        }
        app.record([("/b", "2026-03-01T00:00:00Z", 4)]).await;
        app.refresh().await;
        // An uncached view reads in a transaction of its own, which sees the old report. On a cluster there is no snapshot.
        match own.pages(interval, &all, PageOrder::Views, None, 10).await {
            Err(ReportError::VersionChanged) if app.is_on_a_cluster() => {}
            rows => assert_eq!(rows.unwrap().iter().map(|row| row.views).sum::<i64>(), 3),
        }
        drop(own);
        // A cached view keeps its results, and does not mix them with newer ones.
        assert_eq!(shared.views(interval, &all).await.unwrap(), 3);
        assert!(matches!(shared.pages(interval, &all, PageOrder::Views, None, 10).await, Err(ReportError::VersionChanged)));
    }

    async fn query_restarts_when_its_report_version_is_gone(app: TestApp) {
        // The listener of this feed does not run, so that it learns of no refresh.
        let (feed, _tail) = FreshnessFeed::new(&app.database);
        let reader = ReportReader::new(&app.database, feed.clone(), &ReportSettings { cache_bytes: 1_000_000 });
        let (deaf, _serving) = serve_beside(&app, feed, reader).await;
        app.record([("/a", "2026-03-01T00:00:00Z", 3)]).await;
        app.refresh().await;
        let totals = "query ($of: IntervalInput) { report(filter: { interval: $of }) { totals { views } } }";
        assert_eq!(ask(&app, &deaf, totals).await["totals"]["views"], 3);
        app.record([("/b", "2026-03-02T00:00:00Z", 4)]).await;
        app.refresh().await;
        // Only the sum is cached. The other results, computed now, would be of another version.
        assert_eq!(agreed_sum(&ask(&app, &deaf, REPORT).await), 7);
        assert_eq!(ask(&app, &deaf, totals).await["totals"]["views"], 7);
    }

    async fn report_view_is_never_older_than_the_view_before_it(app: TestApp) {
        // The listener of this feed does not run.
        let (feed, _tail) = FreshnessFeed::new(&app.database);
        let reader = ReportReader::new(&app.database, feed, &ReportSettings { cache_bytes: 1_000_000 });
        for _ in 0..2 {
            reader.view().await.unwrap();
            let done = app.refresh().await;
            let own = reader.uncached_view().await.unwrap();
            assert_eq!(own.freshness().refresh_id, done.id);
            drop(own);
            assert_eq!(reader.view().await.unwrap().freshness().refresh_id, done.id);
        }
    }

    async fn sums_agree_in_every_response_during_refreshes(app: TestApp) {
        let app = Arc::new(app);
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        let mut clients = JoinSet::new();
        for client in 0..4 {
            let app = Arc::clone(&app);
            clients.spawn(async move {
                let mut last = 0;
                for number in 0..50 {
                    // Some intervals are new to the cache.
                    let start = format!("20{:02}-01-01T00:00:00Z", 10 + (number * 4 + client) % 15);
                    let of = json!({ "of": { "range": { "start": start, "end": "2027-01-01T00:00:00Z" } } });
                    let mut answer = app.execute(REPORT, of.clone()).await;
                    // On a cluster there is no snapshot, and a refresh may follow the other too closely to be read between.
                    while app.is_on_a_cluster() && answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE" {
                        answer = app.execute(REPORT, of.clone()).await;
                    }
                    assert_eq!(answer.get("errors"), None);
                    let sum = agreed_sum(&answer["data"]["report"]);
                    assert!(sum >= last, "{sum} after {last}");
                    last = sum;
                }
            });
        }
        while !clients.is_empty() {
            app.record([("/a", "2026-03-01T00:00:00Z", 1), ("/b", "2026-04-01T00:00:00Z", 1)]).await;
            app.refresh().await;
            while let Some(ended) = clients.try_join_next() {
                ended.unwrap();
            }
        }
    }
}

async fn serve_beside(app: &TestApp, feed: FreshnessFeed, reader: ReportReader) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings::default().http;
    let access = Access::new(&settings.access, settings.listen).unwrap();
    let (services, stop) = (services(&app.database, &app.recorder, &reader, &feed), app.stop.clone());
    let mut serving = JoinSet::new();
    serving.spawn(async move { http::serve(listener, services, access, &settings, stop).await });
    (address.to_string(), serving)
}

async fn ask(app: &TestApp, address: &str, query: &str) -> Value {
    let body = json!({ "query": query, "variables": year() });
    let answer = app.client.post(format!("http://{address}/graphql")).json(&body).send().await.unwrap();
    let mut answer: Value = answer.json().await.unwrap();
    assert_eq!(answer.get("errors"), None);
    answer["data"]["report"].take()
}
