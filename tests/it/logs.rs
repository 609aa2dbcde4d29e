//! The log of a process in JSON.

use serde_json::{Value, json};

use crate::{
    app::{Rung, TestDatabase},
    process::{Server, analytics},
};

const PASSWORD: &str = "pass-77-word";

/// At the level `trace`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_line_is_json_without_the_database_password() {
    let mut database = TestDatabase::create(Rung::MaterializedView).await;
    database.url = database.url.replace("postgres://postgres@", &format!("postgres://postgres:{PASSWORD}@"));
    assert!(database.url.contains(PASSWORD));
    let log = database.folder.path().join("log");
    let address = format!("127.0.0.1:{}", crate::cluster::free_port());
    let mut command = analytics(&database, &["serve", "--listen", &address, "--migrate", "--log", "trace"]);
    command.args(["--log-format", "json"]).stderr(std::fs::File::create(&log).unwrap());
    let child = command.spawn().unwrap();
    let mut server = Server { child, address, client: reqwest::Client::new() };
    let url = server.url("/health/live");
    crate::wait::eventually("the process to serve", async || server.client.get(&url).send().await.is_ok()).await;
    let record = r#"mutation { recordPageViews(input: { increments: [{ page: "/a" }] }) { views } }"#;
    assert_eq!(server.data(record, Value::Null).await.unwrap(), json!({ "recordPageViews": { "views": 1 } }));
    // The loss of all connections is logged, too.
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut other = crate::cluster::connect(&database.url).await;
    sqlx::query(terminate).execute(&mut other).await.unwrap();
    crate::wait::eventually("a warning", async || std::fs::read_to_string(&log).unwrap().contains("WARN")).await;
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());

    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains(PASSWORD), "{:?}", log.lines().find(|line| line.contains(PASSWORD)));
    let (mut levels, mut ours) = (std::collections::BTreeSet::new(), 0);
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}")).to_owned();
        assert!(text("timestamp").parse::<chrono::DateTime<chrono::Utc>>().is_ok(), "{line}");
        // Two libraries have events without a message.
        let is_ours =
            ["analytics", "api", "entity", "migration", "wolf"].contains(&text("target").split("::").next().unwrap());
        assert!(!is_ours || !text("message").is_empty(), "{line}");
        ours += usize::from(is_ours);
        levels.insert(text("level"));
    }
    assert!(ours > 0);
    let expected = ["DEBUG", "INFO", "WARN"].map(str::to_owned);
    assert!(levels.is_superset(&expected.into()), "the log has every level: {levels:?}");
}
