//! Tells the program which commit it is built from: sets `ANALYTICS_VERSION` to the version, the commit and its date,
//! and `ANALYTICS_BUILT_FROM` to the commit alone. No build needs git.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// The variable that names the commit where there is no repository, such as in the build of an image.
const COMMIT_VARIABLE: &str = "ANALYTICS_COMMIT";
/// The version's addition when the commit can't be found out.
const UNKNOWN_COMMIT: &str = "unknown commit";
/// The version's addition when the sources of the program are not those of the commit.
const CHANGED: &str = ", changed";
/// The sources of the program. A change of anything else is no change of the program.
pub(crate) const SOURCES: [&str; 17] = [
    "Cargo.lock",
    "Cargo.toml",
    "access_logs",
    "api",
    "bench/Cargo.toml",
    "bots",
    "build.rs",
    "counts",
    "entity",
    "import",
    "increments",
    "jobs",
    "migration",
    "reports",
    "src",
    "storage",
    "wolf",
];

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).unwrap_or_default();
    let (folder, version, commit) =
        (variable("CARGO_MANIFEST_DIR"), variable("CARGO_PKG_VERSION"), variable(COMMIT_VARIABLE));
    let lines = instructions(Path::new(&folder), &version.to_string_lossy(), &commit.to_string_lossy(), "git".as_ref());
    io::stdout().write_all(lines.as_bytes())
}

/// Returns the instructions for cargo: the version, and the files whose change makes a new one.
///
/// `commit` is used if it is not empty; otherwise the program `git` is asked about the repository in `folder`.
pub(crate) fn instructions(folder: &Path, version: &str, commit: &str, git: &OsStr) -> String {
    let repository = Repository::open(folder, git);
    let given = commit.lines().next().filter(|commit| !commit.is_empty()).map(str::to_owned);
    let commit = given.or_else(|| repository.as_ref()?.commit());
    let commit = commit.as_deref().unwrap_or(UNKNOWN_COMMIT);
    let watched = repository.iter().flat_map(Repository::watched_files).chain([PathBuf::from("build.rs")]);
    let watched: String = watched.map(|file| format!("cargo:rerun-if-changed={}\n", file.display())).collect();
    format!(
        "cargo:rustc-env=ANALYTICS_VERSION={version} ({commit})\n\
         cargo:rustc-env=ANALYTICS_BUILT_FROM={commit}\n\
         cargo:rerun-if-env-changed={COMMIT_VARIABLE}\n{watched}"
    )
}

/// The repository whose root is `folder`.
struct Repository<'a> {
    folder: &'a Path,
    git: &'a OsStr,
}

impl<'a> Repository<'a> {
    /// Returns `None` without git or a repository, or if `folder` is a part of another repository.
    fn open(folder: &'a Path, git: &'a OsStr) -> Option<Self> {
        let repository = Self { folder, git };
        let root = repository.run(&["rev-parse", "--show-toplevel"])?;
        (fs::canonicalize(root).ok()? == fs::canonicalize(folder).ok()?).then_some(repository)
    }

    /// Returns the hash and the date (UTC) of the commit that is checked out, and whether the sources are others.
    fn commit(&self) -> Option<String> {
        let commit = self.run(&["log", "-1", "--abbrev=9", "--date=format-local:%Y-%m-%d", "--format=%h %cd"])?;
        let status = ["--no-optional-locks", "status", "--porcelain", "--"];
        let changes = self.run(&[&status[..], &SOURCES].concat())?;
        Some(if changes.is_empty() { commit } else { commit + CHANGED })
    }

    /// Returns the files that change when another commit is checked out or made (HEAD, its log, and the branch), and
    /// the sources. Cargo compiles this package again when they change, and none of the other crates.
    fn watched_files(&self) -> Vec<PathBuf> {
        let branch = self.run(&["symbolic-ref", "--quiet", "HEAD"]);
        let names = ["HEAD".to_owned(), "logs/HEAD".to_owned()].into_iter().chain(branch);
        let files = names.filter_map(|name| self.run(&["rev-parse", "--git-path", &name]));
        let all = files.chain(SOURCES.map(str::to_owned)).map(|file| self.folder.join(file));
        all.filter(|file| file.exists()).collect()
    }

    fn run(&self, arguments: &[&str]) -> Option<String> {
        let output =
            Command::new(self.git).arg("-C").arg(self.folder).args(arguments).env("TZ", "UTC").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
