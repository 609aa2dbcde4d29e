//! Exports of counts: the command, and over HTTP.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use chrono::{DateTime, NaiveDate, Utc};
use counts::{Count, CountedTime, Format, Parsed, Parser};
use entity::Hour;
use increments::{Increment, PageName, Request, Title, Views};
use reports::{PageFilter, ReportError, ReportReader, ReportSettings, freshness::FreshnessFeed};
use reqwest::{Response, StatusCode, header};
use serde_json::Value;
use storage::Database;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};
use wolf::Maintenance;

use crate::{
    app::{Rung, TestApp, TestDatabase},
    on_all_databases,
    process::{self, analytics, succeed},
    wait::{eventually, wait_for},
};

/// The counts in an export, by page and time, with the titles.
pub(crate) type Exported = BTreeMap<(String, CountedTime), (i64, Option<String>)>;

/// Reads an export, which has to be right to its last line.
pub(crate) fn read(format: Format, text: &[u8]) -> Exported {
    let mut parser = Parser::new(format);
    let mut exported = Exported::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(parsed) = parser.parse(line).unwrap() else { continue };
        let Parsed::Count(Count { page, title, time, views }) = parsed else { panic!("{parsed:?}") };
        assert_eq!(exported.insert((page, time), (views, title)), None, "a count stands twice");
    }
    exported
}

/// Exports by the command, to standard output.
pub(crate) fn export(database: &TestDatabase, arguments: &[&str]) -> Vec<u8> {
    let output = process::run(database, &[&["export", "-"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The views by page and hour of an export.
fn hours(exported: &Exported) -> BTreeMap<(String, Hour), i64> {
    let hour = |time: &CountedTime| match time {
        CountedTime::Hour(hour) => *hour,
        CountedTime::Day(day) => panic!("{day} has no hours"),
    };
    exported.iter().map(|((page, time), (views, _))| ((page.clone(), hour(time)), *views)).collect()
}

/// The time limit is one of queries. Those of a long export are many, and take longer together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_may_take_longer_than_a_query_may() {
    let app = TestApp::start(Rung::Sqlite).await;
    let pages: Vec<_> = (0..5_000).map(|page| format!("/{page}")).collect();
    app.record(pages.iter().map(|page| (page.as_str(), "2026-03-01T05:00:00Z", 1))).await;
    app.refresh().await;
    let mut settings = app.test_database.settings();
    settings.query_timeout_ms = 1;
    let database = Database::connect(&settings).await.unwrap();
    let (feed, _listener) = FreshnessFeed::new(&database);
    let reader = ReportReader::new(&database, feed, &ReportSettings { cache_bytes: 0 });
    let mut export = reader.export(PageFilter::All, None, None).await.unwrap();
    let mut exported = 0;
    while let Some(counts) = export.next_portion().await.unwrap() {
        exported += counts.len();
    }
    assert_eq!(exported, pages.len());
    drop(export);
    database.close().await.unwrap();
}

/// Records a view of `page` with a title.
pub(crate) async fn record_with_title(app: &TestApp, page: &str, at: &str, title: &str) {
    let at: DateTime<Utc> = at.parse().unwrap();
    let increment = Increment {
        page: PageName::new(page.to_owned()).unwrap(),
        views: Views::new(1).unwrap(),
        hour: Hour::containing(at),
        at: Some(at),
        title: Some(Title::new(title.to_owned()).unwrap()),
    };
    app.recorder.record(Request::new(vec![increment], None)).await.unwrap();
}

async fn get(app: &TestApp, path: &str) -> Response {
    app.client.get(format!("http://{}{path}", app.address)).send().await.unwrap()
}

/// Records views of `pages` pages, in each of three hours.
async fn record_many(app: &TestApp, pages: usize) {
    for at in ["2026-03-01T00:00:00Z", "2026-03-01T05:00:00Z", "2026-03-03T23:00:00Z"] {
        let names: Vec<_> = (0..pages).map(|page| format!("/{page}")).collect();
        app.record(names.iter().map(|name| (name.as_str(), at, 2))).await;
    }
}

fn all_counts(app: &crate::model::Counts) -> BTreeMap<(String, Hour), i64> {
    app.iter().map(|((page, date, hour), views)| ((page.clone(), Hour::new(*date, *hour)), *views)).collect()
}

on_all_databases! {
    async fn export_has_every_count_of_the_report_in_both_forms(app: TestApp) {
        // More rows than a portion has, and days with a gap that is longer than a statement looks at.
        record_many(&app, 1_234).await;
        app.record([("/0", "2026-06-01T07:00:00Z", 5), ("=1+1", "2026-06-01T07:00:00Z", 3)]).await;
        record_with_title(&app, "/\"a\",'b'", "2026-06-01T08:00:00Z", "@title, \"é\"").await;
        record_with_title(&app, "'=", "2026-06-01T08:00:00Z", "'").await;
        app.refresh().await;
        let counted = all_counts(&app.counts().await);
        for (path, form, format) in
            [("/export.csv", "csv", Format::Csv), ("/export.jsonl", "jsonl", Format::Jsonl)]
        {
            let body = get(&app, path).await.bytes().await.unwrap();
            let exported = read(format, &body);
            assert_eq!(hours(&exported), counted);
            assert!(exported.values().any(|(_, title)| title.as_deref() == Some("@title, \"é\"")));
            assert_eq!(export(&app.test_database, &["--format", form]), body);
            let file = format!("counts.{form}");
            let said = succeed(&app.test_database, &["export", &file]);
            let (counts, views) = (counted.len(), counted.values().sum::<i64>());
            assert!(said.contains(&format!("exported {counts} counts with {views} views, as of 2")), "{said}");
            assert_eq!(fs::read(app.test_database.folder.path().join(&file)).unwrap(), body);
        }
        // No cell begins like a formula.
        let csv = String::from_utf8(export(&app.test_database, &[])).unwrap();
        assert!(csv.contains("\"'=1+1\"") && csv.contains("\"'@title, \"\"é\"\"\"") && csv.contains("\"''=\""), "{csv}");
        // What came after the refresh is not in the report.
        app.record([("/late", "2026-06-01T07:00:00Z", 1)]).await;
        assert_eq!(hours(&read(Format::Csv, &export(&app.test_database, &[]))), counted);
    }

    async fn export_has_the_pages_and_hours_that_are_asked_for(app: TestApp) {
        let counts = [
            ("/a/1", "2026-03-01T00:00:00Z", 1),
            ("/a/2", "2026-03-01T13:00:00Z", 2),
            ("/b/1", "2026-03-02T00:00:00Z", 4),
            ("/a/1", "2026-03-02T01:00:00Z", 8),
        ];
        app.record(counts).await;
        app.refresh().await;
        for (parameters, arguments, views) in [
            ("names=/a/1", &["--names", "/a/1"][..], 9),
            ("names=/a/1&names=/b/1", &["--names", "/a/1", "--names", "/b/1"], 13),
            ("names=/none", &["--names", "/none"], 0),
            ("prefix=/a/", &["--prefix", "/a/"], 11),
            ("contains=/1", &["--contains", "/1"], 13),
            ("start=2026-03-01T13:00:00Z", &["--start", "2026-03-01T13:59:00Z"], 14),
            ("end=2026-03-02T00:00:00Z", &["--end", "2026-03-02"], 3),
            ("start=2026-03-01T12:00:00%2B02:00&end=2026-03-02T01:00:00Z",
             &["--start", "2026-03-01T12:00:00+02:00", "--end", "2026-03-02T01:00:00Z"], 6),
            ("start=2027-01-01T00:00:00Z", &["--start", "2027-01-01"], 0),
            ("prefix=/a/&end=2026-03-01T13:00:00Z", &["--prefix", "/a/", "--end", "2026-03-01T13:00:00Z"], 1),
        ] {
            let body = get(&app, &format!("/export.csv?{parameters}")).await.bytes().await.unwrap();
            assert_eq!(read(Format::Csv, &body).values().map(|(views, _)| views).sum::<i64>(), views, "{parameters}");
            assert_eq!(export(&app.test_database, arguments), body, "{parameters}");
        }
        let found = get(&app, "/export.csv?search=B&ignoreCase=true").await.bytes().await.unwrap();
        assert_eq!(read(Format::Csv, &found).len(), 1);
    }

    async fn days_whose_hours_were_dropped_are_exported_as_days(app: TestApp) {
        app.record([("/a", "2026-03-01T03:00:00Z", 1), ("/a", "2026-03-01T09:00:00Z", 2)]).await;
        app.record([("/a", "2026-03-02T09:00:00Z", 3)]).await;
        app.refresh().await;
        Maintenance::new(&app.database, Some(24)).run().await.unwrap();
        app.refresh().await;
        // A view that comes late has its hour again, until that is dropped too.
        app.record([("/a", "2026-03-01T05:00:00Z", 4)]).await;
        app.refresh().await;
        let day = |day: &str| CountedTime::Day(day.parse::<NaiveDate>().unwrap());
        let hour = CountedTime::Hour(Hour::containing("2026-03-01T05:00:00Z".parse().unwrap()));
        let exported = read(Format::Csv, &export(&app.test_database, &[]));
        let exported: Vec<_> = exported.into_iter().map(|((_, time), (views, _))| (time, views)).collect();
        assert_eq!(exported, [(hour, 4), (day("2026-03-01"), 3), (day("2026-03-02"), 3)]);
        // A day belongs to the hour that it begins with, so that exports of two ranges have it once.
        let parts = [&["--end", "2026-03-01T12:00:00Z"][..], &["--start", "2026-03-01T12:00:00Z"]];
        let parts = parts.map(|part| read(Format::Csv, &export(&app.test_database, part)).len());
        assert_eq!(parts, [2, 1]);
    }

    async fn unchanged_export_is_304(app: TestApp) {
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        let first = get(&app, "/export.csv").await;
        let tag = first.headers()[header::ETAG].clone();
        let as_of = first.headers()["analytics-as-of"].to_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        assert!(as_of <= storage::clock::process_now() + chrono::TimeDelta::seconds(5));
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
        assert_eq!(first.headers()[header::CONTENT_DISPOSITION], "attachment; filename=\"counts.csv\"");
        let again = async |path: &str| {
            let request = app.client.get(format!("http://{}{path}", app.address));
            let response = request.header(header::IF_NONE_MATCH, tag.clone()).send().await.unwrap();
            let status = response.status();
            response.bytes().await.unwrap();
            status
        };
        assert_eq!(again("/export.csv").await, StatusCode::NOT_MODIFIED);
        assert_eq!(again("/export.jsonl").await, StatusCode::OK);
        assert_eq!(again("/export.csv?prefix=/a").await, StatusCode::OK);
        let head = app.client.head(format!("http://{}/export.csv", app.address)).send().await.unwrap();
        assert_eq!((head.status(), head.headers()[header::ETAG].clone()), (StatusCode::OK, tag.clone()));
        assert_eq!(head.bytes().await.unwrap().len(), 0);
        app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        assert_eq!(again("/export.csv").await, StatusCode::OK);
    }

    async fn export_is_of_one_snapshot_while_the_report_changes(app: TestApp) {
        record_many(&app, 2_500).await;
        app.refresh().await;
        let before = all_counts(&app.counts().await);
        let mut exporting = app.reader.export(PageFilter::All, None, None).await.unwrap();
        let mut counts = exporting.next_portion().await.unwrap().unwrap();
        record_many(&app, 2_600).await;
        app.refresh().await;
        loop {
            match exporting.next_portion().await {
                // There is no snapshot of all nodes, so the export ends with an error rather than with parts of two versions.
                Err(ReportError::VersionChanged) if app.is_on_a_cluster() => return,
                portion => match portion.unwrap() {
                    Some(more) => counts.extend(more),
                    None => break,
                },
            }
        }
        let exported = counts.into_iter().map(|count| ((count.page, count.time.first_hour()), count.views)).collect();
        assert_eq!(before, exported);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_parameters_of_an_export_are_refused_with_the_reason() {
    let app = TestApp::start(Rung::Sqlite).await;
    let long = "x".repeat(1_025);
    for (parameters, reason) in [
        ("page=/a", "there is no parameter \"page\""),
        ("names=", "names[0] must be 1 to 1024 bytes long"),
        (&format!("prefix={long}"), "prefix must be 1 to 1024 bytes long"),
        ("contains=a%00", "contains must not have control characters"),
        ("prefix=a&contains=b", "only one of"),
        ("prefix=a&prefix=b", "only one of"),
        ("ignoreCase=true", "ignoreCase belongs to search"),
        ("search=a&ignoreCase=yes", "true or false"),
        ("start=yesterday", "start must be a time such as"),
        ("start=2026-01-01T00:00:00Z&start=2026-01-01T00:00:00Z", "start is given twice"),
        ("start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", "end must not be before start"),
        ("group=nope", "group: there is no group \"nope\""),
        ("start=-0001-01-01T00:00:00Z", "start must lie in the years"),
    ] {
        let refused = get(&app, &format!("/export.csv?{parameters}")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{parameters}");
        let body: Value = refused.json().await.unwrap();
        let error = &body["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(reason) && !message.contains("filter."), "{error}");
    }
    let post = app.client.post(format!("http://{}/export.csv", app.address)).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Begins an export of which the client reads the head only.
async fn slow_export(app: &TestApp) -> (String, tokio::net::TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(app.address.parse().unwrap()).await.unwrap();
    stream.write_all(b"GET /export.csv HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut head = vec![0; 64];
    let size = wait_for("the head", stream.read(&mut head)).await.unwrap();
    (String::from_utf8_lossy(&head[..size]).lines().next().unwrap_or_default().to_owned(), stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_exports_run_at_once_and_one_whose_client_leaves_makes_room() {
    let app = TestApp::start(Rung::Sqlite).await;
    record_many(&app, 9_000).await;
    app.refresh().await;
    // One of the two connections for queries is left for queries.
    let (status, export) = slow_export(&app).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let totals = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";
    assert_eq!(app.data(totals, Value::Null).await["report"]["totals"]["views"], 54_000);
    let refused = get(&app, "/export.csv").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["code"], "OVERLOADED");
    drop(export);
    eventually("room for an export", async || get(&app, "/export.csv?names=/1").await.status() == StatusCode::OK).await;
    // A server that stops does not wait for clients that read slowly; what they have is not complete.
    let mut last = None;
    eventually("room for the last export", async || {
        let (status, stream) = slow_export(&app).await;
        last = Some(stream).filter(|_| status == "HTTP/1.1 200 OK");
        last.is_some()
    })
    .await;
    let mut last = last.unwrap();
    app.stop.cancel();
    let mut rest = Vec::new();
    // Read errors are as good as an end without the last chunk.
    drop(wait_for("the end of the export", last.read_to_end(&mut rest)).await);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    app.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_is_never_half_there_and_overwrites_nothing() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let folder = database.folder.path();
    let refused = |arguments: &[&str], reason: &str| {
        let output = process::run(&database, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(reason), "{arguments:?}: {stderr}");
    };
    fs::write(folder.join("there.csv"), "mine").unwrap();
    refused(&["export", "there.csv"], "is there already, and an export overwrites nothing");
    assert_eq!(fs::read_to_string(folder.join("there.csv")).unwrap(), "mine");
    refused(&["export", "nowhere/counts.csv"], "does not exist; create it");
    refused(&["export", "a.csv", "--prefix", "a", "--contains", "b"], "cannot be used with");
    refused(&["export", "a.csv", "--start", "soon"], "must be like 2026-01-31");
    refused(&["export", "a.csv", "--start", "2026-02-01", "--end", "2026-01-01"], "--end is before --start");
    // The report of an empty database has a header.
    let said = succeed(&database, &["export", "empty.csv"]);
    assert!(said.contains("exported 0 counts with 0 views, of a report that was never refreshed"), "{said}");
    assert_eq!(fs::read(folder.join("empty.csv")).unwrap(), counts::Form::Csv.beginning().unwrap());

    // A reader that takes nothing keeps the command from ending, until a signal comes.
    let app = TestApp::serve(database, |_settings| {}).await;
    record_many(&app, 5_000).await;
    app.refresh().await;
    for signal in ["INT", "TERM"] {
        let mut child = analytics(&app.test_database, &["export", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Until it has begun to write.
        let mut first = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        eventually("the end after the signal", async || child.try_wait().unwrap().is_some()).await;
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    }
    let left = fs::read_dir(app.test_database.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_str().unwrap().ends_with(".partial")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_of_an_export_outlives_the_servers_patience_with_idle_transactions() {
    let app = TestApp::start(Rung::Table).await;
    record_many(&app, 1_500).await;
    app.refresh().await;
    let mut export = app.reader.export(PageFilter::All, None, None).await.unwrap();
    export.next_portion().await.unwrap().unwrap();
    // The server ends transactions that are idle for 10 seconds.
    export.while_taken(crate::wait::pace(std::time::Duration::from_secs(12))).await.unwrap();
    export.next_portion().await.unwrap().unwrap();
}
