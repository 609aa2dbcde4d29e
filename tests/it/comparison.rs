//! Totals compared with another period: both sides have the same number of whole, counted hours.

use chrono::{DateTime, Offset, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use entity::Hour;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use storage::clock;

use crate::on_all_databases;

const COMPARED: &str = "query ($filter: ReportFilter, $to: Comparison) { report(filter: $filter) {
    interval { start end exact }
    freshness { asOf }
    countedSince
    totals(compareTo: $to) { views comparableViews previous previousInterval { start end exact } change }
} }";

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// The views of the hours in `interval`.
fn sum(recorded: &[(DateTime<Utc>, i64)], interval: &Value) -> i64 {
    sum_between(recorded, time(&interval["start"]), time(&interval["end"]))
}

fn sum_between(recorded: &[(DateTime<Utc>, i64)], start: DateTime<Utc>, end: DateTime<Utc>) -> i64 {
    let within = |at: DateTime<Utc>| start <= Hour::containing(at).start() && Hour::containing(at).start() < end;
    recorded.iter().filter(|(at, _)| within(*at)).map(|(_, views)| views).sum()
}

on_all_databases! {
    async fn previous_views_are_the_sum_of_the_previous_interval(app: TestApp) {
        let now = clock::process_now();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut draw = |range: std::ops::Range<i64>| range.new_tree(&mut runner).unwrap().current();
        // Two years and a bit; every hour of the last four days.
        let long: Vec<_> = (0..2_000).map(|_| (now - TimeDelta::hours(draw(0..24 * 760)), draw(1..50))).collect();
        // Counting began before every interval.
        let first = (now - TimeDelta::hours(24 * 761), 1);
        let recent = (0..96).map(|hours| (now - TimeDelta::hours(hours), hours + 1));
        let recorded: Vec<_> = recent.chain(long).chain([first]).collect();
        let texts: Vec<_> = recorded.iter().map(|(at, views)| (at.to_rfc3339(), *views)).collect();
        app.record(texts.iter().map(|(at, views)| ("/a", at.as_str(), *views))).await;
        app.refresh().await;

        for period in [
            "TODAY", "YESTERDAY", "LAST_24_HOURS", "LAST_7_DAYS", "LAST_30_DAYS", "THIS_MONTH", "LAST_MONTH",
            "LAST_12_MONTHS", "THIS_YEAR",
        ] {
            for zone in ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"] {
                for to in ["PREVIOUS_PERIOD", "SAME_PERIOD_LAST_YEAR"] {
                    let context = format!("{period} in {zone} against {to} at {now}");
                    let filter = json!({ "interval": { "period": period }, "timeZone": zone });
                    let report = app.data(COMPARED, json!({ "filter": filter, "to": to })).await["report"].take();
                    let totals = &report["totals"];
                    let previous = &totals["previousInterval"];
                    if previous.is_null() {
                        // 29 February.
                        for field in ["comparableViews", "previous", "change"] {
                            assert_eq!(totals[field], Value::Null, "{context}");
                        }
                        continue;
                    }
                    let looked_at = Hour::containing(time(&report["freshness"]["asOf"])).start();
                    let (start, end) = (time(&report["interval"]["start"]), time(&report["interval"]["end"]));
                    let comparable = sum_between(&recorded, start, end.min(looked_at));
                    assert_eq!(totals["comparableViews"], comparable, "{context}");
                    let expected = sum(&recorded, previous);
                    assert_eq!(totals["views"], sum(&recorded, &report["interval"]), "{context}");
                    assert_eq!(totals["previous"], expected, "{context}");
                    if expected == 0 {
                        assert_eq!(totals["change"], Value::Null, "{context}");
                    } else {
                        let views = totals["comparableViews"].as_f64().unwrap();
                        let expected = totals["previous"].as_f64().unwrap();
                        let change = totals["change"].as_f64().unwrap();
                        assert!((change - (views - expected) / expected).abs() < 1e-9, "{context}: {totals}");
                    }
                    assert_same_time_of_day(&report, zone.parse().unwrap(), to, &context);
                }
            }
        }
    }

    async fn change_is_null_without_a_previous_period(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 5)]).await;
        app.refresh().await;
        let totals = async |filter: Value, to: Value| {
            app.data(COMPARED, json!({ "filter": filter, "to": to })).await["report"]["totals"].take()
        };
        let none = |views| {
            json!({ "views": views, "comparableViews": null, "previous": null, "previousInterval": null, "change": null })
        };
        let all = json!({ "interval": { "period": "ALL_TIME" } });
        assert_eq!(totals(all.clone(), json!("PREVIOUS_PERIOD")).await, none(5));
        assert_eq!(totals(all, Value::Null).await, none(5));
        let day = |start: &str, end: &str| json!({ "interval": { "range": { "start": start, "end": end } } });
        // An interval that begins before the first counted hour was not counted as a whole.
        let first = totals(day("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"), json!("PREVIOUS_PERIOD")).await;
        assert_eq!(first, none(5));
        let second = totals(day("2026-03-01T12:00:00Z", "2026-03-02T13:00:00Z"), json!("PREVIOUS_PERIOD")).await;
        assert_eq!(second, none(0));
        let second = totals(day("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"), json!("PREVIOUS_PERIOD")).await;
        assert_eq!((&second["previous"], &second["comparableViews"], &second["change"]), (&json!(5), &json!(0), &json!(-1.0)));
        // There is a period with nothing in it: its sum is 0, and nothing can be divided by it.
        let fourth = totals(day("2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"), json!("PREVIOUS_PERIOD")).await;
        assert_eq!((&fourth["previous"], &fourth["comparableViews"], &fourth["change"]), (&json!(0), &json!(0), &Value::Null));
    }

    async fn constant_traffic_has_a_change_of_zero(app: TestApp) {
        const PER_HOUR: i64 = 60;
        const DAYS: i64 = 10;
        let now = clock::process_now();
        let hours: Vec<_> = (0..=24 * DAYS).map(|hours| (now - TimeDelta::hours(hours)).to_rfc3339()).collect();
        app.record(hours.iter().map(|at| ("/a", at.as_str(), PER_HOUR))).await;
        app.refresh().await;
        for zone in ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide"] {
            let zone: Tz = zone.parse().unwrap();
            let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix();
            if (0..=DAYS).any(|days| offset(now - TimeDelta::days(days)) != offset(now)) {
                continue;
            }
            for period in ["TODAY", "YESTERDAY", "LAST_24_HOURS", "LAST_7_DAYS"] {
                let filter = json!({ "interval": { "period": period }, "timeZone": zone.name() });
                let report = app.data(COMPARED, json!({ "filter": filter, "to": "PREVIOUS_PERIOD" })).await["report"].take();
                let context = format!("{period} in {zone} at {now}: {report}");
                let since = Hour::containing(now - TimeDelta::hours(24 * DAYS)).start();
                assert_eq!(time(&report["countedSince"]), since, "{context}");
                let totals = &report["totals"];
                if period == "LAST_7_DAYS" {
                    // The 7 days before it begin before anything was counted.
                    let none = ["comparableViews", "previous", "previousInterval", "change"].map(|field| &totals[field]);
                    assert_eq!(none, [&Value::Null; 4], "{context}");
                    continue;
                }
                let looked_at = Hour::containing(time(&report["freshness"]["asOf"])).start();
                let (start, end) = (time(&report["interval"]["start"]), time(&report["interval"]["end"]));
                let over = (looked_at.min(end) - start).num_hours();
                assert_eq!(totals["comparableViews"], over * PER_HOUR, "{context}");
                assert_eq!(totals["previous"], over * PER_HOUR, "{context}");
                let expected = if over == 0 { Value::Null } else { json!(0.0) };
                assert_eq!(totals["change"], expected, "{context}");
            }
        }
    }
}

/// The previous interval of one that is not over ends at the same local time as `asOf`.
fn assert_same_time_of_day(report: &Value, zone: Tz, to: &str, context: &str) {
    let as_of = Hour::containing(time(&report["freshness"]["asOf"])).start();
    let (start, end) = (time(&report["interval"]["start"]), time(&report["interval"]["end"]));
    let previous = &report["totals"]["previousInterval"];
    let (previous_start, previous_end) = (time(&previous["start"]), time(&previous["end"]));
    if to == "PREVIOUS_PERIOD" {
        assert!(previous_start <= previous_end && previous_end <= start, "{context}: {report}");
    }
    let whole_hours = report["interval"]["exact"] == true;
    if as_of <= start || end <= as_of || !whole_hours {
        return;
    }
    // Clocks that change make a difference of an hour or less; 29 February one of a day; a short month ends before.
    let difference = (previous_end - previous_start) - (as_of - start);
    let most = if to == "PREVIOUS_PERIOD" { TimeDelta::hours(1) } else { TimeDelta::hours(25) };
    assert!(difference <= most, "{context}: {report}");
    assert!(-most <= difference || previous_end == start, "{context}: {report}");
    let shows = |at: DateTime<Utc>| at.with_timezone(&zone).time().hour();
    // Midnight where a month has no such day, and any hour where the clocks leave out this one.
    let same =
        shows(previous_end) == shows(as_of) || shows(previous_end) == 0 || shows(previous_end) == shows(as_of) + 1;
    assert!(same, "{context}: {report}");
}
