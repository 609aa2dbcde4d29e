//! Imports of counts: exports of this program, and the files of other programs.

use std::{
    fs,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use counts::{CountedTime, Format};
use entity::Hour;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wolf::Maintenance;

use crate::{
    app::{Rung, TestApp, TestDatabase, counts},
    export::{Exported, export, read, record_with_title},
    process::{Server, run, succeed},
    wait::eventually,
};

const TOTALS: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views } } }";

/// An empty database with its tables.
async fn empty(rung: Rung) -> TestDatabase {
    let database = TestDatabase::create(rung).await;
    database.migrate().await.close().await.unwrap();
    database
}

fn file(database: &TestDatabase, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = database.folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The report's counts after a refresh.
fn exported(database: &TestDatabase) -> Exported {
    succeed(database, &["refresh"]);
    succeed(database, &["verify"]);
    read(Format::Csv, &export(database, &[]))
}

fn views(exported: &Exported) -> i64 {
    exported.values().map(|(views, _)| views).sum()
}

fn hour(text: &str) -> CountedTime {
    CountedTime::Hour(Hour::containing(text.parse().unwrap()))
}

/// The number that a summary has behind `label`.
fn number(summary: &str, label: &str) -> i64 {
    let line = summary.lines().find(|line| line.trim_start().starts_with(label));
    line.unwrap_or_else(|| panic!("{label}: {summary}")).split_whitespace().last().unwrap().parse().unwrap()
}

async fn export_and_import_are_the_identity(from: Rung, to: Rung) {
    let app = TestApp::start(from).await;
    for at in ["2026-03-01T00:00:00Z", "2026-03-01T05:00:00Z", "2026-04-03T23:00:00Z"] {
        let names: Vec<_> = (0..4_000).map(|page| format!("/{page}")).collect();
        app.record(names.iter().map(|name| (name.as_str(), at, 2))).await;
    }
    for (page, title) in [("=1+1", "@title, \"é\""), ("'=", "'"), ("/\"a\",'b'", "+1"), ("-", "\u{ff1d}a")] {
        record_with_title(&app, page, "2026-06-01T08:00:00Z", title).await;
    }
    app.record([("/large", "2026-06-01T08:00:00Z", 1_000_000); 3]).await;
    app.refresh().await;
    let original = export(&app.test_database, &[]);
    for form in ["csv", "jsonl"] {
        let target = empty(to).await;
        let counts = file(&target, "counts", export(&app.test_database, &["--format", form]));
        let dry = succeed(&target, &["import", "--counts", "--dry-run", &counts]);
        assert!(dry.contains("nothing was recorded") && dry.contains("3000000 /large\n"), "{dry}");
        let summary = succeed(&target, &["import", "--counts", &counts]);
        assert_eq!(number(&summary, "counted"), 12_005, "{summary}");
        assert_eq!(number(&summary, "views"), 3_024_004, "{summary}");
        assert_eq!(number(&summary, "unreadable"), 0, "{summary}");
        succeed(&target, &["refresh"]);
        succeed(&target, &["verify"]);
        assert_eq!(export(&target, &[]), original);

        // The same counts again, under another name and compressed, count nothing.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&fs::read(&counts).unwrap()).unwrap();
        let again = file(&target, "again.gz", encoder.finish().unwrap());
        let summary = succeed(&target, &["import", "--counts", &again]);
        assert_eq!((number(&summary, "counted"), number(&summary, "unreadable")), (0, 0), "{summary}");
        assert!(summary.contains("of which 3024004 were counted then"), "{summary}");
        succeed(&target, &["refresh"]);
        assert_eq!(export(&target, &[]), original);
        assert!(succeed(&target, &["imports"]).contains("--counts"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_and_import_are_the_identity_from_sqlite_to_postgres() {
    export_and_import_are_the_identity(Rung::Sqlite, Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_and_import_are_the_identity_from_postgres_to_sqlite() {
    export_and_import_are_the_identity(Rung::MaterializedView, Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_and_import_are_the_identity_between_tables() {
    export_and_import_are_the_identity(Rung::Table, Rung::Table).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_without_hours_are_days_again_where_such_hours_are_dropped() {
    for rung in [Rung::Sqlite, Rung::MaterializedView, Rung::Table] {
        let app = TestApp::start(Rung::Sqlite).await;
        app.record([("/a", "2026-03-01T03:00:00Z", 1), ("/a", "2026-03-01T09:00:00Z", 2)]).await;
        app.refresh().await;
        Maintenance::new(&app.database, Some(24)).run().await.unwrap();
        app.record([("/a", "2026-03-01T05:00:00Z", 4)]).await;
        app.refresh().await;
        let original = export(&app.test_database, &[]);
        assert_eq!(read(Format::Csv, &original).len(), 2);
        Maintenance::new(&app.database, Some(24)).run().await.unwrap();
        app.refresh().await;
        let dropped = export(&app.test_database, &[]);
        assert_eq!(read(Format::Csv, &dropped).len(), 1);

        let target = empty(rung).await;
        let counts = file(&target, "counts.csv", &original);
        let summary = succeed(&target, &["import", "--counts", &counts]);
        assert_eq!(number(&summary, "days, at their first hour"), 1, "{summary}");
        // Where hours are kept, the day's first hour has them.
        let imported = exported(&target);
        let hours: Vec<_> = imported.iter().map(|((_, time), (views, _))| (*time, *views)).collect();
        assert_eq!(hours, [(hour("2026-03-01T00:00:00Z"), 3), (hour("2026-03-01T05:00:00Z"), 4)]);
        let database = target.connect().await;
        Maintenance::new(&database, Some(24)).run().await.unwrap();
        database.close().await.unwrap();
        succeed(&target, &["refresh"]);
        assert_eq!(export(&target, &[]), dropped, "{rung:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_of_other_programs_are_counted() {
    let database = empty(Rung::Sqlite).await;
    let goatcounter = file(
        &database,
        "goatcounter-export.csv",
        "2Path,Title,Event,UserAgent,Browser,System,Session,Bot,Referrer,Referrer scheme,Screen size,Location,\
         FirstVisit,Date\r\n\
         /a,\"A, \"\"b\"\"\",false,,,,1,0,,,,NL,1,2026-01-31T13:05:00Z\r\n\
         /a,A,false,,,,2,0,,,,NL,1,2026-01-31T13:59:59Z\r\n\
         click,,true,,,,1,0,,,,NL,1,2026-01-31T13:05:00Z\r\n\
         /a,A,false,,,,1,150,,,,NL,1,2026-01-31T13:05:00Z\r\n",
    );
    let plausible = file(
        &database,
        "imported_pages_20260101_20260131.csv",
        "\"date\",\"hostname\",\"page\",\"visits\",\"visitors\",\"pageviews\"\n\
         \"2026-01-30\",\"example.org\",\"/p\",3,3,7\n\"2026-01-31\",\"example.org\",\"/p\",0,0,0\n",
    );
    let summary = succeed(&database, &["import", "--counts", &goatcounter, &plausible]);
    let all = summary.split_once("all 2 files").unwrap().1;
    assert_eq!(
        ["lines", "counted", "views", "days, at their first hour", "left out", "known bot", "event", "no views"]
            .map(|label| number(all, label)),
        [6, 3, 9, 1, 3, 1, 1, 1]
    );
    let exported = exported(&database);
    let found: Vec<_> = exported.iter().map(|((page, time), (views, title))| (&**page, *time, *views, title)).collect();
    let title = Some("A, \"b\"".to_owned());
    assert_eq!(
        found,
        [("/a", hour("2026-01-31T13:00:00Z"), 2, &title), ("/p", hour("2026-01-30T00:00:00Z"), 7, &None)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pageview_dumps_are_of_the_hours_in_their_names() {
    let database = empty(Rung::Sqlite).await;
    // Files with equal lines, and one that is the beginning of another, are of different hours all the same.
    let lines = "en Main_Page 7 0\nde Wikipedia:Hauptseite 2 0\n";
    let folder = database.folder.path().join("dumps");
    fs::create_dir(&folder).unwrap();
    for (name, lines) in [
        ("pageviews-20260131-130000", lines),
        ("pageviews-20260131-140000", lines),
        ("pageviews-20260131-150000", "en Main_Page 7 0\n"),
        ("README", "no counts\n"),
    ] {
        fs::write(folder.join(name), lines).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let summary = succeed(&database, &["import", "--counts", folder]);
    assert!(summary.contains("no file of counts, so it was left out: ") && summary.contains("README"), "{summary}");
    let counted = exported(&database);
    let of = |page: &str, time: &str| counted.get(&(page.to_owned(), hour(time))).map(|(views, _)| *views);
    assert_eq!(views(&counted), 25);
    assert_eq!(of("en/Main_Page", "2026-01-31T15:00:00Z"), Some(7));
    assert_eq!(of("de/Wikipedia:Hauptseite", "2026-01-31T14:00:00Z"), Some(2));
    // Again, and with another name that has the hour.
    fs::rename(format!("{folder}/pageviews-20260131-150000"), format!("{folder}/pageviews-20260131-150000-copy"))
        .unwrap();
    let summary = succeed(&database, &["import", "--counts", folder]);
    assert_eq!(number(summary.split_once("all 3 files").unwrap().1, "counted"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_with_the_same_header_are_different_files() {
    let database = empty(Rung::Sqlite).await;
    let header = "page,start,views\n";
    for number in 0..20 {
        let text = format!("{header}/{number},2026-01-01T00:00:00Z,1\n");
        let counts = file(&database, &format!("{number}.csv"), text);
        succeed(&database, &["import", "--counts", &counts]);
    }
    let header_only = file(&database, "header.csv", header);
    assert_eq!(number(&succeed(&database, &["import", "--counts", &header_only]), "lines"), 0);
    // A file that has grown counts from there on, also if its last line had no end.
    let counts = file(&database, "grown.csv", format!("{header}/x,2026-01-01T00:00:00Z,1"));
    succeed(&database, &["import", "--counts", &counts]);
    let counts =
        file(&database, "grown.csv", format!("{header}/x,2026-01-01T00:00:00Z,1\n/y,2026-01-01T00:00:00Z,1\n"));
    succeed(&database, &["import", "--counts", &counts]);
    assert_eq!(views(&exported(&database)), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_lines_of_counts_are_reported_with_their_number_and_field() {
    let database = empty(Rung::Sqlite).await;
    let long = "x".repeat(1_025);
    let text = format!(
        "page,title,start,grain,views\n\
         /a,,2026-01-31T13:00:00Z,hour,1\n\
         /a,,2026-01-31T13:00:00Z,hour,many\n\
         {long},,2026-01-31T13:00:00Z,hour,1\n\
         /a,,1999-01-31T13:00:00Z,hour,1\n\
         /a,,2999-01-31T13:00:00Z,hour,1\n\
         \"/a,,2026-01-31T13:00:00Z,hour,1\n\
         /a,\"a \u{202e}title\",2026-01-31T14:00:00Z,hour,0\n\
         /b,,2026-01-31T14:00:00Z,hour,2\n"
    );
    let counts = file(&database, "counts.csv", text);
    let summary = succeed(&database, &["import", "--counts", &counts]);
    for line in [
        "line 3: views must be a number from 0 to 1000000000000, not \"many\"",
        "line 4: page must be 1 to 1024 bytes long, not 1025",
        "line 5: start must not be before the year 2000",
        "line 6: start must not be more than 5 minutes ahead",
        "line 7: a quoted cell has no end in this line",
    ] {
        assert!(summary.contains(line), "{line}: {summary}");
    }
    assert_eq!((number(&summary, "counted"), number(&summary, "unreadable")), (2, 5), "{summary}");
    assert_eq!(views(&exported(&database)), 3);

    let refused = |arguments: &[&str], code: i32, reason: &str| {
        let output = run(&database, &[&["import"], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    };
    let log = file(&database, "access.log", "h - - [17/May/2015:10:05:03 +0200] \"GET /a HTTP/1.1\" 200 1\n");
    refused(&["--counts", &log], 1, "counts in no known format");
    refused(&["--counts", "--counts-format", "wikimedia", &log], 1, "a pageview dump without its hour");
    refused(&["--counts", "--counts-format", "jsonl", &log], 1, "none of its 1 lines could be read");
    refused(&["--counts", "--counts-format", "csv", &log], 1, "none of its 1 lines could be read");
    refused(&[&counts], 1, "it looks like");
    refused(&["--counts", "missing.csv"], 1, "missing.csv");
    refused(&["--counts", "--follow", &counts], 2, "cannot be used with");
    refused(&["--counts-format", "csv", &counts], 2, "--counts");
    refused(&["--counts", "--counts-format", "xml", &counts], 2, "must be csv, jsonl, goatcounter");
    let connection = database.connect().await;
    assert_eq!(self::counts(&connection).await.values().sum::<i64>(), 3);
    connection.close().await.unwrap();
}

/// Runs the commands of docs/move.md as printed, from the old database to the new one, while the old one serves and
/// records.
async fn counts_move_house(from: Rung, to: Rung) {
    let (old, new) = (empty(from).await, TestDatabase::create(to).await);
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/access.log.gz");
    succeed(&old, &["import", "--include-bots", log]);
    let server = Server::start(&old, &["--refresh-cron", "* * * * * *"]);
    eventually("the import in the report", async || {
        server.data(TOTALS, Value::Null).await.unwrap()["report"]["totals"]["views"] == 2_548
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let (client, url, stopped) = (server.client.clone(), server.url("/graphql"), Arc::clone(&stop));
    let mut recording = JoinSet::new();
    recording.spawn(async move {
        let body =
            json!({ "query": "mutation { recordPageViews(input: { increments: [{ page: \"/now\" }] }) { views } }" });
        while !stopped.load(Ordering::Relaxed) {
            client.post(&url).json(&body).send().await.unwrap();
        }
    });
    let document = include_str!("../../docs/move.md");
    let blocks: Vec<_> = document.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let script = [blocks[0], blocks[1]].concat();
    let script = script.replace("sqlite://analytics.db\n", &format!("'{}'\n", old.url));
    let script = script.replace("postgres://USER:PASSWORD@HOST/NAME\n", &format!("'{}'\n", new.url));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_analytics"));
    let script = format!("PATH='{}':\"$PATH\"\n{script}", program.parent().unwrap().display());
    let mut command = std::process::Command::new("bash");
    command.args(["-euc", &script]).env_remove("DATABASE_URL").current_dir(new.folder.path());
    let output = tokio::task::block_in_place(|| command.output()).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    // The three sums are equal.
    let word_before = |text: &str| {
        let before = printed.split_once(text).unwrap_or_else(|| panic!("{text}: {printed}")).0;
        before.split_whitespace().last().unwrap().parse::<i64>().unwrap()
    };
    let sum = word_before(" views, as of");
    assert!(sum >= 2_548, "{printed}");
    assert_eq!((number(&printed, "views"), word_before(" views are counted")), (sum, sum), "{printed}");
    // The old one serves on.
    let data = server.data(TOTALS, Value::Null).await.unwrap();
    assert!(data["report"]["totals"]["views"].as_i64().unwrap() >= sum);
    stop.store(true, Ordering::Relaxed);
    recording.join_all().await;
    let file = fs::read(new.folder.path().join("counts.csv")).unwrap();
    succeed(&new, &["refresh"]);
    assert_eq!(export(&new, &[]), file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_move_house_from_sqlite_to_postgres_while_the_old_one_serves() {
    counts_move_house(Rung::Sqlite, Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_move_house_from_postgres_to_sqlite_while_the_old_one_serves() {
    counts_move_house(Rung::Table, Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn titles_are_imported_where_there_are_none() {
    let app = TestApp::start(Rung::Sqlite).await;
    record_with_title(&app, "/a", "2026-06-01T08:00:00Z", "mine").await;
    let text = "page,title,start,views\n/a,theirs,2026-01-01,1\n/b,first,2026-01-01,1\n/b,second,2026-01-02,1\n";
    let counts = file(&app.test_database, "counts.csv", text);
    succeed(&app.test_database, &["import", "--counts", &counts]);
    let exported = exported(&app.test_database);
    let titles: Vec<_> = exported.iter().map(|((page, _), (_, title))| (&**page, title.as_deref())).collect();
    let expected = [("/a", "mine"), ("/a", "mine"), ("/b", "first"), ("/b", "first")];
    assert_eq!(titles, expected.map(|(page, title)| (page, Some(title))));
}
