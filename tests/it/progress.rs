//! The progress of commands: drawn on a terminal, and nowhere else.

use std::process::{Command, Stdio};

use crate::{
    app::{Rung, TestDatabase},
    process,
};

/// Runs the command on a terminal, which `script` provides, and returns all that was drawn on it.
fn on_a_terminal(database: &TestDatabase, arguments: &str) -> String {
    let mut command = Command::new("script");
    let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_analytics"));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(database.folder.path());
    command.env("DATABASE_URL", &database.url).env("TERM", "xterm").stdin(Stdio::null());
    let output = command.output().expect("script is not installed");
    let drawn = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments}: {drawn}");
    drawn
}

/// Records one view in each of `hours` hours.
fn import_hours(database: &TestDatabase, hours: u32) {
    let lines = (0..hours).map(|hour| {
        let (day, hour) = (1 + hour.div_euclid(24), hour.rem_euclid(24));
        format!("h - - [{day:02}/May/2015:{hour:02}:05:03 +0000] \"GET /a HTTP/1.1\" 200 1\n")
    });
    std::fs::write(database.folder.path().join("access.log"), lines.collect::<String>()).unwrap();
    process::succeed(database, &["import", "access.log"]);
}

/// Exports and imports the counts.
fn succeed_on_a_terminal_with_counts(database: &TestDatabase) {
    let drawn = on_a_terminal(database, "export counts.csv");
    assert!(drawn.contains("2/2 days") && drawn.contains("exported 30 counts with 30 views"), "{drawn:?}");
    // The counts are those of another database, so that they are new there.
    let drawn = on_a_terminal(database, "import --counts counts.csv --database-url sqlite://other.db");
    assert!(drawn.contains("counts.csv") && drawn.contains("eta"), "{drawn:?}");
}

async fn commands_show_their_progress(rung: Rung) {
    let database = TestDatabase::create(rung).await;
    database.migrate().await;
    import_hours(&database, 30);
    let drawn = on_a_terminal(&database, "refresh");
    if rung == Rung::MaterializedView {
        // One statement refreshes it.
        assert!(drawn.contains("refreshing the report, 0s"), "{drawn:?}");
        assert!(!drawn.contains("/30 stale hours"), "{drawn:?}");
    } else {
        assert!(drawn.contains("0/30 stale hours") && drawn.contains("4/30 stale hours"), "{drawn:?}");
    }
    assert!(drawn.contains("refreshed 30 stale hours"), "{drawn:?}");
    let drawn = on_a_terminal(&database, "verify");
    assert!(drawn.contains("comparing the report with its definition, 0s"), "{drawn:?}");
    assert!(drawn.contains("the report is what its definition says"), "{drawn:?}");
    let drawn = on_a_terminal(&database, "rebuild --as table");
    assert!(drawn.contains("1/1 months"), "{drawn:?}");

    succeed_on_a_terminal_with_counts(&database);

    // A pipe gets the result alone. (A Citus cluster with very many databases warns that some have no maintenance worker.)
    import_hours(&database, 31);
    for arguments in [&["refresh"][..], &["verify"], &["rebuild"]] {
        let output = process::run(&database, &[arguments, &["--log", "error"]].concat());
        let result = String::from_utf8_lossy(&output.stdout).into_owned();
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert_eq!((result.lines().count(), warnings.as_ref()), (1, ""), "{arguments:?}: {result}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_show_their_progress_on_sqlite() {
    commands_show_their_progress(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_show_their_progress_on_postgres_with_a_materialized_view() {
    commands_show_their_progress(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_show_their_progress_on_postgres_with_a_table() {
    commands_show_their_progress(Rung::Table).await;
}
