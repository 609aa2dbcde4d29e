//! `analytics demo`: a server to look around in, whose database is thrown away at the end.

use std::{fs, path::Path, process::Stdio};

use serde_json::{Value, json};

use crate::{
    app::{Rung, TestDatabase},
    process::{Server, analytics},
    wait::{eventually, eventually_blocking},
};

const YEAR: &str = "{ report(filter: { interval: { period: LAST_12_MONTHS } }) { totals { views pages } \
                    series(granularity: MONTH) { views } sections(first: 10) { nodes { name } } \
                    pages(first: 1) { nodes { page title } } } }";
const DAY: &str = "{ report(filter: { interval: { period: LAST_24_HOURS } }) { totals { views } } }";

/// What is in a folder.
fn entries(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A demo with a folder for temporary files of its own, in the environment of a real server.
fn demo(database: &TestDatabase, temporary: &Path) -> std::process::Command {
    let mut command = analytics(database, &["demo", "--listen", "127.0.0.1:0", "--log", "warn"]);
    command.env("TMPDIR", temporary).env("ANALYTICS_TOKENS_FILE", "nowhere").env("ANALYTICS_SERVICES", "wolf");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_serves_a_year_and_live_views_and_leaves_nothing() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    for signal in ["TERM", "INT"] {
        let temporary = tempfile::tempdir().unwrap();
        let mut server = Server::of(demo(&database, temporary.path()));
        let [folder] = entries(temporary.path()).try_into().unwrap();
        assert!(folder.starts_with("analytics-demo-"), "{folder}");
        let year = server.data(YEAR, Value::Null).await.unwrap();
        let report = &year["report"];
        assert!(report["totals"]["views"].as_i64().unwrap() > 100_000, "{year}");
        assert_eq!(report["totals"]["pages"], 97, "{year}");
        let months = report["series"].as_array().unwrap();
        assert!(months.len() == 12 && months.iter().all(|month| month["views"].as_i64().unwrap() > 0), "{year}");
        assert_eq!(report["pages"]["nodes"], json!([{ "page": "/", "title": "The Bakery" }]));
        let views = async || {
            let day = server.data(DAY, Value::Null).await.unwrap();
            day["report"]["totals"]["views"].as_i64().unwrap()
        };
        let before = views().await;
        eventually("live views in the report", async || views().await > before).await;
        server.signal(signal);
        eventually("the end of the demo", async || server.child.try_wait().unwrap().is_some()).await;
        assert!(server.child.wait().unwrap().success());
        assert_eq!(entries(temporary.path()), Vec::<String>::new());
    }
    // The real database was not touched.
    assert_eq!(entries(database.folder.path()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_that_is_interrupted_while_it_begins_leaves_nothing() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let temporary = tempfile::tempdir().unwrap();
    let mut child = demo(&database, temporary.path()).stdout(Stdio::null()).spawn().unwrap();
    let what = || "the demo's folder".to_owned();
    eventually_blocking(what, || !entries(temporary.path()).is_empty());
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(entries(temporary.path()), Vec::<String>::new());

    // So does one whose address is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = analytics(&database, &["demo", "--listen", &address]);
    let output = command.env("TMPDIR", temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(entries(temporary.path()), Vec::<String>::new());
}
