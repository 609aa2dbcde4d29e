//! Sites whose pages count their views with the script, in Chromium: what is recorded equals what people have viewed.

use std::collections::BTreeMap;

use entity::page;
use sea_orm::EntityTrait;
use serde_json::json;

use crate::{
    app::{Rung, TestDatabase, counts},
    client_scripts::Script,
    documents::code_blocks,
    process::Server,
    wait::{eventually, wait_for},
};

/// How long all scenarios may take, on a busy machine.
const LIMIT_SECONDS: &str = "220";
/// The name of the service.
const SERVICE: &str = "stats.example";

/// The tags of README, for the service at `address`.
fn tags(address: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, tags) = code_blocks(readme).into_iter().find(|(language, _)| *language == "html").unwrap();
    assert_eq!(tags.lines().count(), 3, "{tags}");
    tags.replace("https://stats.example.org", &format!("http://{address}"))
}

/// The views of each page.
async fn views(database: &storage::Database) -> BTreeMap<String, i64> {
    let mut views = BTreeMap::new();
    for ((page, ..), count) in counts(database).await {
        *views.entry(page).or_insert(0) += count;
    }
    views
}

async fn recorded_views_equal_what_people_have_viewed(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let mut script = Script::start("views.mjs", &[&format!("http://{SERVICE}"), "--limit", LIMIT_SECONDS]);
    let port = script.next().await.unwrap()["port"].to_string();
    let sites = [format!("http://one.example:{port}"), format!("http://two.example:{port}=/two")];
    let local = ["localhost", "a.localhost", "127.0.0.1"].map(|host| format!("http://{host}:{port}"));
    let sites = sites.into_iter().chain(local).collect::<Vec<_>>().join(",");
    let server = Server::start(&database, &["--services", "increments", "--host", SERVICE, "--site", &sites]);
    let port: u16 = server.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let tags = tags(&format!("{SERVICE}:{port}"));
    script.send_line(&json!({ "port": port, "tags": tags }).to_string()).await;
    let mut scenarios = 0;
    while let Some(done) = wait_for("a scenario", script.next()).await {
        let expected: BTreeMap<String, i64> = serde_json::from_value(done["expected"].clone()).unwrap();
        let scenario = done["scenario"].to_string();
        eventually(&scenario, async || views(&connection).await == expected).await;
        script.send_line("equal").await;
        scenarios += 1;
    }
    script.finish("views.mjs").await;
    assert!(scenarios > 10, "{scenarios}");
    // A page that is navigated to without a load has its own title.
    let titles = page::Entity::find().all(&connection.readers).await.unwrap();
    let titles: BTreeMap<_, _> = titles.into_iter().map(|page| (page.name, page.title)).collect();
    for (page, title) in [
        ("/load", Some("Title of /load")),
        ("/app", Some("App")),
        ("/app/a", Some("A")),
        ("/app/b", Some("B")),
        ("/app/c", None),
        ("/app/d", Some("D")),
        ("/chapter", Some("Chapter")),
        ("/two/without/scripts", None),
    ] {
        assert_eq!(titles[page].as_deref(), title, "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_views_equal_what_people_have_viewed_on_sqlite() {
    recorded_views_equal_what_people_have_viewed(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_views_equal_what_people_have_viewed_on_postgres() {
    recorded_views_equal_what_people_have_viewed(Rung::Table).await;
}

#[test]
fn snippet_of_the_program_is_that_of_readme() {
    let service = "http://stats.example".parse().unwrap();
    assert_eq!(api::http::snippet(&service), tags("stats.example"));
}
