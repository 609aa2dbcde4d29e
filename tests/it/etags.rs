//! ETags: an unchanged response is answered with 304, a changed one never is.

use chrono::TimeDelta;
use entity::report_refresh;
use reports::{
    Calendar, ClockUse, IntervalChoice, Period, PresentHour, Range, ReportView,
    freshness::{Freshness, RefreshStatus},
};
use reqwest::{Response, header};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait};
use serde_json::Value;

use crate::{
    app::{Rung, TestApp},
    on_all_databases,
};

const TOTALS: &str =
    "{ report(filter: { interval: { period: ALL_TIME } }) { freshness { asOf status } totals { views } } }";

async fn get(app: &TestApp, parameters: &[(&str, &str)], tag: Option<&str>, accept: &str) -> Response {
    let request = app.client.get(format!("http://{}/graphql", app.address)).query(parameters);
    let request = request.header(header::ACCEPT, accept);
    let request = match tag {
        Some(tag) => request.header(header::IF_NONE_MATCH, tag),
        None => request,
    };
    request.send().await.unwrap()
}

async fn query(app: &TestApp, query: &str, tag: Option<&str>) -> Response {
    get(app, &[("query", query)], tag, "application/json").await
}

fn tag_of(response: &Response) -> Option<String> {
    response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned())
}

/// Notifies listeners of a new row, as the Wolf does.
async fn notify(app: &TestApp) {
    if app.test_database.rung != Rung::Sqlite {
        app.database.background.execute_unprepared("NOTIFY report_refreshes").await.unwrap();
    }
}

/// Waits until the next change of the ETags by the clock is at least 15 seconds away.
async fn not_about_to_step() {
    let is_far = || {
        let now = storage::clock::process_now();
        PresentHour::from(now).holds().end - now > TimeDelta::seconds(15)
    };
    crate::wait::eventually("the clock not to be about to step", async || is_far()).await;
}

on_all_databases! {
    async fn unchanged_response_is_304(app: TestApp) {
        not_about_to_step().await;
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        let first = query(&app, TOTALS, None).await;
        assert_eq!(first.headers()[header::CACHE_CONTROL], "private, no-cache");
        assert_eq!(first.headers()[header::VARY], "accept, authorization");
        let tag = tag_of(&first).unwrap();
        assert!(tag.starts_with("W/\""), "{tag}");
        let again = query(&app, TOTALS, Some(&format!("\"other\", {tag}"))).await;
        assert_eq!((again.status().as_u16(), tag_of(&again).as_ref()), (304, Some(&tag)));
        assert_eq!(again.headers()[header::CACHE_CONTROL], "private, no-cache");
        assert!(again.text().await.unwrap().is_empty());

        // Nothing new is recorded, but the report is fresher, which changes the response.
        app.refresh().await;
        let fresher = query(&app, TOTALS, Some(&tag)).await;
        assert_eq!(fresher.status(), 200);
        assert_ne!(tag_of(&fresher).as_ref(), Some(&tag));
    }

    async fn not_modified_response_reads_only_the_freshness(app: TestApp) {
        not_about_to_step().await;
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        let tag = tag_of(&query(&app, TOTALS, None).await).unwrap();
        app.database.background.execute_unprepared("ALTER TABLE page_views_report RENAME TO hidden").await.unwrap();
        assert_eq!(query(&app, TOTALS, Some(&tag)).await.status(), 304);
        // A result that is not cached.
        let pages = "{ report { totals { pages } } }";
        let answer: Value = query(&app, pages, None).await.json().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "the report can't be read");
    }

    async fn response_has_no_etag_while_a_refresh_changes_the_report(app: TestApp) {
        not_about_to_step().await;
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        assert_eq!(tag_of(&query(&app, TOTALS, None).await), None, "before the first refresh");
        app.refresh().await;
        let tag = tag_of(&query(&app, TOTALS, None).await).unwrap();
        let under_way = report_refresh::ActiveModel {
            started_at: Set(storage::clock::process_now()),
            content_version: Set(1),
            ..Default::default()
        };
        let row = under_way.insert(&app.database.background).await.unwrap();
        notify(&app).await;
        let under_way = |known: &Freshness| known.status(std::time::Instant::now()) == RefreshStatus::Refreshing;
        app.until_freshness("a refresh under way in the feed", under_way).await;
        let response = query(&app, TOTALS, Some(&tag)).await;
        assert_eq!((response.status().as_u16(), tag_of(&response)), (200, None));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        report_refresh::Entity::delete_by_id(row.id).exec(&app.database.background).await.unwrap();
        assert_eq!(query(&app, TOTALS, Some(&tag)).await.status(), 304);
    }

    // Two Wolves refresh while views come in.
    async fn responses_with_one_etag_are_equal(app: TestApp) {
        let text = "{ report(filter: { interval: { period: ALL_TIME } }) { freshness { asOf status refreshId error }
            interval { start end exact } totals { views pages } pages(first: 50) { nodes { page views } } } }";
        // So many hours that a merge takes several transactions.
        let times: Vec<_> = (0..28 * 24).map(|hour| format!("2026-02-{:02}T{:02}:00:00Z", hour % 28 + 1, hour % 24)).collect();
        let other = wolf::Refresher::new(&app.database);
        let refreshed = std::sync::atomic::AtomicUsize::new(0);
        let refreshing = async |refresher: &wolf::Refresher| {
            for round in 0..8 {
                app.record(times.iter().skip(round).map(|at| ("/a", at.as_str(), 1))).await;
                refresher.refresh(wolf::LockMode::Wait, None).await.unwrap();
                refreshed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        };
        let asking = async || {
            let mut bodies = std::collections::BTreeMap::new();
            while refreshed.load(std::sync::atomic::Ordering::SeqCst) < 16 || bodies.is_empty() {
                let last: Option<String> = bodies.keys().next_back().cloned();
                let response = query(&app, text, last.as_deref()).await;
                let Some(tag) = tag_of(&response) else { continue };
                if response.status() == 304 {
                    // The response behind a 304 is the known one, unless it has just changed.
                    let full = query(&app, text, None).await;
                    if tag_of(&full).as_ref() == Some(&tag) {
                        assert_eq!(bodies[&tag], full.json::<Value>().await.unwrap());
                    }
                } else {
                    let body: Value = response.json().await.unwrap();
                    assert_eq!(bodies.entry(tag.clone()).or_insert_with(|| body.clone()), &body, "{tag}");
                }
            }
        };
        tokio::join!(refreshing(&app.refresher), refreshing(&other), asking(), asking());
    }

    async fn etag_changes_when_the_status_changes_with_the_clock(app: TestApp) {
        not_about_to_step().await;
        let now = storage::clock::process_now();
        let row = report_refresh::ActiveModel {
            as_of: Set(Some(now)),
            started_at: Set(now),
            finished_at: Set(Some(now)),
            overdue_at: Set(Some(now + TimeDelta::seconds(2))),
            content_version: Set(0),
            ..Default::default()
        };
        row.insert(&app.database.background).await.unwrap();
        notify(&app).await;
        app.until_freshness("the refresh in the feed", |known| known.as_of.is_some()).await;
        let mut last = (String::new(), None);
        crate::wait::eventually("the report to be overdue", async || {
            let response = query(&app, "{ freshness { status } }", last.1.as_deref()).await;
            if response.status() == 304 {
                return false;
            }
            let tag = tag_of(&response);
            let status = response.json::<Value>().await.unwrap()["data"]["freshness"]["status"].to_string();
            // No row was written, and a client with the old response gets the new one.
            last = (status, tag);
            last.0.contains("OVERDUE")
        })
        .await;
        assert_eq!(query(&app, "{ freshness { status } }", last.1.as_deref()).await.status(), 304);
    }
}

#[tokio::test]
async fn response_depends_on_the_clock_only_by_what_its_resolvers_read() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.refresh().await;
    let clock_use = async |read: &dyn Fn(&ReportView)| {
        let view = app.reader.view().await.unwrap();
        read(&view);
        view.provenance().clock
    };
    let interval = |view: &ReportView, choice: IntervalChoice| {
        let interval = choice.interval(Calendar::new(chrono_tz::UTC, None), || view.present_hour(), None);
        assert!(interval.start <= interval.end);
    };
    let range = Range::new("2026-01-01T00:00:00Z".parse().unwrap(), "2026-02-01T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(clock_use(&|view| interval(view, IntervalChoice::Range(range))).await, ClockUse::None);
    for period in [Period::Today, Period::Last24Hours, Period::LastMonth, Period::AllTime] {
        let shown = clock_use(&|view| interval(view, IntervalChoice::Period(period))).await;
        assert!(matches!(shown, ClockUse::Hour(_)), "{period:?} {shown:?}");
    }
    assert_eq!(clock_use(&|view| assert!(view.staleness().is_some())).await, ClockUse::Moment);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_of_the_request_changes_the_etag() {
    not_about_to_step().await;
    let app = TestApp::start(Rung::Sqlite).await;
    app.refresh().await;
    let text = "query A($filter: ReportFilter) { report(filter: $filter) { totals { views } } } query B { freshness { status } }";
    let today = r#"{"filter":{"interval":{"period":"TODAY"}}}"#;
    let yesterday = r#"{"filter":{"interval":{"period":"YESTERDAY"}}}"#;
    let requests: [(&[(&str, &str)], &str); 5] = [
        (&[("query", text), ("operationName", "A"), ("variables", today)], "application/json"),
        (&[("query", text), ("operationName", "A"), ("variables", yesterday)], "application/json"),
        (&[("query", text), ("operationName", "A")], "application/json"),
        (&[("query", text), ("operationName", "B")], "application/json"),
        (&[("query", text), ("operationName", "B")], "application/graphql-response+json"),
    ];
    let mut tags = std::collections::BTreeSet::new();
    for (parameters, accept) in requests {
        tags.insert(tag_of(&get(&app, parameters, None, accept).await).unwrap());
    }
    assert_eq!(tags.len(), requests.len());
    let all: Vec<_> = tags.iter().map(String::as_str).collect();
    for (parameters, accept) in requests {
        assert_eq!(get(&app, parameters, Some(&all.join(", ")), accept).await.status(), 304);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_that_is_not_cacheable_has_no_etag() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.refresh().await;
    for text in [
        "{ freshness { status stalenessSeconds } }",
        "{ freshness { ...F } } fragment F on Freshness { old: stalenessSeconds }",
        "{ report { pages(first: -1) { edges { cursor } } } freshness { status } }",
        "{ nothing }",
        "{",
        "{ __typename }",
    ] {
        let response = query(&app, text, None).await;
        assert_eq!(
            (tag_of(&response), &response.headers()[header::CACHE_CONTROL]),
            (None, &"no-store".parse().unwrap()),
            "{text}"
        );
    }
    let body = serde_json::json!({ "query": "{ freshness { status } }" });
    let url = format!("http://{}/graphql", app.address);
    let response = app.client.post(url).json(&body).send().await.unwrap();
    assert_eq!((tag_of(&response), &response.headers()[header::CACHE_CONTROL]), (None, &"no-store".parse().unwrap()));
}
