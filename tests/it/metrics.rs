//! `/metrics` of a process: each event changes its metrics and no others, and the documents list all metrics.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header::ACCEPT;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use storage::Purpose;

use crate::{
    app::{Rung, TestDatabase},
    process::Server,
    snapshot::assert_snapshot,
    wait::eventually,
    websocket::WebSocket,
};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../docs/grafana-dashboard.json");

/// Without ticks during a test: only the refresh at the start runs.
const ARGUMENTS: [&str; 3] = ["--migrate", "--refresh-cron", "0 0 0 1 1 *"];
const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }";
const REPORT: &str = r#"{ report(filter: { interval: { range: { start: "2026-03-01T00:00:00Z", end: "2026-03-02T00:00:00Z" } } }) { totals { views } } }"#;
const WATCH: &str = "subscription { freshness { status } }";

/// The description of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    meaning: String,
}

/// The parsed response of `/metrics`.
#[derive(Debug)]
struct Scrape {
    metrics: BTreeMap<String, Metric>,
    samples: BTreeMap<String, f64>,
}

/// The metric that a series of this name belongs to.
fn metric_of(name: &str) -> &str {
    let suffix = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
    suffix.unwrap_or(name)
}

impl Scrape {
    async fn of(server: &Server) -> Self {
        let response = server.client.get(server.url("/metrics")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        let text = response.text().await.unwrap();
        let (mut metrics, mut samples) = (BTreeMap::<String, Metric>::new(), BTreeMap::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                metrics.entry(name.to_owned()).or_default().meaning = help.to_owned();
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                metrics.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
                let metric = metrics.get_mut(metric_of(name)).expect("it is described before its samples");
                metric.labels.extend(labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
                assert_eq!(samples.insert(series.to_owned(), value.parse().unwrap()), None, "{series} stands twice");
            }
        }
        Self { metrics, samples }
    }

    /// Scrapes until `is_it` holds.
    async fn until(server: &Server, what: &str, is_it: impl Fn(&Self) -> bool) -> Self {
        let mut found = None;
        eventually(what, async || {
            found = Some(Self::of(server).await).filter(|scrape| is_it(scrape));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// As soon as the refresh at the start is over.
    async fn refreshed(server: &Server) -> Self {
        let succeeded = r#"analytics_refresh_duration_seconds_count{outcome="succeeded"}"#;
        Self::until(server, "the first refresh", |scrape| {
            scrape.get(succeeded) == 1.0 && scrape.get("analytics_report_age_seconds") >= 0.0
        })
        .await
    }

    fn get(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("there is no {series}"))
    }

    /// Returns the changes since `before`, without times, memory and the states of connections.
    fn changes_since(&self, before: &Self) -> BTreeMap<&str, f64> {
        let left_out = |series: &str| {
            let name = series.split('{').next().unwrap();
            name.ends_with("_bucket")
                || name.ends_with("_seconds_sum")
                || name.ends_with("_bytes")
                || ["analytics_report_age_seconds", "analytics_database_connections"].contains(&name)
        };
        let changed = self.samples.iter().filter(|(series, _)| !left_out(series));
        let changed = changed.map(|(series, value)| (series.as_str(), value - before.get(series)));
        changed.filter(|(_, difference)| *difference != 0.0).collect()
    }
}

/// The table of the document.
fn documented() -> BTreeMap<String, Metric> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `analytics_"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [name, kind, _unit, labels, meaning] = cells[..].try_into().unwrap_or_else(|_| panic!("{row}"));
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let metric = Metric { kind: kind.to_owned(), labels, meaning: meaning.to_owned() };
        (format!("analytics_{}", name.trim_end_matches('`')), metric)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_document_lists_every_exposed_metric() {
    for rung in [Rung::Sqlite, Rung::MaterializedView] {
        let database = TestDatabase::create(rung).await;
        let server = Server::start(&database, &ARGUMENTS);
        let exposed = Scrape::of(&server).await.metrics;
        assert_eq!(exposed, documented(), "{rung:?}");
        let names = exposed.iter().map(|(name, metric)| {
            let labels: Vec<_> = metric.labels.iter().map(String::as_str).collect();
            format!("{name} {} {}", metric.kind, labels.join(", ")).trim_end().to_owned()
        });
        assert_snapshot("metrics", &names.collect::<Vec<_>>().join("\n"));
        for (name, metric) in exposed {
            assert_eq!(name.ends_with("_total"), metric.kind == "counter", "{name}");
        }
    }
}

/// A process has no metrics of other services.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_exposes_only_the_metrics_of_its_services() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let mut all = BTreeSet::new();
    for (service, has, lacks) in [
        ("increments", "analytics_commit_increments", "analytics_cache_bytes"),
        ("reports", "analytics_report_age_seconds", "analytics_queue_increments"),
        ("wolf", "analytics_stale_hour_backlog", "analytics_errors_total"),
    ] {
        let server = Server::start(&database, &["--services", service]);
        let exposed = Scrape::of(&server).await.metrics;
        assert!(exposed.contains_key(has) && !exposed.contains_key(lacks), "{service}: {exposed:?}");
        assert!(exposed.contains_key("analytics_build_info"), "{service}");
        all.extend(exposed.into_keys());
    }
    assert_eq!(all, documented().into_keys().collect());
}

#[test]
fn grafana_dashboard_shows_every_metric_and_no_other() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["type"] == "datasource" && variable["name"] == "datasource"));
    let (documented, mut shown) = (documented(), BTreeSet::new());
    let mut occupied = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, width, height] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        for place in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(place.0 < 24 && occupied.insert(place), "{} lies on another panel", panel["title"]);
        }
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let names: Vec<_> = words.filter(|word| word.starts_with("analytics_")).collect();
            assert!(!names.is_empty(), "{expression}");
            for name in names {
                let metric = documented.get(metric_of(name)).unwrap_or_else(|| panic!("there is no {name}"));
                assert_eq!(metric.kind == "histogram", metric_of(name) != name, "{expression}");
                shown.insert(metric_of(name).to_owned());
            }
        }
    }
    assert_eq!(shown, documented.into_keys().collect());
}

async fn recording_and_querying_change_their_metrics(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let server = Server::start(&database, &ARGUMENTS);
    let before = Scrape::refreshed(&server).await;
    let increments = json!([
        { "page": "/a", "views": 2, "at": "2026-03-01T00:10:00Z" },
        { "page": "/a", "views": 3, "at": "2026-03-01T01:10:00Z" },
        { "page": "/b", "views": 5, "at": "2026-03-01T01:20:00Z" },
    ]);
    let input = json!({ "input": { "increments": increments, "idempotencyKey": "once" } });
    for _ in 0..2 {
        server.data(RECORD, input.clone()).await.unwrap();
    }
    // Into an hour that is stale already.
    let again = json!({ "input": { "increments": [{ "page": "/c", "at": "2026-03-01T01:59:59Z" }] } });
    server.data(RECORD, again).await.unwrap();
    let stale = |scrape: &Scrape| scrape.get("analytics_stale_hour_backlog") == 2.0;
    let recorded = Scrape::until(&server, "two stale hours", stale).await;
    let expected = [
        ("analytics_increments_recorded_total", 4.0),
        ("analytics_views_recorded_total", 11.0),
        ("analytics_commit_increments_count", 3.0),
        // Duplicates are in it.
        ("analytics_commit_increments_sum", 7.0),
        (r#"analytics_commit_duration_seconds_count{outcome="committed"}"#, 3.0),
        (r#"analytics_operation_duration_seconds_count{kind="mutation"}"#, 3.0),
        ("analytics_stale_hour_backlog", 2.0),
    ];
    assert_eq!(recorded.changes_since(&before), BTreeMap::from(expected));

    // The next process refreshes when it starts.
    drop(server);
    let server = Server::start(&database, &ARGUMENTS);
    Scrape::refreshed(&server).await;
    let as_of = |scrape: &Scrape| scrape.get("analytics_report_as_of_timestamp_seconds");
    // The feed gets the refresh after it has ended.
    let refreshed = Scrape::until(&server, "no stale hours, and a later report", |scrape| {
        scrape.get("analytics_stale_hour_backlog") == 0.0 && as_of(scrape) > as_of(&before)
    })
    .await;
    // Three pages: their day, their month and a row of each, and the site's day and month.
    assert_eq!(refreshed.get("analytics_report_rows_changed_total"), 11.0);
    assert!(as_of(&refreshed) < 1e11, "{} are seconds", as_of(&refreshed));

    let otherwise = format!("{REPORT} # in other words");
    for (query, hits) in [(REPORT, 0.0), (&otherwise, 1.0)] {
        let before = Scrape::of(&server).await;
        assert_eq!(server.data(query, Value::Null).await.unwrap()["report"]["totals"]["views"], 11);
        let mut expected = BTreeMap::from([(r#"analytics_operation_duration_seconds_count{kind="query"}"#, 1.0)]);
        let result = if hits > 0.0 { "hit" } else { "miss" };
        let series = format!("analytics_cache_requests_total{{result=\"{result}\"}}");
        expected.insert(&series, 1.0);
        assert_eq!(Scrape::of(&server).await.changes_since(&before), expected);
    }
    let before = Scrape::of(&server).await;
    let ask = || server.client.get(server.url("/graphql")).query(&[("query", REPORT)]);
    let tag = ask().send().await.unwrap().headers()["etag"].clone();
    assert_eq!(ask().header("if-none-match", tag).send().await.unwrap().status(), 304);
    // The first one has been answered before.
    let expected = [("analytics_not_modified_total", 1.0), ("analytics_response_cache_hits_total", 1.0)];
    assert_eq!(Scrape::of(&server).await.changes_since(&before), BTreeMap::from(expected));
    let scrape = Scrape::of(&server).await;
    assert!(scrape.get("analytics_cache_bytes") > 0.0 && scrape.get("analytics_response_cache_bytes") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_and_querying_change_their_metrics_on_sqlite() {
    recording_and_querying_change_their_metrics(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_and_querying_change_their_metrics_on_postgres() {
    recording_and_querying_change_their_metrics(Rung::MaterializedView).await;
}

/// Lists of pages are proved where the most viewed ones stand out, and summed where all pages have as many views.
async fn lists_and_numbers_of_pages_are_counted_by_their_way(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let day = |day: u32| format!("2026-03-{day:02}T12:00:00Z");
    let recording = Server::start(&database, &ARGUMENTS);
    for at in [1, 2] {
        let pages = (0..600).map(|page| json!({ "page": format!("/{page:03}"), "at": day(at) }));
        let popular = (0..20).map(|page| json!({ "page": format!("/{page:03}"), "at": day(2), "views": 1_000 - page }));
        let increments: Vec<_> = if at == 1 { pages.collect() } else { pages.chain(popular).collect() };
        recording.data(RECORD, json!({ "input": { "increments": increments } })).await.unwrap();
    }
    drop(recording);
    let server = Server::start(&database, &[ARGUMENTS.as_slice(), &["--report-kind", "table"]].concat());
    Scrape::until(&server, "the refresh", |scrape| scrape.get("analytics_stale_hour_backlog") == 0.0).await;
    let of_days = |from: u32, to: u32, fields: &str| {
        let (start, end) = (day(from).replace("T12", "T00"), day(to).replace("T12", "T00"));
        format!(
            "{{ report(filter: {{ interval: {{ range: {{ start: \"{start}\", end: \"{end}\" }} }} }}) {{ {fields} }} }}"
        )
    };
    for (from, to, fields, series) in [
        (2, 3, "pages(first: 10) { nodes { page views } }", r#"analytics_page_lists_total{way="proof"}"#),
        (1, 2, "pages(first: 10) { nodes { page views } }", r#"analytics_page_lists_total{way="scan"}"#),
        (1, 2, "totals { pages }", r#"analytics_page_counts_total{way="summary"}"#),
        (1, 31, "totals { pages }", r#"analytics_page_counts_total{way="summary"}"#),
    ] {
        let before = Scrape::of(&server).await;
        server.data(&of_days(from, to, fields), Value::Null).await.unwrap();
        let changed = Scrape::of(&server).await;
        let ways = changed.changes_since(&before).into_iter().filter(|(series, _)| series.contains("way="));
        assert_eq!(ways.collect::<Vec<_>>(), [(series, 1.0)], "{rung:?}: {from} to {to}, {fields}");
    }
    let before = Scrape::of(&server).await;
    let named = of_days(1, 2, "totals { pages }").replace("interval:", "pages: { prefix: \"/0\" }, interval:");
    assert_eq!(server.data(&named, Value::Null).await.unwrap()["report"]["totals"]["pages"], 100);
    let changed = Scrape::of(&server).await;
    assert_eq!(
        changed.get(r#"analytics_page_counts_total{way="scan"}"#),
        before.get(r#"analytics_page_counts_total{way="scan"}"#) + 1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_numbers_of_pages_are_counted_by_their_way_on_sqlite() {
    lists_and_numbers_of_pages_are_counted_by_their_way(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_numbers_of_pages_are_counted_by_their_way_on_postgres() {
    lists_and_numbers_of_pages_are_counted_by_their_way(Rung::Table).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriber_is_counted_until_it_disconnects() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &ARGUMENTS);
    let before = Scrape::refreshed(&server).await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = WebSocket::connect(&server.address).await;
        socket.subscribe("1", WATCH).await;
        assert_eq!(socket.next().await["type"], "next");
        sockets.push(socket);
    }
    let ask = server.client.get(server.url("/graphql")).query(&[("query", WATCH)]).header(ACCEPT, "text/event-stream");
    let mut stream = ask.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let expected =
        [(r#"analytics_subscribers{kind="socket"}"#, 2.0), (r#"analytics_subscribers{kind="event_stream"}"#, 1.0)];
    assert_eq!(Scrape::of(&server).await.changes_since(&before), BTreeMap::from(expected));
    drop((sockets, stream));
    Scrape::until(&server, "all subscribers to be gone", |scrape| scrape.changes_since(&before).is_empty()).await;
}

/// An error counts once, over each transport.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_is_counted_once_by_its_code() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &ARGUMENTS);
    let before = Scrape::refreshed(&server).await;
    let mut expected = BTreeMap::new();
    let mut count =
        |code: &str| *expected.entry(format!("analytics_errors_total{{code=\"{code}\"}}")).or_insert(0.0) += 1.0;
    let post = |body: Value, accept: &'static str| {
        server.client.post(server.url("/graphql")).json(&body).header(ACCEPT, accept).send()
    };
    let no_views = json!({ "increments": [{ "page": "/a", "views": 0 }] });
    let literally = r#"mutation { recordPageViews(input: { increments: [{ page: "/a", views: 0 }] }) { views } }"#;
    let mut mutations = 0.0;
    for (query, variables, code, executed) in [
        (RECORD, json!({ "input": no_views }), "BAD_USER_INPUT", true),
        (literally, Value::Null, "BAD_USER_INPUT", true),
        ("{", Value::Null, "GRAPHQL_PARSE_FAILED", false),
        ("{ nothing }", Value::Null, "GRAPHQL_VALIDATION_FAILED", false),
        (
            "query A { freshness { status } } query B { freshness { status } }",
            Value::Null,
            "GRAPHQL_VALIDATION_FAILED",
            false,
        ),
    ] {
        for accept in ["application/json", "text/event-stream"] {
            let answer = post(json!({ "query": query, "variables": variables }), accept).await.unwrap();
            let answer = answer.text().await.unwrap();
            assert!(answer.contains(code), "{answer}");
            count(code);
            mutations += f64::from(u8::from(executed));
        }
        let mut socket = WebSocket::connect(&server.address).await;
        let payload = json!({ "query": query, "variables": variables });
        socket.subscribe_with("1", &payload).await;
        let reply = socket.next().await.to_string();
        assert!(reply.contains(code), "{reply}");
        count(code);
        mutations += f64::from(u8::from(executed));
    }
    let refused = server.client.post(server.url("/graphql")).body("{}").send().await.unwrap();
    assert_eq!(refused.status(), 415);
    count("BAD_USER_INPUT");
    let after = Scrape::until(&server, "the sockets to be gone", |scrape| {
        scrape.get(r#"analytics_subscribers{kind="socket"}"#) == 0.0
    })
    .await;
    let mut changed = after.changes_since(&before);
    assert_eq!(changed.remove(r#"analytics_operation_duration_seconds_count{kind="mutation"}"#), Some(mutations));
    // An invalid query is found by executing it.
    changed.remove(r#"analytics_operation_duration_seconds_count{kind="query"}"#);
    assert_eq!(changed, expected.iter().map(|(series, count)| (series.as_str(), *count)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unauthenticated_and_rate_limited_requests_are_counted() {
    let access = ["--anonymous", "reports", "--rate-limit", "1", "--rate-burst", "2"];
    let arguments: Vec<_> = ARGUMENTS.into_iter().chain(access).collect();
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &arguments);
    let before = Scrape::refreshed(&server).await;
    let input = json!({ "input": { "increments": [{ "page": "/a" }] } });
    assert!(server.data(RECORD, input).await.unwrap_err().contains("UNAUTHENTICATED"));
    // More than the rate gives back meanwhile.
    let mut refused = 0.0;
    eventually("the rate to be exceeded", async || {
        let answer = server.data(WATCH, Value::Null).await.unwrap_err();
        refused += f64::from(u8::from(answer.contains("OVERLOADED")));
        refused > 2.0
    })
    .await;
    let after = Scrape::of(&server).await;
    let changed = after.changes_since(&before);
    assert_eq!(changed["analytics_rate_limited_total"], refused);
    assert_eq!(changed[r#"analytics_errors_total{code="OVERLOADED"}"#], refused);
    assert_eq!(changed[r#"analytics_errors_total{code="UNAUTHENTICATED"}"#], 1.0);
}

async fn queue_and_failures_change_their_metrics(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let timeouts = ["--record-timeout-ms", "2000", "--database-timeout-ms", "1000"];
    let arguments: Vec<_> = ARGUMENTS.into_iter().chain(timeouts).collect();
    let server = Server::start(&database, &arguments);
    let before = Scrape::refreshed(&server).await;
    assert_eq!(before.get("analytics_queue_max_increments"), 200_000.0);
    let other = database.connect().await;
    let lock = other.background.begin(Purpose::Change).await.unwrap();
    let statement =
        if rung == Rung::Sqlite { "UPDATE pages SET title = 'x'" } else { "LOCK TABLE pages IN EXCLUSIVE MODE" };
    lock.execute_unprepared(statement).await.unwrap();
    let input = json!({ "input": { "increments": vec![json!({ "page": "/a" }); 7] } });
    let (answer, ()) = tokio::join!(server.data(RECORD, input), async {
        let waiting = |scrape: &Scrape| scrape.get("analytics_queue_increments") == 7.0;
        Scrape::until(&server, "seven increments to wait", waiting).await;
    });
    assert!(answer.unwrap_err().contains("UNAVAILABLE"));
    let failed = r#"analytics_commit_duration_seconds_count{outcome="failed"}"#;
    let over = |scrape: &Scrape| scrape.get(failed) == 1.0 && scrape.get("analytics_queue_increments") == 0.0;
    let after = Scrape::until(&server, "the commit to fail", over).await;
    let expected = [
        (failed, 1.0),
        (r#"analytics_operation_duration_seconds_count{kind="mutation"}"#, 1.0),
        (r#"analytics_errors_total{code="UNAVAILABLE"}"#, 1.0),
    ];
    assert_eq!(after.changes_since(&before), BTreeMap::from(expected));
    lock.rollback().await.unwrap();

    // A refresh that fails, and a statement that fails.
    drop(server);
    other.background.execute_unprepared("ALTER TABLE stale_hours RENAME TO elsewhere").await.unwrap();
    let server = Server::start(&database, &arguments);
    let failed = r#"analytics_refresh_duration_seconds_count{outcome="failed"}"#;
    let after = Scrape::until(&server, "the refresh to fail", |scrape| scrape.get(failed) == 1.0).await;
    assert!(after.get("analytics_stale_hour_backlog").is_nan());
    assert_eq!(after.get(r#"analytics_refresh_duration_seconds_count{outcome="succeeded"}"#), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_and_failures_change_their_metrics_on_sqlite() {
    queue_and_failures_change_their_metrics(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_and_failures_change_their_metrics_on_postgres() {
    queue_and_failures_change_their_metrics(Rung::MaterializedView).await;
}
