//! `analytics import` of logs of each server: the counts are those of what is written beside the logs.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    app::{Rung, TestDatabase, counts},
    model::Counts,
    process,
};

/// Logs in the shape of the servers' documents, each with what its lines say in a file of the same name.
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/access_logs/tests/data");

/// Counts the views of a log by what is written beside it: lines such as
/// `2023-05-17T10:05:03Z 200 GET /a?b | user agent`.
fn independent_count(log: &Path) -> Counts {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(log.with_extension("txt")).unwrap().lines().skip(1) {
        let Some((request, user_agent)) = line.split_once(" | ") else { continue };
        let [time, "200" | "304", "GET", target] = request.split(' ').collect::<Vec<_>>()[..] else { continue };
        let path = target.trim_start_matches("https://www.example.com:443").split('?').next().unwrap();
        if path.is_empty() || path.ends_with(".css") || user_agent.contains("Googlebot") {
            continue;
        }
        let (date, hour) = (time[..10].parse().unwrap(), time[11..13].parse().unwrap());
        *counts.entry((path.to_owned(), date, hour)).or_default() += 1;
    }
    counts
}

async fn import_counts_the_logs_of_each_server(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let mut expected = Counts::new();
    let mut logs = 0;
    for entry in fs::read_dir(LOGS).unwrap() {
        let log = entry.unwrap().path();
        if log.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        process::succeed(&database, &["import", log.to_str().unwrap()]);
        for (key, views) in independent_count(&log) {
            *expected.entry(key).or_default() += views;
        }
        assert_eq!(counts(&connection).await, expected, "{}", log.display());
        logs += 1;
    }
    assert!(logs >= 17 && expected.values().sum::<i64>() > 60, "{logs}: {expected:?}");
}

#[tokio::test]
async fn import_counts_the_logs_of_each_server_on_sqlite() {
    import_counts_the_logs_of_each_server(Rung::Sqlite).await;
}

#[tokio::test]
async fn import_counts_the_logs_of_each_server_on_postgres() {
    import_counts_the_logs_of_each_server(Rung::Table).await;
}

#[tokio::test]
async fn format_is_taken_as_the_configuration_has_it() {
    let template = r#"%h %l %u %t "%r" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""#;
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/access_logs/tests/data/combined.log");
    let database = TestDatabase::create(Rung::Sqlite).await;
    process::succeed(&database, &["import", log, "--format", template]);
    assert_eq!(counts(&database.connect().await).await, independent_count(Path::new(log)));
    for (format, reason) in
        [("%h %t %>s", "no path"), ("$request $time_local", "no status"), ("nginx", "neither one of")]
    {
        let refused = process::run(&database, &["import", log, "--format", format]);
        assert_eq!(refused.status.code(), Some(2), "{format}");
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(stderr.contains("--format") && stderr.contains(reason), "{stderr}");
    }
}

#[tokio::test]
async fn log_of_which_nothing_can_be_read_is_refused_with_what_it_looks_like() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let line = "h - - [17/May/2023:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1";
    for (name, log, looks_like) in [
        ("utf16.log", line.encode_utf16().flat_map(u16::to_le_bytes).collect(), "UTF-16: convert it with iconv"),
        ("mac.log", [line, line, line].join("\r").into_bytes(), "lines that end with CR only"),
        ("app.log", b"{\"level\":\"info\",\"msg\":\"started\"}\n".to_vec(), "JSON lines without a path"),
    ] {
        fs::write(database.folder.path().join(name), log).unwrap();
        let refused = process::run(&database, &["import", name]);
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(name) && stderr.contains(looks_like), "{stderr}");
    }
    assert_eq!(counts(&database.connect().await).await, Counts::new());
}

#[tokio::test]
async fn zeros_of_a_crash_lose_no_line() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let line = "h - - [17/May/2023:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1\n";
    let log = [line, &"\0".repeat(20_000), line].concat();
    fs::write(database.folder.path().join("access.log"), log).unwrap();
    process::succeed(&database, &["import", "access.log"]);
    let expected = [(("/a".to_owned(), "2023-05-17".parse().unwrap(), 10), 2)];
    assert_eq!(counts(&database.connect().await).await, expected.into());
}
