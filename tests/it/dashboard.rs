//! The dashboard, used in Chromium as a person would; and the programs of docs/clients.md for dashboards of one's own.

use std::{path::Path, process::Stdio};

use chrono::TimeDelta;
use entity::report_refresh;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{
    app::{Rung, TestApp, TestDatabase},
    client_scripts::Script,
    documents::code_blocks,
    process::{Server, succeed},
    wait::wait_for,
};

mod chart;
mod lists;
mod own_page;
mod pages;
mod site_settings;
mod states;
mod token;

/// How long a scenario may take, on a busy machine.
const LIMIT_SECONDS: &str = "180";

fn scenario(name: &str, url: &str) -> Script {
    Script::start("dashboard.mjs", &[url, "--scenario", name, "--limit", LIMIT_SECONDS])
}

/// Runs a scenario of a file, and refreshes the report whenever it says so.
async fn refreshed(app: &TestApp, file: &str, scenario: &str) {
    let url = format!("http://{}", app.address);
    let mut script = Script::start(file, &[&url, "--scenario", scenario, "--limit", LIMIT_SECONDS]);
    while let Some(next) = script.next().await {
        assert_eq!(next, json!({ "next": "refresh" }));
        app.refresh().await;
        script.send_line("refreshed").await;
    }
    script.finish(scenario).await;
}

/// Records `views` of `page`, now.
async fn record(server: &Server, page: &str, views: i64) {
    let mutation =
        "mutation ($increments: [PageViewIncrement!]!) { recordPageViews(input: {increments: $increments}) { views } }";
    server.data(mutation, json!({ "increments": [{ "page": page, "views": views }] })).await.unwrap();
}

fn access_log() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/access.log.gz").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_page_view_appears_without_a_reload() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    scenario("first-view", &server.url("")).finish("first-view").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_choice_of_the_dashboard_is_in_its_url() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    succeed(&database, &["import", &access_log(), "--include-bots"]);
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    record(&server, "/today", 9).await;
    scenario("use", &server.url("")).finish("use").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_reconnects_after_a_server_restart() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    record(&server, "/before", 1).await;
    let address = server.address.clone();
    let mut script = scenario("restart", &server.url(""));
    assert_eq!(script.next().await, Some(json!({ "next": "stop" })));
    drop(server);
    script.send_line("stopped").await;
    assert_eq!(script.next().await, Some(json!({ "next": "start" })));
    let _server = Server::start_at(&database, &address, &["--refresh-cron", "* * * * * *"]);
    script.send_line("started").await;
    script.finish("restart").await;
}

/// A bucket of part of a week is marked, and there is no comparison with a period that was not counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_cut_by_the_period_are_hatched_and_labelled() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record(
        ["03", "10", "17"].map(|day| format!("2026-03-{day}T12:00:00Z")).iter().map(|at| ("/a", at.as_str(), 7)),
    )
    .await;
    app.refresh().await;
    scenario("cut", &format!("http://{}", app.address)).finish("cut").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_have_their_local_dates_in_zones_off_by_part_of_an_hour() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/a", storage::clock::process_now().to_rfc3339().as_str(), 1)]).await;
    app.refresh().await;
    scenario("half-hour-zone", &format!("http://{}", app.address)).finish("half-hour-zone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_without_a_known_time_zone_gets_utc() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/a", storage::clock::process_now().to_rfc3339().as_str(), 1)]).await;
    app.refresh().await;
    scenario("unknown-zone", &format!("http://{}", app.address)).finish("unknown-zone").await;
}

/// The pictures of the documents: `PICTURES=$PWD/docs tests/run --test it pictures_of_the_documents` makes them anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_the_documents_can_be_made() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--services", "increments,reports"]);
    let wolf = Server::start(&database, &["--services", "wolf", "--refresh-cron", "* * * * * *"]);
    // In the folder of PICTURES, if it is set.
    let folder = option_env!("PICTURES").map_or_else(|| database.folder.path().display().to_string(), str::to_owned);
    let mut script =
        Script::start("screenshots.mjs", &[&server.url(""), "--folder", &folder, "--limit", LIMIT_SECONDS]);
    assert_eq!(script.next().await, Some(json!({ "next": "import" })));
    succeed(&database, &["import", &access_log(), "--include-bots"]);
    script.send_line("imported").await;
    assert_eq!(script.next().await, Some(json!({ "next": "kill" })));
    drop(wolf);
    script.send_line("killed").await;
    script.finish("screenshots.mjs").await;
    for name in ["dashboard", "dashboard-empty", "dashboard-narrow", "dashboard-overdue"] {
        assert!(Path::new(&folder).join(name).with_extension("png").exists(), "{name}");
    }
}

/// The next state that is none of `passing`.
async fn state(script: &mut Script, passing: &[&str]) -> Value {
    loop {
        let shown = script.next().await.expect("the script has ended");
        if !passing.iter().any(|state| shown["state"] == *state) {
            return shown;
        }
    }
}

/// A Wolf that begins and dies, one that fails, and one that works again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_shows_each_state_of_freshness() {
    let app = TestApp::start(Rung::Sqlite).await;
    let mut script = scenario("states", &format!("http://{}", app.address));
    let never = state(&mut script, &["connecting"]).await;
    assert_eq!(never["state"], "overdue", "{never}");
    assert!(never["reason"].as_str().unwrap().contains("none has run yet"), "{never}");

    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    let fresh = state(&mut script, &["refreshing"]).await;
    assert_eq!(fresh["state"], "fresh", "{fresh}");
    assert!(fresh["text"].as_str().unwrap().contains("as of "), "{fresh}");

    let now = storage::clock::process_now;
    let under_way = report_refresh::ActiveModel {
        started_at: Set(now()),
        next_refresh_at: Set(Some(now() + TimeDelta::seconds(1))),
        overdue_at: Set(Some(now() + TimeDelta::seconds(5))),
        content_version: Set(0),
        ..Default::default()
    };
    let under_way = under_way.insert(&app.database.background).await.unwrap();
    assert_eq!(state(&mut script, &[]).await["state"], "refreshing");
    let overdue = state(&mut script, &[]).await;
    assert_eq!(overdue["state"], "overdue", "{overdue}");
    assert!(overdue["reason"].as_str().unwrap().contains("a refresh was due "), "{overdue}");

    report_refresh::Entity::delete_by_id(under_way.id).exec(&app.database.background).await.unwrap();
    let failed = report_refresh::ActiveModel {
        started_at: Set(now()),
        finished_at: Set(Some(now())),
        error: Set(Some("the disk is full".to_owned())),
        overdue_at: Set(Some(now() + TimeDelta::hours(1))),
        content_version: Set(0),
        ..Default::default()
    };
    failed.insert(&app.database.background).await.unwrap();
    let failed = state(&mut script, &[]).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["reason"].as_str().unwrap().contains("the disk is full"), "{failed}");

    // A clock was a day ahead and went back: asOf is ahead of it, and the page does not show that.
    let ahead = format!("UPDATE refresh_clock SET announced_at = '{}'", (now() + TimeDelta::hours(25)).to_rfc3339());
    app.database.background.execute_unprepared(&ahead).await.unwrap();
    assert!(app.refresh().await.as_of.unwrap() > now() + TimeDelta::hours(24));
    let fresh = state(&mut script, &["refreshing"]).await;
    assert_eq!(fresh["state"], "fresh", "{fresh}");
    assert!(!fresh["text"].as_str().unwrap().contains(", "), "a date, so not of today: {fresh}");
    script.send_line("enough").await;
    script.finish("states").await;
}

/// A Wolf that is killed while the dashboard is open, and another one that takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_shows_overdue_until_another_wolf_refreshes() {
    const CRON: [&str; 4] = ["--services", "wolf", "--refresh-cron", "*/3 * * * * *"];
    let database = TestDatabase::create(Rung::MaterializedView).await;
    database.migrate().await.close().await.unwrap();
    let server = Server::start(&database, &["--services", "increments,reports"]);
    let wolf = Server::start(&database, &CRON);
    record(&server, "/a", 1).await;
    let mut script = scenario("states", &server.url(""));
    let fresh = state(&mut script, &["connecting", "refreshing", "overdue"]).await;
    assert_eq!(fresh["state"], "fresh", "{fresh}");
    drop(wolf);
    let overdue = state(&mut script, &["refreshing", "fresh"]).await;
    assert_eq!(overdue["state"], "overdue", "{overdue}");
    assert!(overdue["reason"].as_str().unwrap().contains("a refresh was due "), "{overdue}");
    let _wolf = Server::start(&database, &CRON);
    assert_eq!(state(&mut script, &["refreshing", "overdue"]).await["state"], "fresh");
    script.send_line("enough").await;
    script.finish("states").await;
}

/// Increments with such names are refused, but an older database may have them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_change_the_direction_of_text_are_drawn_isolated() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/name", "2026-03-01T00:00:00Z", 7)]).await;
    for sql in [
        "UPDATE pages SET name = '/name\u{202e}', title = 'Title\u{202e}\u{2066}'",
        "UPDATE page_views SET name = '/name\u{202e}'",
    ] {
        app.database.background.execute_unprepared(sql).await.unwrap();
    }
    app.refresh().await;
    scenario("isolated", &format!("http://{}", app.address)).finish("isolated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_page_is_small() {
    let app = TestApp::start(Rung::Sqlite).await;
    scenario("weight", &format!("http://{}", app.address)).finish("weight").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_files_have_a_content_security_policy_and_etags() {
    let app = TestApp::start(Rung::Sqlite).await;
    let get = |path: &str| app.client.get(format!("http://{}{path}", app.address));
    let page = get("/").send().await.unwrap();
    assert_eq!((page.status().as_u16(), &page.headers()["content-type"]), (200, &"text/html".parse().unwrap()));
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let tag = page.headers()["etag"].clone();
    let again = get("/").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let script = get("/dashboard/main.js").header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(script.headers()["content-encoding"], "gzip");
    for (path, status) in [
        ("uPlot.LICENSE.txt", 200),
        ("VENDORED.md", 404),
        ("schema.d.ts", 404),
        ("package.json", 404),
        ("..%2Fvendor.sh", 404),
    ] {
        assert_eq!(get(&format!("/dashboard/{path}")).send().await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_the_dashboard_match_the_schema() {
    let types = Script::start("dashboard-types.mjs", &[]).finish("dashboard-types.mjs").await;
    assert_eq!(types, [json!({ "queries": 6 })]);
    let wrong = Script::start("node_modules/typescript/bin/tsc", &["--project", "dashboard.tsconfig.json"]);
    wrong.finish("tsc, see `cd tests/clients && node_modules/.bin/tsc -p dashboard.tsconfig.json`:").await;
}

/// The programs of docs/clients.md, in its order, with their languages.
fn programs_of_the_clients_page() -> Vec<(&'static str, &'static str)> {
    let blocks = code_blocks(include_str!("../../docs/clients.md")).into_iter();
    blocks.filter(|(language, _)| ["js", "python"].contains(language)).collect()
}

/// Each program shows the report, and the next one after a refresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_clients_page_work() {
    let programs = programs_of_the_clients_page();
    assert_eq!(programs.len(), 4, "graphql-ws, urql, Apollo and gql");
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &["--refresh-cron", "* * * * * *"]);
    let mut views = 0;
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"));
    for (language, program) in programs {
        assert!(program.contains("ws://127.0.0.1:8000/"), "{program}");
        let program = program.replace("127.0.0.1:8000", &server.address);
        let mut command = match language {
            "js" => Command::new("node"),
            _ => Command::new(folder.join("venv/bin/python")),
        };
        command.args((language == "js").then_some("--input-type=module")).arg("-").current_dir(folder);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        client.stdin.take().unwrap().write_all(program.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            record(&server, "/a", 1).await;
            views += 1;
            let wanted = format!("{views} views as of ");
            loop {
                let line = wait_for("a line", lines.next_line()).await.unwrap();
                let line = line.unwrap_or_else(|| panic!("the client has ended: {program}"));
                assert!(line.contains(" views as of "), "{line} of {program}");
                if line.starts_with(&wanted) {
                    break;
                }
            }
        }
    }
}
