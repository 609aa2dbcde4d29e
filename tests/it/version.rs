//! The version that the program tells: that of the package, with the commit and its date.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    app::{Rung, TestDatabase},
    process::{self, Server},
};

#[expect(dead_code, reason = "cargo runs its main function")]
#[path = "../../build.rs"]
mod build_script;

/// The version with the commit, as the build script has set it for this package.
const VERSION: &str = env!("ANALYTICS_VERSION");

#[tokio::test]
async fn version_flag_prints_the_commit_and_its_date() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    for flag in ["--version", "-V"] {
        assert_eq!(process::succeed(&database, &[flag]), format!("analytics {VERSION}\n"));
    }
    let (package, commit) = VERSION.split_once(' ').unwrap();
    assert_eq!(package, env!("CARGO_PKG_VERSION"));
    assert!(commit.starts_with('(') && commit.ends_with(')'), "{commit}");
}

fn instructions(folder: &Path, commit: &str, git: &str) -> Vec<String> {
    let lines = build_script::instructions(folder, "1.2.3", commit, OsStr::new(git));
    lines.lines().map(str::to_owned).collect()
}

fn version(folder: &Path, commit: &str, git: &str) -> String {
    let lines = instructions(folder, commit, git);
    let version = lines[0].strip_prefix("cargo:rustc-env=ANALYTICS_VERSION=").unwrap();
    let commit = lines[1].strip_prefix("cargo:rustc-env=ANALYTICS_BUILT_FROM=").unwrap();
    assert_eq!(version, format!("1.2.3 ({commit})"));
    version.to_owned()
}

/// The files and folders that make cargo run the build script again.
fn watched(folder: &Path) -> Vec<PathBuf> {
    let lines = instructions(folder, "", "git");
    let files = lines.iter().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed="));
    files.filter(|file| *file != "build.rs").map(PathBuf::from).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"];
    let mut command = Command::new("git");
    // In UTC it is still the day before.
    command.args(author).args(arguments).current_dir(folder).env("GIT_COMMITTER_DATE", "2026-01-03T00:30:00+01:00");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with one commit.
fn repository() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["commit", "--quiet", "--allow-empty", "--message=one"]);
    folder
}

#[test]
fn build_in_a_repository_has_the_commit_and_its_date_in_utc() {
    let folder = repository();
    let hash = git(folder.path(), &["rev-parse", "HEAD"]);
    assert_eq!(version(folder.path(), "", "git"), format!("1.2.3 ({} 2026-01-02)", &hash[..9]));
}

/// Cargo runs the build script again if one of these files is newer than its last run.
#[test]
fn every_new_commit_changes_a_watched_file() {
    let folder = repository();
    let contents = |files: &[PathBuf]| -> Vec<_> { files.iter().map(|file| fs::read(file).ok()).collect() };
    for change in [
        &["commit", "--quiet", "--allow-empty", "--message=two"][..],
        &["checkout", "--quiet", "--detach", "HEAD~1"],
        &["checkout", "--quiet", "main"],
        &["pack-refs", "--all"],
        &["commit", "--quiet", "--allow-empty", "--message=three"],
    ] {
        let files = watched(folder.path());
        let before = contents(&files);
        git(folder.path(), change);
        assert!(change[0] == "pack-refs" || contents(&files) != before, "{change:?}");
    }
}

#[test]
fn build_outside_of_its_repository_says_so_unless_the_commit_is_given() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(version(folder.path(), "", "git"), "1.2.3 (unknown commit)");
    assert_eq!(version(folder.path(), "abc 2026-11-26", "git"), "1.2.3 (abc 2026-11-26)");
    // The sources of this package within another project's repository.
    let other = repository();
    fs::create_dir(other.path().join("vendored")).unwrap();
    assert_eq!(version(&other.path().join("vendored"), "", "git"), "1.2.3 (unknown commit)");
    assert_eq!(version(other.path(), "", "/nowhere/git"), "1.2.3 (unknown commit)");
}

/// Sources that are not those of the commit, tracked or new, are told; a change of anything else is none.
#[test]
fn build_from_changed_sources_says_so() {
    let folder = repository();
    let root = folder.path();
    let commit = |text: &str| {
        fs::write(root.join("src/main.rs"), text).unwrap();
        git(root, &["add", "--all"]);
        git(root, &["commit", "--quiet", "--message=sources"]);
        format!("1.2.3 ({} 2026-01-02", git(root, &["rev-parse", "--short=9", "HEAD"]))
    };
    let is = |begin: &str, end: &str| assert_eq!(version(root, "", "git"), format!("{begin}{end}"));
    fs::create_dir_all(root.join("src")).unwrap();
    fs::create_dir_all(root.join("docs")).unwrap();
    fs::write(root.join(".gitignore"), "*.swp\n").unwrap();
    let first = commit("fn main() {}");
    is(&first, ")");
    assert!(watched(root).contains(&root.join("src")), "cargo has to notice a change");
    fs::write(root.join("src/main.rs"), "fn main() { todo!() }").unwrap();
    is(&first, ", changed)");
    git(root, &["add", "--all"]);
    is(&first, ", changed)");
    let second = commit("fn main() { loop {} }");
    is(&second, ")");
    assert_ne!(first, second);
    fs::write(root.join("docs/page.md"), "Not a source.").unwrap();
    fs::write(root.join("src/.main.rs.swp"), "ignored").unwrap();
    is(&second, ")");
    fs::write(root.join("src/new.rs"), "").unwrap();
    is(&second, ", changed)");
    fs::remove_file(root.join("src/new.rs")).unwrap();
    fs::remove_file(root.join("src/main.rs")).unwrap();
    is(&second, ", changed)");
    assert_eq!(version(root, "abc 2026-11-26", "git"), "1.2.3 (abc 2026-11-26)", "what is given is taken");
}

/// What cargo watches is what an image is built of.
#[test]
fn sources_of_the_version_are_those_of_the_image() {
    let ignored = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".dockerignore")).unwrap();
    let mut copied: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    copied.sort_unstable();
    assert_eq!(copied, build_script::SOURCES);
}

#[tokio::test]
async fn metrics_and_log_of_a_server_name_the_commit() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let server = Server::start(&database, &[]);
    let metrics = server.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let (package, commit) = VERSION.split_once(' ').unwrap();
    let line = metrics.lines().find(|line| line.starts_with("analytics_build_info{")).unwrap();
    let commit = commit.trim_matches(['(', ')']);
    assert!(line.contains(&format!(r#"version="{package}""#)), "{line}");
    assert!(line.contains(&format!(r#"commit="{commit}""#)), "{line}");
}

/// The table of symbols is a sixth of the program.
#[test]
fn released_program_has_no_table_of_symbols() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let release = &manifest["profile"]["release"];
    assert_eq!(release["strip"].as_str(), Some("symbols"));
    // A panic ends as an error of one request, and its message names file and line.
    assert!(release.get("panic").is_none());
}
