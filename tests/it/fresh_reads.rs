//! Queries that say how fresh their report must be: they wait, or fail with an error of their own, and are never answered from
//! an older report than they asked for, by whatever way they come.

use std::time::{Duration, Instant};

use api::access::Token;
use chrono::{DateTime, TimeDelta, Utc};
use entity::report_refresh;
use jobs::Jobs;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ConnectionTrait, EntityTrait, sea_query::Expr};
use serde_json::{Value, json};
use sqlx::Executor;
use storage::clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wolf::{LockMode, Maintenance, Outcome, RefreshRequests, Refresher, Schedule};

use crate::{
    app::{Rung, TestApp, increment},
    cluster,
    exactly_once::until_blocked,
    on_all_databases,
    process::Server,
    refresh::commit_across_a_refresh,
    wait::{eventually, eventually_blocking, wait_for},
    websocket::WebSocket,
};

const QUERY: &str = "query ($page: [String!], $notBefore: DateTime, $waitMs: Int, $max: Float) { \
    report(filter: { interval: { period: ALL_TIME }, pages: { names: $page } }, \
           notBefore: $notBefore, waitMs: $waitMs, maxStalenessSeconds: $max) \
    { freshness { asOf } totals { views } } }";
const AT: &str = "2026-03-01T00:00:00Z";

/// The ways by which a query comes.
const WAYS: [&str; 3] = ["POST", "GET", "WebSocket"];

/// Executes a query by one of [`WAYS`], and returns the response.
async fn execute(address: &str, client: &reqwest::Client, way: &str, query: &str, variables: &Value) -> Value {
    let url = format!("http://{address}/graphql");
    match way {
        "POST" => {
            let body = json!({ "query": query, "variables": variables });
            client.post(url).json(&body).send().await.unwrap().json().await.unwrap()
        }
        "GET" => {
            let variables = variables.to_string();
            let request = client.get(url).query(&[("query", query), ("variables", variables.as_str())]);
            request.send().await.unwrap().json().await.unwrap()
        }
        _ => {
            let mut socket = WebSocket::connect(address).await;
            socket.subscribe_with("one", &json!({ "query": query, "variables": variables })).await;
            let mut message = socket.next_of("one").await;
            match message["type"].as_str() {
                Some("error") => json!({ "errors": message["payload"] }),
                _ => message["payload"].take(),
            }
        }
    }
}

fn views(answer: &Value) -> Option<i64> {
    answer["data"]["report"]["totals"]["views"].as_i64()
}

fn as_of(answer: &Value) -> Option<DateTime<Utc>> {
    answer["data"]["report"]["freshness"]["asOf"].as_str()?.parse().ok()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

on_all_databases! {
    async fn query_waits_until_the_report_has_what_was_recorded(app: TestApp) {
        app.record([("/a", AT, 1)]).await;
        app.refresh().await;
        let recorded_at = app.record([("/a", AT, 1)]).await;
        let mut waiting = JoinSet::new();
        for way in WAYS {
            let (address, client) = (app.address.clone(), app.client.clone());
            let variables = json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": 30_000 });
            waiting.spawn(async move { execute(&address, &client, way, QUERY, &variables).await });
        }
        // They wait in the feed of the report's freshness.
        eventually("three queries to wait", async || app.feed.subscribers() == 3).await;
        assert!(waiting.try_join_next().is_none());
        app.refresh().await;
        while let Some(answer) = wait_for("the answer", waiting.join_next()).await {
            let answer = answer.unwrap();
            assert_eq!(views(&answer), Some(2), "{answer}");
            assert!(as_of(&answer) >= Some(recorded_at), "{answer}");
        }
    }

    async fn equal_queries_that_wait_are_executed_together(app: TestApp) {
        const QUERIES: usize = 20;
        let recorded_at = app.record([("/a", AT, 1)]).await;
        let mut waiting = JoinSet::new();
        for number in 0..QUERIES {
            let (address, client) = (app.address.clone(), app.client.clone());
            let variables = json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": 30_000 });
            waiting.spawn(async move { execute(&address, &client, WAYS[number % 3], QUERY, &variables).await });
        }
        eventually("all queries to wait", async || app.feed.subscribers() == QUERIES).await;
        let looked_up = || app.reader.cache_figures().hits + app.reader.cache_figures().misses;
        let before = looked_up();
        app.refresh().await;
        while let Some(answer) = wait_for("the answer", waiting.join_next()).await {
            assert_eq!(views(&answer.unwrap()), Some(1));
        }
        let looked_up = looked_up() - before;
        assert!((1..QUERIES as u64).contains(&looked_up), "{looked_up} results were looked up");
    }

    async fn query_that_is_not_fresh_enough_in_time_fails_with_a_code_of_its_own(app: TestApp) {
        let never = json!({ "page": ["/a"], "notBefore": AT, "waitMs": 0 });
        for way in WAYS {
            let answer = execute(&app.address, &app.client, way, QUERY, &never).await;
            assert_eq!((code(&answer), &answer["errors"][0]["extensions"]["asOf"]), ("NOT_FRESH_ENOUGH", &Value::Null));
        }
        app.record([("/a", AT, 1)]).await;
        let reached = app.refresh().await.as_of.unwrap();
        let recorded_at = app.record([("/a", AT, 1)]).await;
        for (way, variables) in WAYS.into_iter().flat_map(|way| [
            (way, json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": 0 })),
            (way, json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": 20 })),
            (way, json!({ "page": ["/a"], "max": 0 })),
            (way, json!({ "page": ["/a"], "notBefore": reached, "waitMs": 30_000, "max": 0 })),
        ]) {
            let answer = execute(&app.address, &app.client, way, QUERY, &variables).await;
            assert_eq!(answer["data"], Value::Null, "{way} {variables} {answer}");
            let error = &answer["errors"][0];
            assert_eq!((code(&answer), &error["path"]), ("NOT_FRESH_ENOUGH", &json!(["report"])), "{way} {variables}");
            assert_eq!(error["extensions"]["retryable"], true);
            let told: DateTime<Utc> = error["extensions"]["asOf"].as_str().unwrap().parse().unwrap();
            assert_eq!(told, reached, "{way} {variables}");
        }
        // What is there is given, by the same arguments.
        let reached = json!({ "page": ["/a"], "notBefore": reached, "waitMs": 0, "max": 3_600 });
        for way in WAYS {
            let answer = execute(&app.address, &app.client, way, QUERY, &reached).await;
            assert_eq!(views(&answer), Some(1), "{answer}");
        }
    }

    async fn query_asks_the_database_before_it_fails_for_what_its_process_does_not_know(app: TestApp) {
        app.record([("/a", AT, 1)]).await;
        app.refresh().await;
        let recorded_at = app.record([("/a", AT, 1)]).await;
        // The refresh is committed, and this process may not have heard of it.
        // One that begins within the same millisecond does not promise it.
        let covers = |outcome| matches!(outcome, Outcome::Refreshed(done) if done.as_of >= Some(recorded_at));
        while !covers(app.refresher.refresh(LockMode::Wait, None).await.unwrap()) {}
        let variables = json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": 0 });
        let answer = execute(&app.address, &app.client, "POST", QUERY, &variables).await;
        assert_eq!(views(&answer), Some(2), "{answer}");
    }

    async fn wrong_arguments_are_refused_by_name_and_limit(app: TestApp) {
        for (arguments, wanted) in [
            ("notBefore: \"2026-01-01T00:00:00Z\", waitMs: -1", "report.waitMs must be 0 to 30000"),
            ("notBefore: \"2026-01-01T00:00:00Z\", waitMs: 30001", "report.waitMs must be 0 to 30000"),
            ("waitMs: 1", "report.notBefore, which is missing"),
            ("maxStalenessSeconds: -0.5", "report.maxStalenessSeconds must be 0 to 3155760000, not -0.5"),
            ("maxStalenessSeconds: 1e300", "report.maxStalenessSeconds must be 0 to 3155760000"),
        ] {
            let errors = app.errors(&format!("{{ report({arguments}) {{ id }} }}"), json!({})).await;
            assert_eq!(errors.len(), 1, "{arguments}");
            let (code, message) = &errors[0];
            assert!(code == "BAD_USER_INPUT" && message.contains(wanted), "{arguments}: {code} {message}");
        }
    }

    async fn no_read_is_older_than_it_asked_for(app: TestApp) {
        /// How far the clock is from the right time, in hours.
        const OFFSETS: [i64; 5] = [-30, -1, 0, 1, 30];
        let seed = rand::random();
        // A second process, that of a reader, with all caches.
        let database = app.test_database.connect().await;
        let second = TestApp::serve(app.test_database.again(), |settings| settings.http.response_cache_bytes = 1024 * 1024).await;
        let addresses = [app.address.clone(), second.address.clone()];
        let mut readers = JoinSet::new();
        for reader in 0..4_u64 {
            let (addresses, client, recorder) = (addresses.clone(), app.client.clone(), app.recorder.clone());
            readers.spawn(async move {
                let mut random = StdRng::seed_from_u64(seed ^ reader);
                let page = format!("/{reader}");
                let mut acknowledged = Vec::new();
                for round in 1..=12_i64 {
                    let recorded = recorder.record(increments::Request::new(vec![increment(&page, AT.parse().unwrap(), 1)], None));
                    let recorded_at = recorded.await.unwrap().recorded_at;
                    acknowledged.push(Instant::now());
                    let max = Duration::from_millis(random.random_range(1..200));
                    let variables = json!({ "page": [page], "max": max.as_secs_f64() });
                    let (way, address) = (WAYS[random.random_range(0..WAYS.len())], &addresses[random.random_range(0..2_usize)]);
                    let sent = Instant::now();
                    let answer = execute(address, &client, way, QUERY, &variables).await;
                    let all = acknowledged.iter().filter(|at| **at + max <= sent).count();
                    let has_all = views(&answer) >= Some(i64::try_from(all).unwrap());
                    assert!(has_all || code(&answer) == "NOT_FRESH_ENOUGH", "seed {seed}: {all}, {way} {variables} {answer}");
                    let (way, address) = (WAYS[random.random_range(0..WAYS.len())], &addresses[random.random_range(0..2_usize)]);
                    let mut variables = json!({ "page": [page], "notBefore": recorded_at });
                    if random.random_bool(0.5) {
                        variables["waitMs"] = json!(random.random_range(0..40));
                    }
                    loop {
                        let answer = execute(address, &client, way, QUERY, &variables).await;
                        if code(&answer) == "NOT_FRESH_ENOUGH" {
                            continue;
                        }
                        assert_eq!(views(&answer), Some(round), "seed {seed}: {way} {variables} {answer}");
                        assert!(as_of(&answer) >= Some(recorded_at), "seed {seed}: {answer}");
                        break;
                    }
                }
            });
        }
        let (mut random, mut offset) = (StdRng::seed_from_u64(seed), 0);
        let refresher = Refresher::new(&database);
        while !readers.is_empty() {
            // The Wolf pauses, and the clock jumps. (On PostgreSQL the clock is the database's, which can't be set here.)
            crate::wait::pace(Duration::from_millis(random.random_range(0..60))).await;
            // Between few times: `asOf` reaches what was recorded at the latest of them when the clock is there once more.
            let there = OFFSETS[random.random_range(0..OFFSETS.len())];
            let step = TimeDelta::hours(there - offset);
            offset = there;
            [&app.database, &database].into_iter().for_each(|database| database.clock.step(step));
            refresher.refresh(LockMode::Wait, None).await.unwrap();
            while let Some(ended) = readers.try_join_next() {
                ended.unwrap();
            }
        }
        second.stop.cancel();
        second.stopped().await;
    }

    async fn report_that_is_ahead_of_the_clock_is_not_taken_for_young(app: TestApp) {
        app.record([("/a", AT, 1)]).await;
        app.refresh().await;
        // As if the clock was set back by an hour, while nobody read.
        let ahead = Expr::value(clock::process_now() + TimeDelta::hours(1));
        let rows = report_refresh::Entity::update_many().col_expr(report_refresh::Column::LookedAt, ahead);
        rows.exec(&app.database.background).await.unwrap();
        let second = TestApp::serve(app.test_database.again(), |_| {}).await;
        let read = async |way, variables: Value| execute(&second.address, &app.client, way, QUERY, &variables).await;
        for way in WAYS {
            let answer = read(way, json!({ "page": ["/a"], "max": 30 })).await;
            assert_eq!((code(&answer), &answer["data"]), ("NOT_FRESH_ENOUGH", &Value::Null), "{way}: {answer}");
            assert_eq!(views(&read(way, json!({ "page": ["/a"] })).await), Some(1), "{way}");
        }
        app.refresh().await;
        eventually("the next refresh to be read", async || {
            views(&read("POST", json!({ "page": ["/a"], "max": 30 })).await) == Some(1)
        }).await;
        second.stop.cancel();
        second.stopped().await;
    }

    async fn requested_refresh_is_one_that_began_later(app: TestApp) {
        let (stop, jobs) = (CancellationToken::new(), Jobs::new(&app.database));
        let pause = Duration::from_secs(1);
        let requests = RefreshRequests::new(&app.database, pause);
        let yearly: Schedule = "0 0 0 1 1 *".parse().unwrap();
        let maintenance = Maintenance::new(&app.database, None);
        let mut wolf = JoinSet::new();
        wolf.spawn(wolf::run(app.refresher.clone(), maintenance, yearly, requests, stop.clone()));
        app.until_freshness("the first refresh", |known| known.as_of.is_some()).await;
        let refreshes = async || report_refresh::Entity::find().all(&app.database.readers).await.unwrap();
        let begun = Instant::now();
        for round in 1..=5 {
            let recorded_at = app.record([("/a", AT, 1)]).await;
            let requested_at = jobs.request_refresh().await.unwrap();
            assert!(requested_at >= recorded_at);
            let variables = json!({ "page": ["/a"], "notBefore": requested_at, "waitMs": 30_000 });
            let answer = execute(&app.address, &app.client, "POST", QUERY, &variables).await;
            assert_eq!(views(&answer), Some(round), "{answer}");
        }
        assert!(begun.elapsed() >= 4 * pause, "{:?}", begun.elapsed());
        // Requests that wait share a refresh.
        let before = refreshes().await.len();
        let mut requests = JoinSet::new();
        for _ in 0..50 {
            let jobs = jobs.clone();
            requests.spawn(async move { jobs.request_refresh().await.unwrap() });
        }
        for requested_at in requests.join_all().await {
            let variables = json!({ "page": ["/a"], "notBefore": requested_at, "waitMs": 30_000 });
            let answer = execute(&app.address, &app.client, "POST", QUERY, &variables).await;
            assert_eq!(views(&answer), Some(5), "{answer}");
        }
        assert!(refreshes().await.len() - before < 5, "{} refreshes", refreshes().await.len() - before);
        stop.cancel();
        wolf.join_next().await.unwrap().unwrap().unwrap();
    }

    async fn history_lists_refreshes_newest_first_and_failed_ones(app: TestApp) {
        app.record([("/a", AT, 1), ("/a", "2026-03-01T01:00:00Z", 1)]).await;
        let first = app.refresh().await;
        let second = app.refresh().await;
        let failed = "INSERT INTO report_refreshes (started_at, finished_at, error, content_version, hours, rows_changed) \
            SELECT started_at, finished_at, 'why', content_version, 0, 0 FROM report_refreshes ORDER BY id DESC LIMIT 1";
        app.database.background.execute_unprepared(failed).await.unwrap();
        let query = "query ($after: String) { refreshes(first: 2, after: $after) { \
            nodes { id asOf startedAt finishedAt durationMs hours rowsChanged error } pageInfo { hasNextPage endCursor } } }";
        let page = app.data(query, json!({})).await["refreshes"].take();
        let nodes = page["nodes"].as_array().unwrap();
        assert_eq!((&nodes[0]["error"], &nodes[0]["asOf"]), (&json!("why"), &Value::Null));
        assert_eq!((&nodes[1]["id"], &nodes[1]["hours"], &nodes[1]["rowsChanged"]), (&json!(second.id.to_string()), &json!(0), &json!(0)));
        assert_eq!(page["pageInfo"]["hasNextPage"], true);
        let page = app.data(query, json!({ "after": page["pageInfo"]["endCursor"] })).await["refreshes"].take();
        assert_eq!(page["pageInfo"]["hasNextPage"], false);
        let node = &page["nodes"][0];
        assert_eq!((&node["id"], &node["hours"]), (&json!(first.id.to_string()), &json!(2)));
        assert_eq!(node["rowsChanged"], first.rows_changed);
        assert_eq!(node["asOf"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), first.as_of.unwrap());
    }
}

/// A subscriber of the freshness sees how far a refresh is, once a second.
async fn refresh_under_way_tells_its_progress(rung: Rung) {
    let app = TestApp::start(rung).await;
    // The first portion of a refresh has 4 hours, and each further one at most twice as many.
    let hours: Vec<_> =
        (1..=2).flat_map(|day| (0..24).map(move |hour| format!("2026-03-{day:02}T{hour:02}:00:00Z"))).collect();
    app.record(hours.iter().map(|hour| ("/a", hour.as_str(), 1))).await;
    let mut socket = WebSocket::connect(&app.address).await;
    let query = "subscription { freshness { status progress { hours hoursLeft rowsChanged } } }";
    socket.subscribe("one", query).await;
    let refresher = app.refresher.clone();
    let mut refreshing = JoinSet::new();
    refreshing.spawn(async move {
        // Each portion takes longer than a second.
        let progress = |_, _| {
            let begun = Instant::now();
            let is_over = || begun.elapsed() > Duration::from_millis(1_100);
            tokio::task::block_in_place(|| eventually_blocking(|| "a second to pass".to_owned(), is_over));
        };
        refresher.refresh_with_progress(LockMode::Wait, None, &progress).await
    });
    let mut told = Vec::new();
    loop {
        let freshness = socket.next_of("one").await["payload"]["data"]["freshness"].take();
        let progress = &freshness["progress"];
        if freshness["status"] == "REFRESHING" {
            told.push(["hours", "hoursLeft", "rowsChanged"].map(|figure| progress[figure].as_u64().unwrap()));
            continue;
        }
        assert_eq!(*progress, Value::Null, "{freshness}");
        if freshness["status"] == "FRESH" {
            break;
        }
    }
    refreshing.join_next().await.unwrap().unwrap().unwrap();
    told.dedup();
    assert_eq!(told[0], [48, 48, 0]);
    assert!(told.len() >= 4, "{told:?}");
    for pair in told.windows(2) {
        assert!(pair[1][0] == 48 && pair[1][1] < pair[0][1] && pair[0][2] < pair[1][2], "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_under_way_tells_its_progress_on_sqlite() {
    refresh_under_way_tells_its_progress(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_under_way_tells_its_progress_on_postgres() {
    refresh_under_way_tells_its_progress(Rung::Table).await;
}

/// A refresh that was asked for by the mutation and fails is told in the history, and tried again by itself.
async fn refresh_that_was_asked_for_and_failed_is_tried_again(rung: Rung) {
    let app = TestApp::start(rung).await;
    let recorded_at = app.record([("/a", AT, 1)]).await;
    let tokens = app.test_database.folder.path().join("tokens");
    std::fs::write(&tokens, Token::of_secret("secret", "manage".parse().unwrap(), None).to_string()).unwrap();
    let arguments = ["--refresh-cron", "0 0 0 1 1 *", "--anonymous", "increments,reports"];
    let server =
        Server::start(&app.test_database, &[&arguments[..], &["--tokens-file", tokens.to_str().unwrap()]].concat());
    let read = async |not_before: &Value, wait_ms: u32| {
        let variables = json!({ "page": ["/a"], "notBefore": not_before, "waitMs": wait_ms });
        execute(&server.address, &app.client, "POST", QUERY, &variables).await
    };
    assert_eq!(views(&read(&json!(recorded_at), 30_000).await), Some(1));
    app.refuse_rows("day", "/a").await;
    let recorded_at = app.record([("/a", "2026-03-02T00:00:00Z", 1)]).await;
    let request = json!({ "query": "mutation { requestRefresh { requestedAt } }" });
    let request = server.client.post(server.url("/graphql")).bearer_auth("secret").json(&request);
    let requested: Value = request.send().await.unwrap().json().await.unwrap();
    let requested_at = &requested["data"]["requestRefresh"]["requestedAt"];
    assert!(requested_at.as_str().unwrap().parse::<DateTime<Utc>>().unwrap() >= recorded_at);
    let newest = async || {
        let query = "{ refreshes(first: 1) { nodes { asOf finishedAt hours error } } }";
        server.data(query, json!({})).await.unwrap()["refreshes"]["nodes"][0].take()
    };
    eventually("the refresh to fail", async || newest().await["error"].is_string()).await;
    let failed = newest().await;
    assert_eq!(failed["error"], "the database refused the refresh; the log of the Wolf says why");
    assert!(failed["asOf"].is_null() && failed["finishedAt"].is_string(), "{failed}");
    assert_eq!(code(&read(requested_at, 0).await), "NOT_FRESH_ENOUGH");
    app.refuse_no_rows().await;
    let answer = read(requested_at, 30_000).await;
    assert_eq!(views(&answer), Some(2), "{answer}");
    assert_eq!(newest().await["error"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_that_was_asked_for_and_failed_is_tried_again_on_sqlite() {
    refresh_that_was_asked_for_and_failed_is_tried_again(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_that_was_asked_for_and_failed_is_tried_again_on_postgres() {
    refresh_that_was_asked_for_and_failed_is_tried_again(Rung::Table).await;
}

/// A query that would have to wait is refused while as many wait as the setting allows; one that need not wait is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_queries_wait_than_is_set() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.waiting_queries = 2).await;
    app.record([("/a", AT, 1)]).await;
    app.refresh().await;
    let never = json!({ "page": ["/a"], "notBefore": "2999-01-01T00:00:00Z", "waitMs": 30_000 });
    let mut socket = WebSocket::connect(&app.address).await;
    let mut wait = async |id: &str| {
        socket.subscribe_with(id, &json!({ "query": QUERY, "variables": never })).await;
    };
    wait("one").await;
    wait("two").await;
    eventually("two queries to wait", async || app.feed.subscribers() == 2).await;
    for way in WAYS {
        let answer = execute(&app.address, &app.client, way, QUERY, &never).await;
        let error = &answer["errors"][0];
        assert_eq!((code(&answer), &error["extensions"]["retryable"]), ("OVERLOADED", &json!(true)), "{way} {answer}");
        assert_eq!(error["message"], "2 queries wait already, and there is no room for more", "{way}");
        let answer = execute(&app.address, &app.client, way, QUERY, &json!({ "page": ["/a"], "max": 3_600 })).await;
        assert_eq!(views(&answer), Some(1), "{way} {answer}");
    }
    socket.complete("one").await;
    eventually("a query to end", async || app.feed.subscribers() == 1).await;
    socket.subscribe_with("three", &json!({ "query": QUERY, "variables": never })).await;
    eventually("another one to wait", async || app.feed.subscribers() == 2).await;
}

/// No query waits longer than is set, also one that does not say how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_waits_longer_than_is_set() {
    let app = TestApp::start_with(Rung::Sqlite, |settings| settings.http.read_wait_ms = 50).await;
    assert_eq!(app.data("{ limits { waitMs } }", json!({})).await["limits"]["waitMs"], 50);
    let recorded_at = app.record([("/a", AT, 1)]).await;
    for way in WAYS {
        let begun = Instant::now();
        let own = |wait_ms: Option<u32>| json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": wait_ms });
        let answer = execute(&app.address, &app.client, way, QUERY, &own(None)).await;
        assert_eq!(code(&answer), "NOT_FRESH_ENOUGH", "{way} {answer}");
        // By default it would be ten seconds.
        assert!(begun.elapsed() >= Duration::from_millis(50) && begun.elapsed() < Duration::from_secs(10));
        let answer = execute(&app.address, &app.client, way, QUERY, &own(Some(51))).await;
        assert_eq!(answer["errors"][0]["message"], "report.waitMs must be 0 to 50", "{way} {answer}");
    }
}

/// A commit that is held open across a refresh is in no answer before the next one, whoever asks for it by its `recordedAt`.
async fn read_of_a_held_commit_waits_for_the_next_refresh(rung: Rung) {
    let app = TestApp::start(rung).await;
    app.record([("/a", AT, 1)]).await;
    let (_, recorded_at) = commit_across_a_refresh(&app).await;
    let mut waiting = JoinSet::new();
    for way in WAYS {
        let variables = |wait_ms| json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": wait_ms });
        let answer = execute(&app.address, &app.client, way, QUERY, &variables(0)).await;
        assert_eq!(code(&answer), "NOT_FRESH_ENOUGH", "{way} {answer}");
        let (address, client, variables) = (app.address.clone(), app.client.clone(), variables(30_000));
        waiting.spawn(async move { execute(&address, &client, way, QUERY, &variables).await });
    }
    eventually("three queries to wait", async || app.feed.subscribers() == 3).await;
    app.refresh().await;
    while let Some(answer) = wait_for("the answer", waiting.join_next()).await {
        assert_eq!(views(&answer.unwrap()), Some(11));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_of_a_held_commit_waits_for_the_next_refresh_of_a_materialized_view() {
    read_of_a_held_commit_waits_for_the_next_refresh(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_of_a_held_commit_waits_for_the_next_refresh_of_a_table() {
    read_of_a_held_commit_waits_for_the_next_refresh(Rung::Table).await;
}

/// A report that was young enough when the query began, and is too stale when it has been read, is not given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_that_grows_too_stale_while_it_is_read_is_refused() {
    let app = TestApp::start(Rung::Table).await;
    app.record([("/a", AT, 1)]).await;
    let mut holder = cluster::connect(&app.test_database.url).await;
    app.refresh().await;
    holder.execute("BEGIN; LOCK TABLE page_views_report IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut reading = JoinSet::new();
    let (address, client, variables) = (app.address.clone(), app.client.clone(), json!({ "page": ["/a"], "max": 5 }));
    reading.spawn(async move { execute(&address, &client, "POST", QUERY, &variables).await });
    until_blocked(&app.database, 1).await;
    let age = || app.feed.known().and_then(|known| known.staleness(Instant::now()));
    eventually("the report to be too stale", async || age() > Some(TimeDelta::seconds(5))).await;
    holder.execute("COMMIT").await.unwrap();
    let answer = wait_for("the answer", reading.join_next()).await.unwrap().unwrap();
    assert_eq!((code(&answer), &answer["data"]), ("NOT_FRESH_ENOUGH", &Value::Null), "{answer}");
}

/// Waiting queries end at once when the server stops, and hold no connection to the database while they wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_queries_end_with_their_server_and_hold_no_connection() {
    let app = TestApp::start(Rung::Table).await;
    app.record([("/a", AT, 1)]).await;
    app.refresh().await;
    let variables = json!({ "page": ["/a"], "notBefore": "2999-01-01T00:00:00Z", "waitMs": 30_000 });
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let (address, client, variables) = (app.address.clone(), app.client.clone(), variables.clone());
        waiting.spawn(async move { execute(&address, &client, "POST", QUERY, &variables).await });
    }
    eventually("all queries to wait", async || app.feed.subscribers() == 100).await;
    // Other queries find a connection, and the pool has few.
    let answer = execute(&app.address, &app.client, "POST", QUERY, &json!({ "page": ["/a"] })).await;
    assert_eq!(views(&answer), Some(1));
    app.stop.cancel();
    while let Some(answer) = wait_for("the end of a waiting query", waiting.join_next()).await {
        assert_eq!(code(&answer.unwrap()), "NOT_FRESH_ENOUGH");
    }
    app.stopped().await;
}

/// A read of one's own write outlives a server that is killed: the next process gives what was asked for, or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_of_an_own_write_survives_a_killed_server() {
    for rung in [Rung::Sqlite, Rung::Table] {
        let app = TestApp::start(rung).await;
        for (way, round) in WAYS.into_iter().zip(1..) {
            // The server finds a report without the last write, and refreshes it when it starts.
            let recorded_at = app.record([("/a", AT, 1)]).await;
            let server = Server::start(&app.test_database, &["--refresh-cron", "0 0 0 1 1 *"]);
            let variables = json!({ "page": ["/a"], "notBefore": recorded_at, "waitMs": 30_000, "max": 60 });
            let answer = execute(&server.address, &app.client, way, QUERY, &variables).await;
            assert_eq!(views(&answer), Some(round), "{way}: {answer}");
            server.signal("KILL");
        }
    }
}

/// Queries that wait on a socket leave room for its other operations, and end when their client no longer wants them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_queries_of_a_socket_hold_up_no_other_operation() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/a", AT, 1)]).await;
    app.refresh().await;
    let mut socket = WebSocket::connect(&app.address).await;
    let variables = json!({ "page": ["/a"], "notBefore": "2999-01-01T00:00:00Z", "waitMs": 30_000 });
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for id in &ids {
        socket.subscribe_with(id, &json!({ "query": QUERY, "variables": variables })).await;
    }
    eventually("all queries to wait", async || app.feed.subscribers() == 20).await;
    let record = json!({ "increments": [{ "page": "/a", "at": AT }] });
    let mutation = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
    socket.subscribe_with("record", &json!({ "query": mutation, "variables": { "input": record } })).await;
    assert_eq!(socket.next().await["payload"]["data"]["recordPageViews"]["views"], 1);
    for id in &ids {
        socket.complete(id).await;
    }
    eventually("no query to wait", async || app.feed.subscribers() == 0).await;
    drop(socket);
    app.stop.cancel();
    app.stopped().await;
}
