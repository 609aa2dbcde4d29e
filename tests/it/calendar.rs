//! Days, weeks and months in zones whose offset from UTC is not whole hours, over the API.

use chrono::{DateTime, Utc};
use entity::Hour;
use serde_json::{Value, json};
use storage::clock;
use wolf::Maintenance;

use crate::on_all_databases;

const SERIES: &str = "query ($filter: ReportFilter, $by: Granularity!) { report(filter: $filter) {
    interval { start end localStart localEnd exact }
    totals { views }
    series(granularity: $by) { start end localStart views complete whole }
} }";
/// Zones that are off by 30 and by 45 minutes, east and west, with and without summer time.
const ZONES: [&str; 5] =
    ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide", "America/St_Johns", "Pacific/Chatham"];

fn range(start: &str, end: &str, zone: &str) -> Value {
    json!({ "interval": { "range": { "start": start, "end": end } }, "timeZone": zone })
}

/// The given fields of each point.
fn points(report: &Value, fields: &[&str]) -> Vec<Value> {
    let series = report["series"].as_array().unwrap();
    series.iter().map(|point| fields.iter().map(|field| point[*field].clone()).collect()).collect()
}

on_all_databases! {
    async fn period_up_to_now_includes_the_newest_increment(app: TestApp) {
        let now = clock::process_now();
        app.record([("/a", now.to_rfc3339().as_str(), 1)]).await;
        app.refresh().await;
        for zone in ZONES.into_iter().chain(["UTC", "Europe/Berlin"]) {
            for period in ["TODAY", "LAST_24_HOURS", "LAST_7_DAYS", "LAST_30_DAYS", "THIS_MONTH", "LAST_12_MONTHS", "THIS_YEAR"] {
                let filter = json!({ "interval": { "period": period }, "timeZone": zone });
                let report = app.data(SERIES, json!({ "filter": filter, "by": "DAY" })).await["report"].take();
                let time = |value: &Value| value.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
                let context = format!("{period} in {zone} at {now}: {report}");
                if time(&report["interval"]["start"]) > now {
                    // A day has ended in between.
                    assert!(Hour::containing(now) < Hour::containing(clock::process_now()), "{context}");
                    continue;
                }
                assert_eq!(report["totals"]["views"], 1, "{context}");
                let is_now = |point: &&Value| time(&point["start"]) <= now && now < time(&point["end"]);
                let today = report["series"].as_array().unwrap().iter().find(is_now).unwrap();
                assert_eq!(today["views"], 1, "{context}");
            }
        }
    }

    async fn local_start_of_a_point_follows_the_calendar_of_its_zone(app: TestApp) {
        // In Kolkata it is 23:40 on 9 March, 00:10 on the 10th (an hour that began on the 9th) and 00:30.
        app.record([
            ("/a", "2026-03-09T18:10:00Z", 1),
            ("/a", "2026-03-09T18:40:00Z", 2),
            ("/a", "2026-03-09T19:00:00Z", 4),
        ]).await;
        app.refresh().await;
        let kolkata = range("2026-03-08T18:30:00Z", "2026-03-11T18:30:00Z", "Asia/Kolkata");
        let report = app.data(SERIES, json!({ "filter": kolkata, "by": "DAY" })).await["report"].take();
        assert_eq!(report["interval"], json!({
            "start": "2026-03-08T19:00:00+00:00", "end": "2026-03-11T19:00:00+00:00",
            "localStart": "2026-03-09T00:00:00", "localEnd": "2026-03-12T00:00:00", "exact": false,
        }));
        let expected = [json!(["2026-03-09T00:00:00", 3, true, true]), json!(["2026-03-10T00:00:00", 4, true, true]), json!(["2026-03-11T00:00:00", 0, true, true])];
        assert_eq!(points(&report, &["localStart", "views", "complete", "whole"]), expected);
        // A month of Adelaide that begins at 13:30, and a year with both changes of its clocks, by 60 minutes each.
        let adelaide = range("2026-10-31T13:30:00Z", "2026-11-30T13:30:00Z", "Australia/Adelaide");
        let report = app.data(SERIES, json!({ "filter": adelaide, "by": "MONTH" })).await["report"].take();
        assert_eq!(points(&report, &["localStart", "whole"]), [json!(["2026-11-01T00:00:00", true])]);
        let adelaide = range("2025-12-31T13:30:00Z", "2026-12-31T13:30:00Z", "Australia/Adelaide");
        let report = app.data(SERIES, json!({ "filter": adelaide, "by": "MONTH" })).await["report"].take();
        let months: Vec<_> = (1..=12).map(|month| json!([format!("2026-{month:02}-01T00:00:00"), true])).collect();
        assert_eq!(points(&report, &["localStart", "whole"]), months);
    }

    async fn point_cut_by_the_interval_is_not_whole(app: TestApp) {
        app.record([("/a", "2026-03-03T00:00:00Z", 1)]).await;
        app.refresh().await;
        // From a Tuesday to a Friday.
        for (by, start, end, expected) in [
            ("WEEK", "2026-03-03T00:00:00Z", "2026-03-21T00:00:00Z", json!([false, true, false])),
            ("WEEK", "2026-03-02T00:00:00Z", "2026-03-16T00:00:00Z", json!([true, true])),
            ("MONTH", "2026-03-03T00:00:00Z", "2026-06-01T00:00:00Z", json!([false, true, true])),
            ("DAY", "2026-03-03T00:00:00Z", "2026-03-04T12:00:00Z", json!([true, false])),
            ("DAY", "2026-03-03T01:00:00Z", "2026-03-03T12:00:00Z", json!([false])),
            ("HOUR", "2026-03-03T01:00:00Z", "2026-03-03T03:00:00Z", json!([true, true])),
        ] {
            let report = app.data(SERIES, json!({ "filter": range(start, end, "UTC"), "by": by })).await["report"].take();
            let whole: Value = points(&report, &["whole"]).into_iter().map(|point| point[0].clone()).collect();
            assert_eq!(whole, expected, "{by} from {start} to {end}");
        }
    }

    async fn local_day_is_the_utc_day_where_hours_were_dropped(app: TestApp) {
        let now = clock::process_now();
        let today = Hour::containing(now).day_start();
        let hours: Vec<_> = (0..24 * 10).map(|hours| today.plus(-hours - 1).start().to_rfc3339()).collect();
        app.record(hours.iter().map(|at| ("/a", at.as_str(), 1))).await;
        app.refresh().await;
        Maintenance::new(&app.database, Some(48)).run().await.unwrap();
        app.refresh().await;
        for zone in ZONES.into_iter().chain(["UTC", "America/New_York"]) {
            let tz: chrono_tz::Tz = zone.parse().unwrap();
            // Eight days ago up to five days ago, by the zone's own midnights.
            let date = |days: i32| today.plus(-24 * days).date();
            let midnight = |days| date(days).and_time(chrono::NaiveTime::MIN).and_local_timezone(tz).earliest().unwrap().to_rfc3339();
            let report = app.data(SERIES, json!({ "filter": range(&midnight(8), &midnight(5), zone), "by": "DAY" })).await["report"].take();
            let expected: Vec<_> = [8, 7, 6].map(|days| {
                json!([format!("{}T00:00:00", date(days)), today.plus(-24 * days).start().to_rfc3339(), 24, true])
            }).to_vec();
            assert_eq!(points(&report, &["localStart", "start", "views", "whole"]), expected, "{zone}");
            // The interval of a point can be queried by itself.
            let point = &report["series"][1];
            let again = range(point["start"].as_str().unwrap(), point["end"].as_str().unwrap(), zone);
            let again = app.data(SERIES, json!({ "filter": again, "by": "DAY" })).await["report"].take();
            assert_eq!(again["series"], json!([point]), "{zone}");
        }
    }
}
