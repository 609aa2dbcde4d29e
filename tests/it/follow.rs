//! `analytics import --follow` and `analytics serve --follow`: what servers write while logs are rotated in every way and
//! the program is killed at any moment. Each written line is a page of its own, which has to be counted once.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use storage::{Database, clock};

use crate::{
    app::{Rung, TestDatabase, counts},
    process::{self, Server},
    proxy::Proxy,
    wait::eventually,
};

const LOG: &str = "access.log";

/// A folder of logs, and the server that writes to them.
struct Site {
    database: TestDatabase,
    connection: Database,
    /// The number of lines that were written.
    lines: usize,
    began_at: DateTime<Utc>,
}

impl Site {
    async fn new(rung: Rung) -> Self {
        let database = TestDatabase::create(rung).await;
        let connection = database.migrate().await;
        fs::create_dir(database.folder.path().join("logs")).unwrap();
        Self { database, connection, lines: 0, began_at: clock::process_now() - TimeDelta::days(1) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.database.folder.path().join("logs").join(name)
    }

    /// Opens a log as a server does.
    fn open(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap()
    }

    /// Returns the next lines, each a second after the one before.
    fn lines(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            let time = self.began_at + TimeDelta::seconds(i64::try_from(self.lines).unwrap());
            let time = time.format("%d/%b/%Y:%H:%M:%S +0000");
            text += &format!("h - - [{time}] \"GET /{} HTTP/1.1\" 200 1\n", self.lines);
            self.lines += 1;
        }
        text
    }

    /// Lets the server write so many lines.
    fn write(&mut self, mut log: &File, count: usize) {
        let lines = self.lines(count);
        log.write_all(lines.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Copies and truncates a log.
    fn copy_and_truncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        OpenOptions::new().write(true).truncate(true).open(self.path(from)).unwrap();
    }

    /// Compresses a log, as rotations do, beside the plain file until it is whole.
    fn compress(&self, name: &str, command: &[&str]) {
        let status = Command::new(command[0]).args(&command[1..]).arg(self.path(name)).status();
        assert!(status.unwrap().success());
    }

    /// The numbers of lines that are counted, with their counts.
    async fn counted(&self) -> BTreeMap<usize, i64> {
        let mut counted = BTreeMap::new();
        for ((page, ..), views) in counts(&self.connection).await {
            *counted.entry(page[1..].parse().unwrap()).or_default() += views;
        }
        counted
    }

    /// Waits until the lines but those in `except` are counted, and checks that each is counted once.
    async fn all_but_are_counted(&self, what: &str, except: &[usize]) {
        let expected: BTreeMap<_, _> =
            (0..self.lines).filter(|line| !except.contains(line)).map(|line| (line, 1)).collect();
        eventually(&format!("all lines to be counted: {what}"), async || {
            let counted = self.counted().await;
            let wrong: Vec<_> = counted.iter().filter(|(line, views)| expected.get(line) != Some(views)).collect();
            assert!(wrong.is_empty(), "{what}: counted though they should not be, or twice: {wrong:?}");
            counted.len() == expected.len()
        })
        .await;
    }

    async fn all_are_counted(&self, what: &str) {
        self.all_but_are_counted(what, &[]).await;
    }

    fn follow(&self, arguments: &[&str]) -> Follower {
        Follower::start(&self.database, arguments)
    }

    fn follow_log(&self) -> Follower {
        self.follow(&["logs/access.log"])
    }
}

/// A process that follows; killed when it is dropped.
struct Follower(Option<Child>);

impl Follower {
    fn start(database: &TestDatabase, arguments: &[&str]) -> Self {
        let mut command = process::analytics(database, &["import", "--follow"]);
        let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    /// Ends it with SIGKILL.
    fn kill(&mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends it with a signal that it can answer, and returns its output.
    fn stop(mut self, signal: &str) -> Output {
        let child = self.0.take().unwrap();
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

async fn log_that_grows_at_any_byte_is_counted_line_by_line(rung: Rung) {
    let mut site = Site::new(rung).await;
    let mut log = site.open(LOG);
    let _follower = site.follow_log();
    for (count, cut) in [(1, 5), (3, 60), (200, 7_001), (2, 1)] {
        let lines = site.lines(count);
        let (before, behind) = lines.split_at(cut);
        log.write_all(before.as_bytes()).unwrap();
        let is_whole = |line: &usize| !before.contains(&format!("/{line} HTTP/1.1\" 200 1\n"));
        let not_yet: Vec<_> = (site.lines - count..site.lines).filter(is_whole).collect();
        site.all_but_are_counted("the whole ones", &not_yet).await;
        log.write_all(behind.as_bytes()).unwrap();
        site.all_are_counted("the rest of the last line").await;
    }
}

#[tokio::test]
async fn log_that_grows_at_any_byte_is_counted_line_by_line_on_sqlite() {
    log_that_grows_at_any_byte_is_counted_line_by_line(Rung::Sqlite).await;
}

#[tokio::test]
async fn log_that_grows_at_any_byte_is_counted_line_by_line_on_postgres() {
    log_that_grows_at_any_byte_is_counted_line_by_line(Rung::Table).await;
}

#[tokio::test]
async fn renamed_log_is_read_on_while_the_server_still_writes_to_it() {
    let mut site = Site::new(Rung::Sqlite).await;
    let old = site.open(LOG);
    site.write(&old, 3);
    let _follower = site.follow_log();
    site.all_are_counted("before the rotation").await;
    site.rename(LOG, "access.log.1");
    site.write(&old, 2);
    site.all_are_counted("while there is no new log").await;
    let new = site.open(LOG);
    for _ in 0..2 {
        site.write(&new, 2);
        site.write(&old, 2);
        site.all_are_counted("both").await;
    }
    // Rotated again, and the first one compressed.
    site.compress("access.log.1", &["gzip"]);
    site.rename("access.log.1.gz", "access.log.2.gz");
    site.rename(LOG, "access.log.1");
    let newest = site.open(LOG);
    site.write(&newest, 1);
    site.write(&new, 1);
    site.all_are_counted("after the second rotation").await;
}

#[tokio::test]
async fn lines_in_the_copy_of_a_truncated_log_are_counted() {
    let mut site = Site::new(Rung::Sqlite).await;
    let log = site.open(LOG);
    site.write(&log, 3);
    let _follower = site.follow_log();
    site.all_are_counted("before the rotation").await;
    for (before, behind) in [(2, 1), (1, 20), (0, 2), (3, 0)] {
        for number in (1..5).rev() {
            let name = |number| format!("access.log.{number}");
            if site.path(&name(number)).exists() {
                site.rename(&name(number), &name(number + 1));
            }
        }
        site.write(&log, before);
        site.copy_and_truncate(LOG, "access.log.1");
        // So long that the log is longer than before, or not.
        site.write(&log, behind);
        site.all_are_counted(&format!("{before} before and {behind} behind")).await;
    }
}

#[tokio::test]
async fn logs_with_a_date_in_their_names_are_followed_as_they_come() {
    let mut site = Site::new(Rung::Sqlite).await;
    let first = site.open("access-2026-11-25.log");
    site.write(&first, 2);
    let _follower = site.follow(&["logs/access-*.log"]);
    site.all_are_counted("the first day").await;
    let second = site.open("access-2026-11-26.log");
    site.write(&second, 2);
    site.write(&first, 1);
    site.all_are_counted("both days").await;
    site.compress("access-2026-11-25.log", &["zstd", "-q", "--rm"]);
    site.write(&second, 1);
    site.all_are_counted("after the first day was compressed").await;
}

#[tokio::test]
async fn folder_is_followed_with_all_logs_in_it() {
    let mut site = Site::new(Rung::Sqlite).await;
    fs::write(site.path("error.log"), "2015/05/01 10:05:03 [error] 1#1: nothing\n").unwrap();
    let _follower = site.follow(&["logs"]);
    let (one, other) = (site.open("one.log"), site.open("other.log"));
    for _ in 0..2 {
        site.write(&one, 2);
        site.write(&other, 3);
        site.all_are_counted("two logs").await;
    }
    site.copy_and_truncate("one.log", "one.log.1");
    site.write(&one, 1);
    site.compress("one.log.1", &["xz"]);
    site.rename("other.log", "other.log.1");
    site.write(&other, 1);
    site.all_are_counted("after rotations").await;
}

#[tokio::test]
async fn log_that_is_gone_and_comes_back_is_counted_once() {
    let mut site = Site::new(Rung::Sqlite).await;
    let _follower = site.follow_log();
    let log = site.open(LOG);
    site.write(&log, 2);
    site.all_are_counted("a log that came later").await;
    site.rename(LOG, "elsewhere");
    site.write(&log, 1);
    site.all_are_counted("while it is gone").await;
    site.rename("elsewhere", LOG);
    site.write(&log, 1);
    site.all_are_counted("when it is back").await;
    fs::remove_file(site.path(LOG)).unwrap();
    let new = site.open(LOG);
    site.write(&new, 1);
    site.all_are_counted("a new one").await;
}

#[tokio::test]
async fn history_of_a_log_is_not_counted() {
    let mut site = Site::new(Rung::Sqlite).await;
    let (older, old) = (site.open("access.log.2"), site.open("access.log.1"));
    site.write(&older, 2);
    site.write(&old, 2);
    let log = site.open(LOG);
    site.write(&log, 2);
    let _follower = site.follow_log();
    let history = [0, 1, 2, 3];
    site.all_but_are_counted("the log itself", &history).await;
    site.rename("access.log.2", "access.log.5");
    site.rename("access.log.1", "access.log.4");
    site.compress("access.log.4", &["gzip"]);
    // The last lines of each are found by looking at all rotated files. When those of the last one are counted, all that
    // was found with the ones before is.
    for rotated in ["access.log.3", "access.log.2", "access.log.1"] {
        site.write(&log, 1);
        site.copy_and_truncate(LOG, rotated);
        site.write(&log, 1);
        site.all_but_are_counted(rotated, &history).await;
    }
}

async fn killed_follower_goes_on_whatever_happened_meanwhile(rung: Rung) {
    let mut site = Site::new(rung).await;
    let mut log = site.open(LOG);
    site.write(&log, 3);
    let mut follower = site.follow_log();
    site.all_are_counted("before").await;
    for round in 0..6 {
        // What is written just before may have been counted or not.
        site.write(&log, 50);
        follower.kill();
        site.write(&log, 1);
        let rotated = format!("access.log-{round}");
        match round {
            0 => {}
            1 => {
                site.rename(LOG, &rotated);
                log = site.open(LOG);
            }
            2 => {
                site.rename(LOG, &rotated);
                let old = std::mem::replace(&mut log, site.open(LOG));
                site.write(&old, 2);
                site.compress(&rotated, &["zstd", "-q", "--rm"]);
            }
            3 => site.copy_and_truncate(LOG, &rotated),
            4 => {
                // Twice, so that one file was never seen.
                for part in ["a", "b"] {
                    site.rename(LOG, &format!("{rotated}{}", u8::from(part == "b")));
                    log = site.open(LOG);
                    site.write(&log, 4);
                }
            }
            _ => site.rename(LOG, &rotated),
        }
        follower = site.follow_log();
        site.write(&log, 2);
        site.all_are_counted(&format!("round {round}")).await;
    }
    let output = follower.stop("TERM");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn killed_follower_goes_on_whatever_happened_meanwhile_on_sqlite() {
    killed_follower_goes_on_whatever_happened_meanwhile(Rung::Sqlite).await;
}

#[tokio::test]
async fn killed_follower_goes_on_whatever_happened_meanwhile_on_postgres() {
    killed_follower_goes_on_whatever_happened_meanwhile(Rung::Table).await;
}

#[tokio::test]
async fn logs_are_counted_through_rotations_by_logrotate() {
    let path = format!("{}:/usr/sbin", env::var_os("PATH").unwrap().display());
    for directives in [
        "create; compress; delaycompress",
        "create; compress",
        "copytruncate; compress; delaycompress",
        "copytruncate; compress; compresscmd /usr/bin/zstd; compressoptions -q; compressext .zst",
        "create; dateext; dateformat -%Y%m%d-%s",
    ] {
        let mut site = Site::new(Rung::Sqlite).await;
        let mut log = site.open(LOG);
        site.write(&log, 2);
        let mut follower = site.follow_log();
        site.all_are_counted("before").await;
        let (configuration, state) = (site.path("logrotate.conf"), site.path("logrotate.state"));
        let directives = directives.replace("; ", "\n");
        let log_path = site.path(LOG).display().to_string();
        fs::write(&configuration, format!("{log_path} {{\nrotate 9\n{directives}\n}}\n")).unwrap();
        for round in 0..3 {
            let what = format!("{directives}, round {round}");
            site.write(&log, 3);
            if round == 1 {
                follower.kill();
            }
            let mut rotate = Command::new("logrotate");
            rotate.env("PATH", &path).args(["--force", "--state"]).args([&state, &configuration]);
            let rotated = rotate.output().expect("logrotate is not installed: run tests/run, which installs it");
            assert!(rotated.status.success(), "{what}: {}", String::from_utf8_lossy(&rotated.stderr));
            // Who compresses at once has told the server before: what it writes now is in no file.
            if round != 1 || directives != "create\ncompress" {
                site.write(&log, 1);
            }
            log = site.open(LOG);
            site.write(&log, 2);
            if round == 1 {
                follower = site.follow_log();
            }
            site.all_are_counted(&what).await;
            if directives.contains("%s") {
                // The next one would have to come in another second.
                break;
            }
        }
    }
}

#[tokio::test]
async fn follower_ends_in_order_and_says_what_it_counted() {
    for signal in ["TERM", "INT"] {
        let mut site = Site::new(Rung::Sqlite).await;
        let log = site.open(LOG);
        site.write(&log, 3);
        let follower = site.follow_log();
        site.all_are_counted("before the signal").await;
        let output = follower.stop(signal);
        assert_eq!(output.status.code(), Some(0));
        let summary = String::from_utf8(output.stdout).unwrap();
        assert!(summary.lines().any(|line| line.starts_with("counted ") && line.ends_with(" 3")), "{summary}");
    }
}

#[tokio::test]
async fn progress_is_drawn_on_a_terminal() {
    let mut site = Site::new(Rung::Sqlite).await;
    let log = site.open(LOG);
    site.write(&log, 3);
    let drawn = site.database.folder.path().join("drawn");
    let pid = site.database.folder.path().join("pid");
    let program = env!("CARGO_BIN_EXE_analytics");
    let line = format!("echo $$ > '{}'; exec '{program}' import --follow logs/access.log", pid.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--command", &line]).arg(&drawn).current_dir(site.database.folder.path());
    script.env("DATABASE_URL", &site.database.url).env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null());
    let _follower = OnTerminal { script: script.spawn().expect("script is not installed"), pid };
    let last = (site.began_at + TimeDelta::seconds(4)).format("%Y-%m-%d %H:%M:%S UTC");
    site.all_are_counted("before").await;
    site.write(&log, 2);
    eventually("the progress to be drawn", async || {
        let drawn = String::from_utf8_lossy(&fs::read(&drawn).unwrap_or_default()).into_owned();
        drawn.contains("1 file, 5 lines, ") && drawn.contains(&format!("lines/s, the last view of {last}"))
    })
    .await;
}

/// A process on a terminal that `script` provides. Killing `script` alone would leave it running.
struct OnTerminal {
    script: Child,
    /// The file with the process's id.
    pid: PathBuf,
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(&self.pid) {
            drop(Command::new("kill").args(["-s", "KILL", pid.trim()]).status());
        }
        drop(self.script.kill());
        drop(self.script.wait());
    }
}

#[tokio::test]
async fn two_followers_count_each_line_once() {
    let mut site = Site::new(Rung::Table).await;
    let mut log = site.open(LOG);
    let _followers = [site.follow_log(), site.follow(&["logs"])];
    for round in 0..5 {
        site.write(&log, 500);
        if round == 2 {
            site.rename(LOG, "access.log.1");
            log = site.open(LOG);
        }
        site.write(&log, 1);
        site.all_are_counted(&format!("round {round}")).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_while_the_database_is_away() {
    let mut site = Site::new(Rung::Table).await;
    let proxy = Proxy::start(site.database.server()).await;
    let mut log = site.open(LOG);
    site.write(&log, 2);
    let through = site.database.through(&proxy);
    let path = site.path(LOG);
    let follow = || Follower::start(&through, &[path.to_str().unwrap()]);
    let mut follower = follow();
    site.all_are_counted("before").await;
    for (rotated, is_stopped) in [("access.log.1", false), ("access.log.2", true)] {
        proxy.lead_to("127.0.0.1:1".to_owned());
        proxy.cut();
        site.write(&log, 2);
        site.rename(LOG, rotated);
        log = site.open(LOG);
        site.write(&log, 2);
        if is_stopped {
            // It does not wait for the database.
            let output = std::mem::replace(&mut follower, Follower(None)).stop("TERM");
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        }
        proxy.lead_to(site.database.server());
        if is_stopped {
            follower = follow();
        }
        site.all_are_counted(rotated).await;
    }
}

#[tokio::test]
async fn server_follows_logs_beside_its_services() {
    for rung in [Rung::Sqlite, Rung::Table] {
        let mut site = Site::new(rung).await;
        let log = site.open(LOG);
        site.write(&log, 2);
        let mut server = Server::start(&site.database, &["--follow", "logs/access.log"]);
        site.all_are_counted("by the server").await;
        site.rename(LOG, "access.log.1");
        site.write(&log, 1);
        let new = site.open(LOG);
        site.write(&new, 1);
        site.all_are_counted("after a rotation").await;
        let expected = [
            "analytics_followed_lines_total{result=\"counted\"} 4",
            "analytics_followed_files 2",
            &format!("analytics_followed_last_view_timestamp_seconds {}", site.began_at.timestamp() + 3),
        ];
        eventually("the metrics to tell it", async || {
            let metrics = server.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
            expected.iter().all(|line| metrics.lines().any(|metric| metric == *line))
        })
        .await;
        server.signal("TERM");
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    for (arguments, reason) in [
        (&["import", "--follow", "-"][..], "standard input can't be followed"),
        (&["serve", "--follow", "access.log", "--services", "reports"], "--follow needs the service increments"),
    ] {
        let output = process::run(&database, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(reason), "{arguments:?}: {errors}");
    }
}

/// Something that happens to a log or to its follower.
#[derive(Clone, Debug)]
enum Step {
    /// So many lines are written.
    Lines(usize),
    /// The beginning of a line is written; the next step but `Wait` writes its end first.
    Part(usize),
    /// The log is renamed; the server writes so many lines to it before it opens the new one.
    Rename(usize),
    CopyAndTruncate,
    /// The newest rotated file is compressed.
    Compress(&'static [&'static str]),
    Kill,
    Stop,
    /// Another follower begins, or ends.
    Other,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..40_usize).prop_map(Step::Lines),
        2 => (1..50_usize).prop_map(Step::Part),
        2 => (0..4_usize).prop_map(Step::Rename),
        2 => Just(Step::CopyAndTruncate),
        2 => prop::sample::select(vec![&["gzip"][..], &["zstd", "-q", "--rm"], &["xz"], &["bzip2"]]).prop_map(Step::Compress),
        2 => Just(Step::Kill),
        1 => Just(Step::Stop),
        1 => Just(Step::Other),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 25)
}

/// A site to which steps happen.
struct Random {
    site: Site,
    log: File,
    /// The end of the line whose beginning was written last.
    rest: String,
    rotations: usize,
    is_compressed: bool,
    follower: Option<Follower>,
    other: Option<Follower>,
}

impl Random {
    async fn new(rung: Rung) -> Self {
        let mut site = Site::new(rung).await;
        let log = site.open(LOG);
        site.write(&log, 1);
        let follower = site.follow_log();
        // Without a line that is known, what is beside the log would be its history.
        site.all_are_counted("the first line").await;
        let rest = String::new();
        Self { site, log, rest, rotations: 0, is_compressed: true, follower: Some(follower), other: None }
    }

    fn rotated(&self) -> String {
        format!("access.log-{:03}", self.rotations)
    }

    fn end_line(&mut self) {
        self.log.write_all(std::mem::take(&mut self.rest).as_bytes()).unwrap();
    }

    async fn step(&mut self, step: &Step, what: &str) {
        if !matches!(step, Step::Wait | Step::Kill | Step::Stop) {
            self.end_line();
        }
        match step {
            Step::Lines(count) => self.site.write(&self.log, *count),
            Step::Part(bytes) => {
                let line = self.site.lines(1);
                let (beginning, rest) = line.split_at((*bytes).min(line.len() - 1));
                self.log.write_all(beginning.as_bytes()).unwrap();
                self.rest = rest.to_owned();
            }
            Step::Rename(count) => {
                self.rotations += 1;
                self.is_compressed = false;
                self.site.rename(LOG, &self.rotated());
                self.site.write(&self.log, *count);
                self.log = self.site.open(LOG);
                self.site.write(&self.log, 1);
            }
            Step::CopyAndTruncate => {
                self.rotations += 1;
                self.is_compressed = false;
                self.site.copy_and_truncate(LOG, &self.rotated());
            }
            Step::Compress(command) if !self.is_compressed => {
                self.site.compress(&self.rotated(), command);
                self.is_compressed = true;
            }
            Step::Compress(_) => {}
            Step::Kill => {
                self.follower = None;
                self.follower = Some(self.site.follow_log());
            }
            Step::Stop => {
                let output = self.follower.take().unwrap().stop("TERM");
                // None if the process had not got so far as to wait for signals.
                assert!(matches!(output.status.code(), Some(0) | None), "{what}");
                self.follower = Some(self.site.follow_log());
            }
            Step::Other => {
                self.other = if self.other.is_none() { Some(self.site.follow(&["logs"])) } else { None };
            }
            Step::Wait if self.rest.is_empty() => self.site.all_are_counted(what).await,
            Step::Wait => self.site.all_but_are_counted(what, &[self.site.lines - 1]).await,
        }
    }
}

async fn every_line_is_counted_once_whatever_happens(rung: Rung, seeds: &[u8]) {
    for seed in seeds {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[*seed; 32]);
        let steps = steps().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current();
        let mut random = Random::new(rung).await;
        for (number, step) in steps.iter().enumerate() {
            random.step(step, &format!("{rung:?}, seed {seed}, step {number} of {steps:?}")).await;
        }
        random.end_line();
        let what = format!("{rung:?}, seed {seed}, after {steps:?}");
        random.site.all_are_counted(&what).await;
        // An import of everything there is finds nothing new.
        drop((random.follower.take(), random.other.take()));
        process::succeed(&random.site.database, &["import", "logs"]);
        random.site.all_are_counted(&what).await;
    }
}

#[tokio::test]
async fn every_line_is_counted_once_whatever_happens_on_sqlite() {
    every_line_is_counted_once_whatever_happens(Rung::Sqlite, &[0, 1, 2, 3, 4, 27]).await;
}

#[tokio::test]
async fn every_line_is_counted_once_whatever_happens_on_postgres() {
    every_line_is_counted_once_whatever_happens(Rung::Table, &[100, 101, 102, 103]).await;
}
