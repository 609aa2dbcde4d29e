//! Changes of what was counted, by commands.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::{
    app::{Rung, TestDatabase, counts},
    process,
};

const HOUR: &str = "2026-03-01T10:00:00Z";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exit code, and what the command has printed on standard error.
fn refused(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let output = process::run(database, &[arguments, &["--log", "off"]].concat());
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    (output.status.code(), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_is_not_made_unasked_without_a_terminal() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    for arguments in [
        &["pages", "rename", "/a", "/b"][..],
        &["pages", "remove", "/a"],
        &["pages", "remove", "--names-from", "-"],
        &["views", "remove", "--before", HOUR],
        &["views", "correct", "/a", HOUR, "-1", "--reason", "why"],
        &["imports", "undo", "1"],
    ] {
        let (code, message) = refused(&database, arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {message}");
        assert!(message.contains("to go on without being asked: --yes"), "{arguments:?}: {message}");
    }
    assert!(!database.folder.path().join("test.db").exists(), "nothing is done before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_of_changes_are_refused_with_the_reason() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    database.migrate().await;
    let names = |text: &str| {
        let file = database.folder.path().join("names");
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    for (arguments, code, words) in [
        (&["pages", "rename", "/a"][..], 2, "<NEW>"),
        (&["pages", "rename", "", "/b"], 2, "the name must be 1 to 1024 bytes long, not 0"),
        (&["pages", "rename", "/a", "/a"], 1, "a page can't be renamed to itself"),
        (&["pages", "rename", "/none", "/b"], 1, "there is no page \"/none\""),
        (&["pages", "remove"], 2, "--prefix"),
        (&["pages", "remove", "/a", "--prefix", "/b"], 2, "cannot be used with"),
        (&["pages", "remove", "/none"], 1, "there is no page \"/none\""),
        (&["pages", "remove", "/a", "--start", HOUR], 2, "--end"),
        (&["pages", "remove", "--names-from", "nowhere"], 2, "can't read the names from nowhere"),
        (&["views", "remove"], 2, "--before"),
        (&["views", "remove", "--before", "2026-03-01T10:30:00Z"], 2, "it must be a whole hour of UTC"),
        (&["views", "remove", "--start", HOUR], 2, "--end"),
        (&["views", "remove", "--before", HOUR, "--end", HOUR], 2, "cannot be used with"),
        (&["views", "correct", "/a", HOUR, "0", "--reason", "why"], 2, "and not 0"),
        (&["views", "correct", "/a", HOUR, "1"], 2, "a correction needs a reason: --reason TEXT"),
        (&["views", "correct", "/a", HOUR, "1", "--reason", " "], 2, "it must be 1 to 1024 bytes long"),
        (&["views", "correct", "/none", HOUR, "1", "--reason", "why"], 1, "there is no page \"/none\""),
        (&["imports", "undo", "x"], 2, "invalid"),
        (&["imports", "undo", "7"], 1, "there is no import with this id"),
    ] {
        let (found, message) = refused(&database, &[arguments, &["--yes"]].concat());
        assert_eq!(found, Some(code), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
    for (list, words) in [
        ("", "there must be 1 to 1000 names, not 0"),
        ("/a\n\n/\u{1}\n", "line 3: the name must not have control characters"),
        (&"/a\n".repeat(1_001), "there must be 1 to 1000 names, not 1001"),
        (&"x".repeat(2 * 1024 * 1024 + 1), "must be at most 2097152 bytes long"),
    ] {
        let (code, message) = refused(&database, &["pages", "remove", "--names-from", &names(list), "--yes"]);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(process::succeed(&database, &["jobs"]).lines().count(), 1, "nothing was handed over");
}

/// Runs the command, which has to succeed, and returns what it has printed, and logged on every level.
fn change(database: &TestDatabase, arguments: &[&str]) -> (String, String) {
    let output = process::run(database, &[arguments, &["--yes", "--log", "debug"]].concat());
    let log = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {log}");
    (text(&output.stdout), log)
}

async fn commands_change_what_was_counted_and_tell_by_how_much(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    let lines = [("17/May/2015:10", "/old"), ("17/May/2015:10", "/old"), ("18/May/2015:11", "/new")]
        .map(|(time, page)| format!("h - - [{time}:05:03 +0000] \"GET {page} HTTP/1.1\" 200 1\n"));
    std::fs::write(database.folder.path().join("access.log"), lines.concat()).unwrap();
    process::succeed(&database, &["import", "access.log"]);
    let imported = process::succeed(&database, &["imports"]);
    let import = imported.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();

    let mut logs = String::new();
    let mut changed = |arguments: &[&str]| {
        let (printed, log) = change(&database, arguments);
        logs.push_str(&log);
        printed
    };
    assert_eq!(
        changed(&["pages", "rename", "/old", "/new", "--keep-alias"]),
        "/old has 2 views; they are added to the 1 view of /new\n\
         later views of the old name will count for the new one\nmoved 2 views\n"
    );
    assert_eq!(
        changed(&["views", "correct", "/new", "2015-05-17T10:00:00Z", "+40", "--reason", "a lost log"]),
        "/new has 2 views in the hour of 2015-05-17T10:00:00Z; +40\nadded 40 views\n"
    );
    assert_eq!(
        changed(&["views", "correct", "/new", "2015-05-17T10:00:00Z", "-1", "--reason", "a test"]),
        "/new has 42 views in the hour of 2015-05-17T10:00:00Z; -1\ntook away 1 view\n"
    );
    let (code, message) = refused_job(
        &database,
        &["views", "correct", "/new", "2015-05-17T10:00:00Z", "-100", "--reason", "too much", "--yes"],
    );
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("nothing was changed: the page has only 41 views then"), "{message}");
    let printed = changed(&["imports", "undo", &import]);
    assert!(printed.ends_with("has counted 3 views\ntook back 3 views of 1 page\n"), "{printed}");
    let (code, message) = refused(&database, &["imports", "undo", &import, "--yes"]);
    assert_eq!((code, message.contains("this import was undone already")), (Some(1), true), "{message}");
    let listed = process::succeed(&database, &["imports"]);
    assert!(listed.lines().nth(1).unwrap().trim_end().ends_with('Z'), "undone when: {listed}");
    assert_eq!(counts(&connection).await.values().sum::<i64>(), 39);

    // Three ways to choose pages.
    for page in ["/secret/1", "/secret/2", "/b", "/secret/3"] {
        let line = format!("h - - [19/May/2015:10:05:03 +0000] \"GET {page} HTTP/1.1\" 200 1\n");
        std::fs::write(database.folder.path().join(format!("{}.log", page.replace('/', ""))), line).unwrap();
        process::succeed(&database, &["import", &format!("{}.log", page.replace('/', ""))]);
    }
    let removed = |views: u32, pages: &str| {
        format!("{views} views of {pages} will be removed for good\nremoved {views} views of {pages}\n")
    };
    std::fs::write(database.folder.path().join("names"), "/secret/1\n/secret/2\n").unwrap();
    assert_eq!(changed(&["pages", "remove", "--names-from", "names"]), removed(2, "2 pages"));
    assert_eq!(
        changed(&["pages", "remove", "--prefix", "/secret/"]),
        "1 view of 1 page will be removed for good\nremoved 1 view of 1 page\n"
    );
    assert_eq!(
        changed(&["pages", "remove", "/new", "--start", "2015-05-17", "--end", "2015-05-18"]),
        removed(39, "1 page")
    );
    assert_eq!(
        changed(&["views", "remove", "--before", "2026-01-01"]),
        "1 view of 1 page will be removed for good\nremoved 1 view of 1 page\n"
    );
    assert!(counts(&connection).await.is_empty());
    for name in ["/old", "/new", "/secret"] {
        assert!(!logs.contains(name), "{name} is logged");
    }
    let jobs = process::succeed(&database, &["jobs"]);
    let statuses: Vec<_> = jobs.lines().skip(1).map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "done").count(), 8, "{jobs}");
    assert_eq!(statuses.iter().filter(|status| **status == "refused").count(), 1, "{jobs}");
    assert!(jobs.contains("a lost log") && !jobs.contains("/secret"), "{jobs}");
    process::succeed(&database, &["verify"]);
}

/// As [`refused`], of a command that has shown its preview.
fn refused_job(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let output = process::run(database, &[arguments, &["--log", "off"]].concat());
    (output.status.code(), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_change_what_was_counted_and_tell_by_how_much_on_sqlite() {
    commands_change_what_was_counted_and_tell_by_how_much(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_change_what_was_counted_and_tell_by_how_much_on_postgres_with_a_materialized_view() {
    commands_change_what_was_counted_and_tell_by_how_much(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_change_what_was_counted_and_tell_by_how_much_on_postgres_with_a_table() {
    commands_change_what_was_counted_and_tell_by_how_much(Rung::Table).await;
}

/// Runs the command on a terminal, which `script` provides, and types the answer. Returns the exit code, and all that was
/// drawn.
fn on_a_terminal(database: &TestDatabase, arguments: &str, answer: &str) -> (Option<i32>, String) {
    let mut command = Command::new("script");
    let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_analytics"));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(database.folder.path());
    command.env("DATABASE_URL", &database.url).env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("script is not installed");
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    (status.code(), text(&stdout))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_is_made_on_a_terminal_when_yes_is_typed() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let connection = database.migrate().await;
    let line = "h - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1\n";
    std::fs::write(database.folder.path().join("access.log"), line).unwrap();
    process::succeed(&database, &["import", "access.log"]);
    for answer in ["no\n", "\n", "y\n", "yes please\n"] {
        let (code, drawn) = on_a_terminal(&database, "pages remove /a --log warn", answer);
        assert_eq!(code, Some(1), "{answer}: {drawn}");
        assert!(drawn.contains("1 view of 1 page will be removed for good"), "{drawn}");
        assert!(drawn.contains("go on? (yes/no)") && drawn.contains("nothing was changed"), "{drawn}");
    }
    assert_eq!(counts(&connection).await.len(), 1);
    assert_eq!(process::succeed(&database, &["jobs"]).lines().count(), 1);
    let (code, drawn) = on_a_terminal(&database, "pages remove /a --log warn", "yes\n");
    assert_eq!(code, Some(0), "{drawn}");
    assert!(drawn.contains("removed 1 view of 1 page"), "{drawn}");
    assert!(counts(&connection).await.is_empty());
}
