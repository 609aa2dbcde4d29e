//! Reports at certain times of day: the clock of the process's machine is set.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header;
use serde_json::{Value, json};
use storage::clock;

use crate::{
    app::{Rung, TestDatabase},
    machine_clock::MachineClock,
    process::{Server, analytics},
    wait::eventually,
};

/// No refresh but the first one, which comes at once.
const ONCE: &str = "0 0 0 1 1 *";
const EVERY_SECOND: &str = "* * * * * *";

/// A program on a machine whose clock can be set.
struct Machine {
    database: TestDatabase,
    clock: MachineClock,
}

impl Machine {
    async fn new() -> Self {
        let database = TestDatabase::create(Rung::Sqlite).await;
        let clock = MachineClock::new(database.folder.path(), "machine");
        Self { database, clock }
    }

    fn set(&self, to: &str) {
        self.clock.set((time(&json!(to)) - clock::process_now()).num_milliseconds());
    }

    fn serve(&self, cron: &str) -> Server {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--refresh-cron", cron];
        let mut command = analytics(&self.database, &arguments);
        command.envs(self.clock.environment());
        Server::of(command)
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// Records `increments`, and waits until the report has them.
async fn record_and_wait(server: &Server, increments: Value) {
    let mutation = "mutation ($increments: [PageViewIncrement!]!) {
        recordPageViews(input: {increments: $increments}) { recordedAt } }";
    let recorded = server.data(mutation, json!({ "increments": increments })).await.unwrap();
    let recorded_at = time(&recorded["recordPageViews"]["recordedAt"]);
    eventually("what was recorded to be in the report", async || {
        let freshness = server.data("{ freshness { asOf } }", json!({})).await.unwrap();
        !freshness["freshness"]["asOf"].is_null() && time(&freshness["freshness"]["asOf"]) >= recorded_at
    })
    .await;
}

async fn report(server: &Server, period: &str, zone: &str) -> Value {
    let query = "query ($filter: ReportFilter) { report(filter: $filter) {
        interval { start end }
        totals(compareTo: PREVIOUS_PERIOD) { views comparableViews previous change }
        series(granularity: DAY) { localStart views complete } } }";
    let filter = json!({ "interval": { "period": period }, "timeZone": zone });
    server.data(query, json!({ "filter": filter })).await.unwrap()["report"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_half_hour_of_a_local_day_is_in_every_period_up_to_now() {
    let machine = Machine::new().await;
    // 23:40 in Kolkata.
    machine.set("2025-06-10T18:10:00Z");
    let server = machine.serve(EVERY_SECOND);
    record_and_wait(&server, json!([{ "page": "/a", "views": 5 }])).await;
    for period in ["TODAY", "LAST_7_DAYS", "THIS_MONTH"] {
        let report = report(&server, period, "Asia/Kolkata").await;
        assert_eq!(report["totals"]["views"], 5, "{period}: {report}");
        let today = json!({ "localStart": "2025-06-10T00:00:00", "views": 5, "complete": false });
        assert!(report["series"].as_array().unwrap().contains(&today), "{period}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_view_a_minute_has_a_change_of_zero_at_any_minute() {
    let machine = Machine::new().await;
    let now = "2025-03-12T01:30:00Z";
    machine.set(now);
    let server = machine.serve(EVERY_SECOND);
    let minutes = (0..3 * 24 * 60).map(|minutes| time(&json!(now)) - TimeDelta::minutes(minutes));
    let views = |at: DateTime<Utc>| json!({ "page": "/a", "at": at.to_rfc3339() });
    // The minute of 01:30 is not over.
    record_and_wait(&server, minutes.skip(1).map(views).collect()).await;
    let totals = report(&server, "TODAY", "UTC").await["totals"].take();
    assert_eq!(totals, json!({ "views": 90, "comparableViews": 60, "previous": 60, "change": 0.0 }));
    let totals = report(&server, "LAST_24_HOURS", "UTC").await["totals"].take();
    assert_eq!(totals, json!({ "views": 1_410, "comparableViews": 1_380, "previous": 1_380, "change": 0.0 }));
    // Before an hour is over there is nothing to be compared.
    drop(server);
    machine.set("2025-03-13T00:30:00Z");
    let server = machine.serve(EVERY_SECOND);
    record_and_wait(&server, json!([{ "page": "/a", "views": 30 }])).await;
    let totals = report(&server, "TODAY", "UTC").await["totals"].take();
    assert_eq!(totals, json!({ "views": 30, "comparableViews": 0, "previous": 0, "change": null }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_response_expires_with_the_local_day_of_a_half_hour_zone() {
    let machine = Machine::new().await;
    // 00:25 in Kolkata, where the day of the report begins at 00:30.
    machine.set("2025-06-10T18:55:10Z");
    let server = machine.serve(ONCE);
    eventually("the first refresh", async || {
        let freshness = server.data("{ freshness { status } }", json!({})).await.unwrap();
        freshness["freshness"]["status"] == "FRESH"
    })
    .await;
    let query =
        "{ report(filter: {interval: {period: TODAY}, timeZone: \"Asia/Kolkata\"}) { interval { localStart } } }";
    let get = async |tag: Option<&str>| {
        let request = server.client.get(server.url("/graphql")).query(&[("query", query)]);
        let request = tag.into_iter().fold(request, |request, tag| request.header(header::IF_NONE_MATCH, tag));
        request.send().await.unwrap()
    };
    let local_start = |answer: Value| answer["data"]["report"]["interval"]["localStart"].clone();
    let first = get(None).await;
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(local_start(first.json().await.unwrap()), "2025-06-10T00:00:00");
    machine.set("2025-06-10T18:56:00Z");
    assert_eq!(get(Some(&tag)).await.status(), 304);
    machine.set("2025-06-10T19:00:00Z");
    for tag in [Some(tag.as_str()), None] {
        let next = get(tag).await;
        assert_eq!(next.status(), 200, "{tag:?}");
        assert_eq!(local_start(next.json().await.unwrap()), "2025-06-11T00:00:00", "{tag:?}");
    }
}
