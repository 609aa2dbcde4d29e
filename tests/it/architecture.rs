//! Rules of the repository: the schema file, the crates' dependencies, the command line's errors, no sleeps in tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[test]
fn schema_file_equals_the_printed_schema() {
    let file = include_str!("../../schema.graphql");
    let output = Command::new(env!("CARGO_BIN_EXE_analytics")).arg("schema").output().unwrap();
    assert_eq!(file, String::from_utf8(output.stdout).unwrap(), "run: cargo run -- schema > schema.graphql");
}

#[test]
fn crates_know_only_what_the_design_says() {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version=1", "--offline"]).output();
    let metadata: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: Vec<_> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let assert_depends_only_on = |name: &str, allowed: &[&str]| {
        let package = packages.iter().find(|package| package["name"] == name).unwrap();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies.map(|dependency| dependency["name"].as_str().unwrap());
        let dependencies: Vec<_> = dependencies.filter(|dependency| ours.contains(dependency)).collect();
        assert_eq!(dependencies, allowed, "{name}");
    };
    assert_depends_only_on("access_logs", &[]);
    assert_depends_only_on("api", &["bots", "counts", "entity", "increments", "jobs", "reports", "storage"]);
    assert_depends_only_on("bots", &[]);
    assert_depends_only_on("counts", &["entity"]);
    assert_depends_only_on("import", &["access_logs", "bots", "counts", "entity", "increments", "storage"]);
    assert_depends_only_on("increments", &["entity", "storage"]);
    assert_depends_only_on("jobs", &["entity", "storage"]);
    assert_depends_only_on("reports", &["counts", "entity", "storage"]);
    assert_depends_only_on("wolf", &["entity", "storage"]);
    assert_depends_only_on("storage", &[]);
    assert_depends_only_on("entity", &[]);
    assert_depends_only_on("migration", &[]);
}

#[test]
fn bad_settings_are_refused_with_the_reason() {
    for (arguments, reason) in [
        (&["--refresh-cron", "* * * * *"][..], "six fields"),
        (&["--refresh-cron", "0 0 0 31 2 *"], "never comes due"),
        (&["--database-url", "mysql://host/db"], "sqlite://"),
        (&["--database-url", "postgres://me:secret@host:port/db"], "can't be read"),
        (&["--queue-increments", "9999"], "9999"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).current_dir(&folder);
        let output = command.env_remove("DATABASE_URL").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

#[test]
fn materialized_view_is_refused_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
    command.args(["refresh", "--report-kind", "materialized-view"]).current_dir(&folder).env_remove("DATABASE_URL");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// All Rust files below a folder.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn tests_sleep_only_in_the_module_that_waits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files = rust_files(&folder);
    assert!(files.len() > 50, "{files:?}");
    for file in files.iter().filter(|file| !file.ends_with("wait.rs") && !file.ends_with("architecture.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for (number, line) in text.lines().enumerate() {
            // A statement of the database may sleep: it is slow then, and that is what a test is about.
            let sleeps = ["time::sleep", "thread::sleep", "sleep_until"].iter().any(|sleep| line.contains(sleep));
            assert!(!sleeps, "{}:{}: wait with tests/it/wait.rs instead", file.display(), number + 1);
        }
    }
}
