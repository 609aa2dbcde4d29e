//! `analytics import`, counted against an independent count of the same real log.

use std::{io::Write, process::Stdio};

use chrono::NaiveDate;

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    model::{self, Counts},
    process,
    snapshot::assert_snapshot,
};

/// 6,000 real lines; a file beside it names the origin.
const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/access.log.gz");

/// An independent count of the log by gzip and awk, without our parser.
/// Prints page, date, hour and count of each page and hour, bots included.
const AWK: &str = r#"
{
    # The request is what stands between the first two quotes; the status follows the second.
    split($0, quoted, "\""); split(quoted[2], request, " "); split(quoted[3], after, " ")
    if (request[1] != "GET") next
    if (!(after[1] ~ /^2[0-9][0-9]$/ || after[1] == "304")) next
    path = request[2]; sub(/[?#].*/, "", path)
    # The assets of this log.
    last = path; sub(/.*\//, "", last)
    if (tolower(last) ~ /\.(css|js|png|jpg|jpeg|gif|svg|ico|woff|ttf|xml|txt|pdf|gz|jar|exe|swf|doc)$/) next
    # [17/May/2015:10:05:03 +0000]; the whole log is of that month and in UTC.
    match($0, /\[[0-9][0-9]\/May\/2015:[0-9][0-9]:[0-9][0-9]:[0-9][0-9] \+0000\]/)
    if (!RSTART) exit 1
    count[path " 2015-05-" substr($0, RSTART + 1, 2) " " substr($0, RSTART + 13, 2)]++
}
END { for (key in count) print key, count[key] }
"#;

fn independent_count() -> Counts {
    let mut unpacking = std::process::Command::new("gzip").args(["-dc", LOG]).stdout(Stdio::piped()).spawn().unwrap();
    let log = unpacking.stdout.take().unwrap();
    let output = std::process::Command::new("awk").arg(AWK).stdin(log).output().unwrap();
    assert!(output.status.success() && unpacking.wait().unwrap().success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let date: NaiveDate = fields[1].parse().unwrap();
            ((fields[0].to_owned(), date, fields[2].parse().unwrap()), fields[3].parse().unwrap())
        })
        .collect()
}

async fn import_counts_a_real_log_exactly_and_once(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let summary = process::succeed(&database, &["import", LOG, "--include-bots"]);
    assert_snapshot("import", &summary.replace(LOG, "access.log.gz"));
    process::succeed(&database, &["refresh"]);
    let expected = independent_count();
    assert_eq!(expected.values().sum::<i64>(), 2_548);
    assert_eq!(counts(&connection).await, expected);
    assert_eq!(report_rows(&connection).await, model::report(&expected));

    let again = process::succeed(&database, &["import", LOG, "--include-bots"]);
    assert!(again.contains("imported before"), "{again}");
    // The same log under another name, unpacked, by standard input.
    let log = std::process::Command::new("gzip").args(["-dc", LOG]).output().unwrap().stdout;
    let mut importing = process::analytics(&database, &["import", "-", "--include-bots"]);
    let mut importing = importing.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    importing.stdin.take().unwrap().write_all(&log).unwrap();
    let output = importing.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("imported before"));
    process::succeed(&database, &["refresh"]);
    assert_eq!(counts(&connection).await, expected, "nothing was counted twice");

    let other_rules = process::succeed(&database, &["import", LOG]);
    assert!(other_rules.contains("counted                            0"), "{other_rules}");
    assert_eq!(counts(&connection).await, expected);
}

#[tokio::test]
async fn import_counts_a_real_log_exactly_and_once_on_sqlite() {
    import_counts_a_real_log_exactly_and_once(Rung::Sqlite).await;
}

#[tokio::test]
async fn import_counts_a_real_log_exactly_and_once_on_postgres_with_a_materialized_view() {
    import_counts_a_real_log_exactly_and_once(Rung::MaterializedView).await;
}

#[tokio::test]
async fn import_counts_a_real_log_exactly_and_once_on_postgres_with_a_table() {
    import_counts_a_real_log_exactly_and_once(Rung::Table).await;
}

#[tokio::test]
async fn import_skips_bots_and_assets_unless_included() {
    for (arguments, counted) in [
        (&[][..], 1_104),
        (&["--include-bots"], 2_548),
        (&["--include-assets"], 4_079),
        (&["--include-bots", "--include-assets"], 5_713),
    ] {
        let database = TestDatabase::create(Rung::Sqlite).await;
        process::succeed(&database, &[&["import", LOG], arguments].concat());
        let counted_views: i64 = counts(&database.connect().await).await.values().sum();
        assert_eq!(counted_views, counted, "{arguments:?}");
    }
}

#[tokio::test]
async fn import_reports_unreadable_lines() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let good = r#"h - - [17/May/2015:10:05:03 +0200] "GET /a HTTP/1.1" 200 1"#;
    let log = [good, "nonsense", good, r#"h - - [99/May/2015:10:05:03 +0200] "GET /a HTTP/1.1" 200 1"#].join("\n");
    std::fs::write(database.folder.path().join("access.log"), log).unwrap();
    let summary = process::succeed(&database, &["import", "access.log"]);
    let expected = [(("/a".to_owned(), "2015-05-17".parse().unwrap(), 8), 2)];
    assert_eq!(counts(&database.connect().await).await, expected.into(), "in UTC it was two hours earlier");
    assert_snapshot("import_with_unreadable_lines", &summary);
}

/// A page name with a bidirectional control is not counted, and the summary escapes such a name of a file.
#[tokio::test]
async fn import_skips_names_with_bidirectional_controls() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let line = |page: &str| format!("h - - [17/May/2015:10:05:03 +0000] \"GET {page} HTTP/1.1\" 200 1\n");
    let log = [line("/a"), line("/a\u{202e}b"), line("/\u{2069}"), line("/a%E2%80%AEb")].concat();
    std::fs::write(database.folder.path().join("a\u{202e}b.log"), log).unwrap();
    let summary = process::succeed(&database, &["import", "a\u{202e}b.log"]);
    assert!(summary.starts_with("a\\u{202e}b.log\n") && !summary.contains('\u{202e}'), "{summary}");
    let line = summary.lines().find(|line| line.contains("unusable page name")).unwrap();
    assert!(line.ends_with(" 2"), "{summary}");
    let counted: Vec<_> = counts(&database.connect().await).await.into_keys().map(|(page, ..)| page).collect();
    assert_eq!(counted, ["/a", "/a%E2%80%AEb"], "as browsers send it, it is a name like others");
}

#[tokio::test]
async fn missing_log_is_an_error_with_its_name() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let output = process::run(&database, &["import", "nowhere.log"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.log"));
}

/// A line of an access log for each page, a second apart.
fn log_of(day: u32, pages: &[&str]) -> String {
    let line = |page: &&str| format!("h - - [{day:02}/May/2015:10:05:03 +0000] \"GET {page} HTTP/1.1\" 200 1\n");
    pages.iter().map(line).collect()
}

/// Compresses what is read with the command, as rotations do.
fn compressed(command: &[&str], text: &str) -> Vec<u8> {
    let mut child = std::process::Command::new(command[0]);
    let child = child.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn logs_are_read_whatever_compresses_them_and_in_order_of_time() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let folder = database.folder.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let commands: [&[&str]; 5] = [&["cat"], &["gzip", "-c"], &["zstd", "-qc"], &["xz", "-c"], &["bzip2", "-c"]];
    for (day, command) in (1..).zip(commands) {
        // Several members, as rotations that append make them, and the zeros of a tape.
        let page = format!("/{}", command[0]);
        let parts = [log_of(day, &[&page]), log_of(day, &[&page, "/all"])].map(|part| compressed(command, &part));
        let zeros: &[u8] = if command[0] == "cat" { b"" } else { &[0; 512] };
        std::fs::write(folder.join(format!("{}.log", 9 - day)), [&parts.concat(), zeros].concat()).unwrap();
    }
    std::fs::write(folder.join("error.log"), "2015/05/01 10:05:03 [error] 1#1: nothing\n").unwrap();
    let summary = process::succeed(&database, &["import", "logs", "logs/*.log"]);
    let read: Vec<_> = summary.lines().filter(|line| line.starts_with("logs/")).collect();
    assert_eq!(read, ["logs/8.log", "logs/7.log", "logs/6.log", "logs/5.log", "logs/4.log"]);
    assert!(summary.contains("left out: logs/error.log\n"), "{summary}");
    let mut pages = std::collections::BTreeMap::<String, i64>::new();
    for ((page, ..), views) in counts(&database.connect().await).await {
        *pages.entry(page).or_default() += views;
    }
    let expected = [("/all", 5), ("/bzip2", 2), ("/cat", 2), ("/gzip", 2), ("/xz", 2), ("/zstd", 2)];
    assert_eq!(pages, expected.map(|(page, views)| (page.to_owned(), views)).into());
}

#[tokio::test]
async fn what_cannot_be_read_is_said_at_the_end_and_the_others_are_read() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let folder = database.folder.path();
    let cut = compressed(&["gzip", "-c"], &log_of(2, &["/cut"]));
    std::fs::write(folder.join("cut.log"), &cut[..cut.len() - 4]).unwrap();
    std::fs::write(folder.join("a.log"), log_of(1, &["/a"])).unwrap();
    std::fs::write(folder.join("a.zip"), b"PK\x03\x04").unwrap();
    std::fs::write(folder.join("b.log"), log_of(3, &["/b"])).unwrap();
    let output = process::run(&database, &["import", "missing.log", "a.log", "cut.log", "a.zip", "none-*", "b.log"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    for reason in [
        "can't read missing.log: No such file",
        "can't read a.zip: it looks like a ZIP archive",
        "no file matches none-*",
        "can't import cut.log: the file ends within its gzip data",
    ] {
        assert!(errors.contains(reason), "{errors}");
    }
    let counted: Vec<_> = counts(&database.connect().await).await.into_keys().map(|(page, ..)| page).collect();
    assert_eq!(counted, ["/a", "/b", "/cut"], "what could be read counts");
}
