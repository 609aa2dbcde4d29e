//! Reports have the same numbers as a plain sum of the increments.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use entity::Hour;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use reports::{Calendar, Granularity, Interval, PageFilter, ReportError, ReportReader, ReportSettings};
use serde_json::{Value, json};
use storage::{Database, clock, error_kind::DbErrorKind};

use crate::{app::TestApp, on_all_databases};

const REPORT: &str = "query ($filter: ReportFilter, $granularity: Granularity!) { report(filter: $filter) {
    interval { start end exact }
    freshness { asOf status }
    totals { views pages }
    series(granularity: $granularity) { start end localStart views complete }
    pages(first: 1000) { edges { node { page views share } } nodes { page } pageInfo { hasNextPage } }
} }";

async fn report(app: &TestApp, filter: Value, granularity: &str) -> Value {
    app.data(REPORT, json!({ "filter": filter, "granularity": granularity })).await["report"].take()
}

fn range(start: &str, end: &str) -> Value {
    json!({ "interval": { "range": { "start": start, "end": end } } })
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

fn views_of_pages(report: &Value) -> Vec<(String, i64)> {
    let edges = report["pages"]["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| (edge["node"]["page"].as_str().unwrap().to_owned(), edge["node"]["views"].as_i64().unwrap()))
        .collect()
}

on_all_databases! {
    async fn empty_report_is_zeros_and_empty_lists(app: TestApp) {
        let recorded = [false, true];
        for recorded in recorded {
            if recorded {
                app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
                app.refresh().await;
            }
            let empty_range = range("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z");
            let before = range("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
            let unknown = json!({ "interval": { "period": "ALL_TIME" }, "pages": { "names": ["/unknown"] } });
            let none = json!({ "interval": { "period": "ALL_TIME" }, "pages": { "names": [] } });
            for filter in [json!(null), empty_range, before, unknown, none] {
                let report = report(&app, filter.clone(), "DAY").await;
                assert_eq!(report["totals"], json!({ "views": 0, "pages": 0 }), "{filter}");
                assert_eq!(report["pages"]["edges"], json!([]), "{filter}");
                assert!(report["series"].as_array().unwrap().iter().all(|point| point["views"] == 0), "{filter}");
            }
            let points = report(&app, range("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"), "HOUR").await;
            assert_eq!(points["series"].as_array().unwrap().len(), 24, "empty buckets are there");
        }
    }

    async fn every_period_has_the_sum_of_its_hours(app: TestApp) {
        let now = clock::process_now();
        let hours_ago = |hours| (now - TimeDelta::hours(hours)).to_rfc3339();
        let times = [hours_ago(0), hours_ago(30), hours_ago(24 * 20), hours_ago(24 * 400)];
        app.record(times.iter().map(|at| ("/a", at.as_str(), 1))).await;
        app.refresh().await;
        for period in [
            "TODAY", "YESTERDAY", "LAST_24_HOURS", "LAST_7_DAYS", "LAST_30_DAYS", "THIS_MONTH", "LAST_MONTH",
            "LAST_12_MONTHS", "THIS_YEAR", "ALL_TIME",
        ] {
            for zone in ["UTC", "America/New_York", "Asia/Kolkata"] {
                let filter = json!({ "interval": { "period": period }, "timeZone": zone });
                let report = report(&app, filter, "DAY").await;
                let (start, end) = (time(&report["interval"]["start"]), time(&report["interval"]["end"]));
                let expected = times.iter().filter(|at| {
                    let hour = Hour::containing(at.parse().unwrap()).start();
                    start <= hour && hour < end
                }).count();
                assert_eq!(report["totals"]["views"], expected, "{period} in {zone}");
                let series: i64 = report["series"].as_array().unwrap().iter().map(|point| point["views"].as_i64().unwrap()).sum();
                assert_eq!(report["totals"]["views"], series, "{period} in {zone}");
            }
        }
        let all = report(&app, json!({ "interval": { "period": "ALL_TIME" } }), "MONTH").await;
        assert_eq!(time(&all["interval"]["start"]), Hour::containing(times[3].parse().unwrap()).start());
        let default = app.data("{ report { interval { start end } } }", json!({})).await;
        let week = report(&app, json!({ "interval": { "period": "LAST_7_DAYS" } }), "DAY").await;
        assert_eq!(default["report"]["interval"]["start"], week["interval"]["start"]);
    }

    async fn point_is_complete_when_it_ends_by_as_of(app: TestApp) {
        app.refresh().await;
        let report = report(&app, json!({ "interval": { "period": "LAST_24_HOURS" } }), "HOUR").await;
        let as_of = time(&report["freshness"]["asOf"]);
        let series = report["series"].as_array().unwrap();
        assert_eq!(series.len(), 24);
        for point in series {
            assert_eq!(point["complete"], time(&point["end"]) <= as_of, "{point}");
        }
        assert_eq!(series[23]["complete"], false);
    }

    async fn report_of_any_range_zone_and_filter_equals_the_sums_of_its_hours(app: TestApp) {
        let first: DateTime<Utc> = "2025-01-15T00:00:00Z".parse().unwrap();
        // A fixed seed, so that a failure is reproducible.
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut draw = |range: std::ops::Range<i64>| range.new_tree(&mut runner).unwrap().current();
        let pages = ["/a", "/a/b", "/a/c", "/b", "/ä", "/%_x"];
        let recorded: Vec<_> = (0..3_000).map(|_| {
            let page = pages[usize::try_from(draw(0..6)).unwrap()];
            (page, first + TimeDelta::hours(draw(0..24 * 500)), draw(1..100))
        }).collect();
        let texts: Vec<_> = recorded.iter().map(|(page, at, views)| (*page, at.to_rfc3339(), *views)).collect();
        app.record(texts.iter().map(|(page, at, views)| (*page, at.as_str(), *views))).await;
        app.refresh().await;

        for zone in chrono_tz::TZ_VARIANTS {
            let zone = zone.name();
            let start = first + TimeDelta::minutes(draw(-1_000..60 * 24 * 500));
            let end = start + TimeDelta::minutes(draw(0..60 * 24 * 500));
            let granularity = ["DAY", "WEEK", "MONTH"][usize::try_from(draw(0..3)).unwrap()];
            let (filter, matches): (Value, fn(&str) -> bool) = match draw(0..5) {
                0 => (json!(null), |_| true),
                1 => (json!({ "names": ["/a", "/%_x", "/nowhere"] }), |page| ["/a", "/%_x"].contains(&page)),
                2 => (json!({ "prefix": "/a" }), |page| page.starts_with("/a")),
                3 => (json!({ "contains": "%_" }), |page| page.contains("%_")),
                _ => (json!({ "contains": "a" }), |page| page.contains('a')),
            };
            let mut variables = range(&start.to_rfc3339(), &end.to_rfc3339());
            variables["pages"] = filter;
            variables["timeZone"] = json!(zone);
            let report = report(&app, variables.clone(), granularity).await;
            // Where the zone is off by part of an hour, its hours are those of UTC that are next to them.
            let cut = |at: DateTime<Utc>| {
                let ahead = offset(zone.parse().unwrap(), Hour::containing(at).start());
                Hour::containing(at + TimeDelta::seconds(ahead.rem_euclid(3_600))).start()
            };
            let chosen: Vec<_> = recorded.iter()
                .filter(|(page, at, _)| matches(page) && cut(start) <= *at && *at < cut(end))
                .collect();

            let sum: i64 = chosen.iter().map(|(_, _, views)| views).sum();
            assert_eq!(report["totals"]["views"], sum, "{variables}");
            let mut by_page = std::collections::BTreeMap::new();
            for (page, _, views) in &chosen {
                *by_page.entry((*page).to_owned()).or_insert(0) += views;
            }
            assert_eq!(report["totals"]["pages"], by_page.len(), "{variables}");
            let mut sorted: Vec<(String, i64)> = by_page.into_iter().collect();
            sorted.sort_by(|(a, fewer), (b, more)| more.cmp(fewer).then(a.cmp(b)));
            assert_eq!(views_of_pages(&report), sorted, "{variables}");
            assert_series(&report, &chosen, zone.parse().unwrap(), granularity);
        }
    }

    async fn paging_during_refreshes_neither_repeats_nor_skips_unchanged_pages(app: TestApp) {
        const PAGES: &str = "query ($after: String) { report(filter: { interval: { range: { start: \"2026-03-01T00:00:00Z\", end: \"2026-04-01T00:00:00Z\" } } }) {
            pages(first: 7, after: $after) { edges { node { page views } } pageInfo { hasNextPage endCursor } } } }";
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut draw = |range: std::ops::Range<i64>| range.new_tree(&mut runner).unwrap().current();
        for round in 0..4 {
            // Each round's pages are its own; some of equal views, and every third one grows while we page.
            let names: Vec<_> = (0..60).map(|index| format!("/{round}/{index:02}")).collect();
            app.record(names.iter().map(|name| (name.as_str(), "2026-03-01T00:00:00Z", draw(1..12)))).await;
            app.refresh().await;
            let before = all_pages(&app).await;
            let mut listed: Vec<(String, i64)> = Vec::new();
            let mut after = Value::Null;
            loop {
                let page = app.data(PAGES, json!({ "after": after })).await["report"].take();
                listed.extend(views_of_pages(&page));
                after = page["pages"]["pageInfo"]["endCursor"].clone();
                if page["pages"]["pageInfo"]["hasNextPage"] == false {
                    break;
                }
                let grows: Vec<_> = names.iter().step_by(3).filter(|_| draw(0..2) == 0).collect();
                app.record(grows.iter().map(|name| (name.as_str(), "2026-03-02T00:00:00Z", draw(1..20)))).await;
                app.refresh().await;
            }
            let stays = |name: &str| !names.iter().step_by(3).any(|grows| grows == name);
            let stayed = |pages: Vec<(String, i64)>| -> Vec<_> { pages.into_iter().filter(|(name, _)| stays(name)).collect() };
            assert_eq!(stayed(listed), stayed(before), "round {round}");
        }
    }

    async fn query_over_its_timeout_is_cancelled_as_unavailable(app: TestApp) {
        const HOURS: i64 = 24 * 4;
        let first: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        let pages: Vec<_> = (0..10_000).map(|page| format!("/page/{page}")).collect();
        for day in 0..4 {
            let at = (first + TimeDelta::days(day)).to_rfc3339();
            app.record(pages.iter().map(|page| (page.as_str(), at.as_str(), 1))).await;
        }
        app.refresh().await;
        let mut settings = app.test_database.settings();
        settings.query_timeout_ms = 1;
        let short = Database::connect(&settings).await.unwrap();
        let reader = ReportReader::new(&short, app.feed.clone(), &ReportSettings { cache_bytes: 1_000_000 });
        let range = Interval::of_range(first, first + TimeDelta::hours(HOURS)).unwrap();
        let utc = Calendar::new(chrono_tz::UTC, None);
        // So many pages that all rows are read.
        let contains = Arc::new(PageFilter::Contains("page".to_owned()));
        let asked = match reader.view().await {
            Ok(answer) => answer.series(range, &contains, Granularity::Hour, utc).await,
            Err(failure) => Err(failure),
        };
        let Err(ReportError::Database(failure)) = asked else { panic!("it was not cancelled: {asked:?}") };
        assert!(DbErrorKind::is_timeout(&failure), "{failure:?}");
        assert_eq!(DbErrorKind::of(&failure), DbErrorKind::Unavailable);
        // Without the short timeout the query succeeds.
        let series = app.reader.view().await.unwrap().series(range, &contains, Granularity::Hour, utc).await;
        assert_eq!(series.unwrap().iter().map(|bucket| bucket.views).sum::<i64>(), 40_000);
    }

    async fn pages_connection_lists_every_page_once(app: TestApp) {
        let names: Vec<_> = (0..25).map(|index| format!("/{index:02}")).collect();
        // Several have the same views: the name decides.
        app.record(names.iter().enumerate().map(|(index, name)| {
            (name.as_str(), "2026-03-01T00:00:00Z", i64::try_from(index).unwrap().rem_euclid(5) + 1)
        })).await;
        app.refresh().await;
        const PAGES: &str = "query ($first: Int, $after: String) { report(filter: { interval: { period: ALL_TIME } }) {
            pages(first: $first, after: $after) { edges { cursor node { page views share } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
        } }";
        let all = app.data(PAGES, json!({ "first": 1_000 })).await["report"]["pages"].take();
        assert_eq!(all["pageInfo"]["hasNextPage"], false);
        let shares: f64 = all["edges"].as_array().unwrap().iter().map(|edge| edge["node"]["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{shares}");
        let mut listed = Vec::new();
        let mut after = Value::Null;
        loop {
            let page = app.data(PAGES, json!({ "first": 4, "after": after })).await["report"]["pages"].take();
            assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
            listed.extend(page["edges"].as_array().unwrap().clone());
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(json!(listed), all["edges"]);
        let ten = app.data(PAGES, json!({})).await["report"]["pages"]["edges"].as_array().unwrap().len();
        assert_eq!(ten, 10, "ten when left out");
        let none = app.data(PAGES, json!({ "first": 0 })).await["report"]["pages"].take();
        assert_eq!((&none["edges"], &none["pageInfo"]["hasNextPage"]), (&json!([]), &json!(true)));
    }

    async fn wrong_filter_is_an_error_with_its_field(app: TestApp) {
        for (filter, code, field) in [
            (json!({ "interval": { "period": "LAST_CENTURY" } }), "BAD_USER_INPUT", "period"),
            (json!({ "interval": { "period": "TODAY", "range": { "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z" } } }), "BAD_USER_INPUT", "interval"),
            (range("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), "BAD_USER_INPUT", "interval.range.end"),
            (range("-10000-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), "BAD_USER_INPUT", "range.start"),
            (json!({ "timeZone": "Mars/Olympus" }), "BAD_USER_INPUT", "timeZone"),
            (json!({ "pages": { "names": ["/a"], "prefix": "/b" } }), "BAD_USER_INPUT", "pages"),
            (json!({ "pages": {} }), "BAD_USER_INPUT", "pages"),
            (json!({ "pages": { "prefix": "" } }), "BAD_USER_INPUT", "pages.prefix"),
            (json!({ "pages": { "contains": "a\u{0}" } }), "BAD_USER_INPUT", "pages.contains"),
            (json!({ "pages": { "names": vec!["/a"; 1_001] } }), "BAD_USER_INPUT", "pages.names"),
        ] {
            let errors = app.errors(REPORT, json!({ "filter": filter, "granularity": "DAY" })).await;
            assert!(!errors.is_empty(), "{filter}");
            assert_eq!(errors[0].0, code, "{filter}: {errors:?}");
            assert!(errors[0].1.contains(field), "{filter}: {errors:?}");
        }
        for (arguments, field) in [("first: 1001", "pages.first"), ("first: -1", "pages.first"), ("after: \"x\"", "pages.after")] {
            let errors = app.errors(&format!("{{ report {{ pages({arguments}) {{ edges {{ cursor }} }} }} }}"), json!({})).await;
            assert_eq!(errors[0].0, "BAD_USER_INPUT", "{errors:?}");
            assert!(errors[0].1.contains(field), "{errors:?}");
        }
        // Well-formed, but with a name that no database takes: {"refresh":1,"views":1,"page":"a\u0000"}
        let forged = "{ report { pages(after: \"eyJyZWZyZXNoIjoxLCJ2aWV3cyI6MSwicGFnZSI6ImFcdTAwMDAifQ\") { edges { cursor } } } }";
        let errors = app.errors(forged, json!({})).await;
        assert_eq!(errors[0].0, "BAD_USER_INPUT", "{errors:?}");
        let long = json!({ "filter": range("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), "granularity": "HOUR" });
        let errors = app.errors(REPORT, long).await;
        assert!(errors[0].1.contains("series.granularity"), "{errors:?}");
    }

    async fn all_reports_of_a_response_have_one_version(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        let reports: Vec<_> = (0..30).map(|index| format!(
            "r{index}: report(filter: {{ interval: {{ period: ALL_TIME }} }}) {{ freshness {{ refreshId }} totals {{ views }} series(granularity: MONTH) {{ views }} }}"
        )).collect();
        // More reports than there are connections: they share one.
        let mut answer = app.data(&format!("{{ {} freshness {{ refreshId }} }}", reports.join(" ")), json!({})).await;
        let freshness = answer.as_object_mut().unwrap().remove("freshness").unwrap();
        assert_eq!(freshness, answer["r0"]["freshness"]);
        let answers: Vec<_> = answer.as_object().unwrap().values().collect();
        assert_eq!(answers.len(), 30);
        assert!(answers.iter().all(|report| report == &answers[0]));
    }
}

async fn all_pages(app: &TestApp) -> Vec<(String, i64)> {
    views_of_pages(&report(app, range("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"), "MONTH").await)
}

/// Each point is the sum of its hours, points follow each other without a gap, and each is of one local bucket.
/// In seconds east of UTC.
fn offset(zone: Tz, at: DateTime<Utc>) -> i64 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into()
}

fn assert_series(report: &Value, chosen: &[&(&str, DateTime<Utc>, i64)], zone: Tz, granularity: &str) {
    let series = report["series"].as_array().unwrap();
    let mut expected_start = report["interval"]["start"].clone();
    let local = |at: DateTime<Utc>| (at + TimeDelta::hours(offset(zone, at).div_euclid(3_600))).naive_utc();
    let bucket = |at: DateTime<Utc>| {
        let local = local(at).date();
        match granularity {
            "DAY" => local,
            "WEEK" => local - TimeDelta::days(i64::from(local.weekday().num_days_from_monday())),
            _ => local.with_day(1).unwrap(),
        }
    };
    for point in series {
        assert_eq!(point["start"], expected_start);
        let name = local(time(&point["start"])).format("%Y-%m-%dT%H:%M:%S").to_string();
        assert_eq!(point["localStart"], name, "{point} in {zone}");
        expected_start = point["end"].clone();
        let (start, end) = (time(&point["start"]), time(&point["end"]));
        let sum: i64 = chosen.iter().filter(|(_, at, _)| start <= *at && *at < end).map(|(_, _, views)| views).sum();
        assert_eq!(point["views"], sum, "{point}");
        assert_eq!(bucket(start), bucket(end - TimeDelta::hours(1)), "{point} is one bucket in {zone}");
    }
    for pair in series.windows(2) {
        assert_ne!(
            bucket(time(&pair[0]["start"])),
            bucket(time(&pair[1]["start"])),
            "{pair:?} are two buckets in {zone}"
        );
    }
    if !series.is_empty() {
        assert_eq!(expected_start, report["interval"]["end"]);
    }
}
