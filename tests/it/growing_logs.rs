//! Logs that grow, are copied, cut, renamed, compressed and imported again: every line counts once.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use sea_orm::ConnectionTrait;
use sha2::{Digest, Sha256};

use crate::{
    app::{Rung, TestDatabase, counts},
    machine_clock::MachineClock,
    process, upgrades,
    wait::pace,
};

/// The number of lines of the chunks in which earlier programs imported.
const EARLIER_CHUNK_LINES: usize = 10_000;

/// A line of a log, with its end.
fn line(page: &str) -> String {
    format!(
        "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET {page} HTTP/1.1\" 200 5 \"-\" \"Mozilla/5.0 (X11) Firefox/120.0\"\n"
    )
}

/// Lines of the pages `/0` to `/9` in turns, numbered from `first`.
fn lines(first: usize, count: usize) -> String {
    (first..first + count).map(|number| line(&format!("/{}?{number}", number % 10))).collect()
}

/// The views by page of the whole lines of `log`.
fn expected(log: &str) -> BTreeMap<String, i64> {
    let mut views = BTreeMap::new();
    for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let target = line.split(' ').nth(6).unwrap();
        *views.entry(target.split('?').next().unwrap().to_owned()).or_default() += 1;
    }
    views
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A database, and logs in its folder.
struct Logs {
    database: TestDatabase,
}

impl Logs {
    async fn new(rung: Rung) -> Self {
        let database = TestDatabase::create(rung).await;
        process::succeed(&database, &["migrate"]);
        Self { database }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.database.folder.path().join(name)
    }

    fn write(&self, name: &str, log: impl AsRef<[u8]>) {
        fs::write(self.path(name), log).unwrap();
    }

    fn import(&self, arguments: &[&str]) -> String {
        process::succeed(&self.database, &[&["import"], arguments].concat())
    }

    async fn views(&self) -> BTreeMap<String, i64> {
        let connection = self.database.connect().await;
        let mut views = BTreeMap::new();
        for ((page, ..), count) in counts(&connection).await {
            *views.entry(page).or_default() += count;
        }
        connection.close().await.unwrap();
        views
    }

    async fn total(&self) -> i64 {
        self.views().await.values().sum()
    }
}

async fn grown_log_counts_what_is_new(rung: Rung) {
    let logs = Logs::new(rung).await;
    let log = lines(0, 25_007);
    // Growth at any place, also within lines, at their ends and over several chunks.
    let line_end = log[..500_000].rfind('\n').unwrap();
    for end in [3, 130, line_end, line_end + 1, line_end + 2, 1_300_001, 1_300_050, log.len() - 1, log.len()] {
        logs.write("access.log", &log[..end]);
        logs.import(&["access.log"]);
        let total = logs.total().await;
        let whole = log[..end].matches('\n').count();
        assert!([whole, whole + 1].contains(&usize::try_from(total).unwrap()), "{total} of {whole} at {end}");
    }
    assert_eq!(logs.views().await, expected(&log));
    let summary = logs.import(&["access.log"]);
    assert!(summary.contains(" 25007, of which 25007 were counted then"), "{summary}");
    assert_eq!(logs.views().await, expected(&log));
}

#[tokio::test]
async fn grown_log_counts_what_is_new_on_sqlite() {
    grown_log_counts_what_is_new(Rung::Sqlite).await;
}

#[tokio::test]
async fn grown_log_counts_what_is_new_on_postgres() {
    grown_log_counts_what_is_new(Rung::Table).await;
}

#[tokio::test]
async fn line_without_its_end_counts_once_when_it_is_whole() {
    let bot = line("/bot").replace("Mozilla/5.0 (X11) Firefox/120.0", "Googlebot/2.1");
    let json = "{\"ts\":1431857103.5,\"request\":{\"method\":\"GET\",\"uri\":\"/json\"},\"status\":200}\n".repeat(2);
    for log in [line("/a"), line("/a") + &line("/b"), line("/a") + &bot, json] {
        let logs = Logs::new(Rung::Sqlite).await;
        let views = i64::try_from(log.matches('\n').count() - log.matches("/bot").count()).unwrap();
        for end in 1..=log.len() {
            // Imports of the same length again change nothing.
            if end % 7 == 0 || end + 4 > log.len() {
                logs.write("access.log", &log[..end]);
                // While nothing can be read yet, the import says so.
                drop(process::run(&logs.database, &["import", "access.log"]));
            }
        }
        logs.import(&["access.log"]);
        assert_eq!(logs.total().await, views, "{log}");
    }
}

#[tokio::test]
async fn last_line_without_an_end_is_announced_while_it_is_not_certain() {
    let logs = Logs::new(Rung::Sqlite).await;
    let log = line("/a") + &line("/b");
    logs.write("access.log", &log[..log.len() - 3]);
    assert!(logs.import(&["access.log"]).contains("The last line has no end yet"));
    assert_eq!(logs.total().await, 1);
    // All that counts is there, but a chunk needs a whole line.
    logs.write("access.log", log.trim_end());
    assert!(logs.import(&["access.log"]).contains("The last line has no end yet"));
    assert_eq!(logs.total().await, 1);
    let log = log + &line("/c") + &line("/d");
    logs.write("access.log", log.trim_end());
    assert!(!logs.import(&["access.log"]).contains("The last line has no end yet"));
    assert_eq!(logs.total().await, 4);
    logs.write("access.log", log + &line("/e"));
    logs.import(&["access.log"]);
    assert_eq!(logs.total().await, 5);
}

#[tokio::test]
async fn what_was_read_of_a_log_that_is_cut_off_counts_once() {
    let logs = Logs::new(Rung::Sqlite).await;
    let log = lines(0, 15_000);
    let packed = gzip(&log);
    logs.write("access.log.gz", &packed[..packed.len() - 100]);
    let output = process::run(&logs.database, &["import", "access.log.gz"]);
    assert_eq!(output.status.code(), Some(1));
    let counted = logs.total().await;
    assert!(counted > 10_000, "not by whole chunks: {counted}");
    logs.write("access.log.gz", packed);
    logs.import(&["access.log.gz"]);
    assert_eq!(logs.views().await, expected(&log));
}

async fn log_is_known_by_its_content(rung: Rung) {
    let logs = Logs::new(rung).await;
    let log = lines(0, 12_345);
    logs.write("access.log", &log[..700_000]);
    logs.import(&["access.log"]);
    logs.write("renamed", gzip(&log));
    logs.import(&["renamed"]);
    assert_eq!(logs.views().await, expected(&log));
    // Whole, in parts, and shorter: as a copy from before it had grown, at any place.
    logs.write("members.gz", [gzip(&log[..1_000]), gzip(&log[1_000..])].concat());
    for end in [60, 130, 5_000, 700_000, 1_000_003, log.len() - 1] {
        logs.write(&format!("copy-{end}"), &log[..end]);
    }
    let summary = logs.import(&["access.log", "members.gz", "copy-*", "renamed"]);
    let counted: Vec<_> = summary.lines().filter_map(|line| line.strip_prefix("counted ")).map(str::trim).collect();
    assert_eq!(counted, ["0"; 9], "{summary}");
    assert_eq!(logs.views().await, expected(&log));
}

/// A copy that was cut off before the end of the first line of a chunk.
#[tokio::test]
async fn copy_that_lacks_the_end_of_its_last_line_is_known() {
    let logs = Logs::new(Rung::Sqlite).await;
    let log = lines(0, 10_002);
    logs.write("access.log", &log);
    logs.import(&["access.log"]);
    for count in [1, 2, 9_999, 10_000, 10_001, 10_002] {
        logs.write("copy", lines(0, count).trim_end());
        let summary = logs.import(&["copy"]);
        assert_eq!(logs.total().await, 10_002, "{count}: {summary}");
    }
}

#[tokio::test]
async fn log_is_known_by_its_content_on_sqlite() {
    log_is_known_by_its_content(Rung::Sqlite).await;
}

#[tokio::test]
async fn log_is_known_by_its_content_on_postgres() {
    log_is_known_by_its_content(Rung::MaterializedView).await;
}

#[tokio::test]
async fn logs_that_begin_with_the_same_lines_are_two_logs() {
    let logs = Logs::new(Rung::Sqlite).await;
    let (one, two) = (lines(0, 500) + &line("/one"), lines(0, 500) + &line("/two") + &lines(0, 20_000));
    logs.write("one.log", &one);
    logs.write("two.log", &two);
    logs.import(&["one.log", "two.log"]);
    logs.import(&["two.log", "one.log"]);
    let (both, of_one, of_two) = (logs.views().await, expected(&one), expected(&two));
    for page in both.keys() {
        let sum = of_one.get(page).copied().unwrap_or_default() + of_two.get(page).copied().unwrap_or_default();
        assert_eq!(both[page], sum, "{page}");
    }
    // One that has grown is found among several that begin alike.
    logs.write("one.log", one.clone() + &line("/three"));
    logs.import(&["one.log"]);
    assert_eq!(logs.total().await, both.values().sum::<i64>() + 1);
}

/// Several imports of a log at once: the chunks of one are the others' known ones.
async fn imports_at_the_same_time_count_a_log_once(rung: Rung) {
    let logs = Logs::new(rung).await;
    let log = lines(0, 150_000);
    logs.write("access.log", &log);
    logs.write("access.log.gz", gzip(&log));
    let import = |name: &str| {
        let mut command = process::analytics(&logs.database, &["import", name]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let imports: Vec<_> = ["access.log", "access.log.gz", "access.log"].map(import).into();
    for import in imports {
        let output = import.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(logs.views().await, expected(&log));
    let list = process::succeed(&logs.database, &["imports"]);
    let counted = list.lines().skip(1).map(|import| import.split_whitespace().nth(4).unwrap().parse::<i64>().unwrap());
    assert_eq!(counted.sum::<i64>(), 150_000, "{list}");
}

#[tokio::test]
async fn imports_at_the_same_time_count_a_log_once_on_sqlite() {
    imports_at_the_same_time_count_a_log_once(Rung::Sqlite).await;
}

#[tokio::test]
async fn imports_at_the_same_time_count_a_log_once_on_postgres() {
    imports_at_the_same_time_count_a_log_once(Rung::Table).await;
}

/// Imports that are killed wherever they are, and begun again.
async fn killed_import_is_continued(rung: Rung) {
    let logs = Logs::new(rung).await;
    let log = lines(0, 100_000);
    logs.write("access.log", &log);
    let mut kills = 0;
    for pause_ms in std::iter::successors(Some(20_u64), |pause_ms| Some(pause_ms + pause_ms.div_ceil(3))) {
        let mut import = process::analytics(&logs.database, &["import", "access.log"]);
        let mut import = import.stdout(Stdio::null()).spawn().unwrap();
        pace(Duration::from_millis(pause_ms)).await;
        let ended = import.try_wait().unwrap();
        drop(import.kill());
        import.wait().unwrap();
        let total = logs.total().await;
        assert_eq!(total % 10_000, 0, "a chunk counts as a whole or not at all");
        if ended.is_some() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 0);
    assert_eq!(logs.views().await, expected(&log));
}

#[tokio::test]
async fn killed_import_is_continued_on_sqlite() {
    killed_import_is_continued(Rung::Sqlite).await;
}

#[tokio::test]
async fn killed_import_is_continued_on_postgres() {
    killed_import_is_continued(Rung::Table).await;
}

/// Writes what earlier programs kept of an imported log.
async fn pretend_import_by_an_earlier_program(logs: &Logs, log: &str) {
    let mut lines = log.split_inclusive('\n').peekable();
    let (mut number, mut read) = (0, String::new());
    let connection = logs.database.connect().await;
    while lines.peek().is_some() {
        lines.by_ref().take(EARLIER_CHUNK_LINES).for_each(|line| read.push_str(line));
        let key: String = Sha256::digest(&read).iter().map(|byte| format!("{byte:02x}")).collect();
        let empty = if logs.database.rung == Rung::Sqlite { "x''" } else { "''::bytea" };
        let sql = format!(
            "INSERT INTO idempotency_keys (key, client, fingerprint, recorded_at, kept, claimed_ms) VALUES ('import:{key}:{number}', '', {empty}, '2026-11-01T00:00:00+00:00', {}, 0)",
            if logs.database.rung == Rung::Sqlite { "1" } else { "true" }
        );
        connection.writers.execute_unprepared(&sql).await.unwrap();
        number += 1;
    }
    connection.close().await.unwrap();
}

async fn log_of_an_earlier_program_is_known(rung: Rung) {
    let log = lines(0, 30_500);
    let (whole_line, in_line) = (log[..2_000_000].rfind('\n').unwrap() + 1, 2_000_033);
    // Whole chunks, a short last one, one whose last line lacked its end or was cut, a first chunk alone, one line.
    for end in [lines(0, 20_000).len(), whole_line, whole_line - 1, in_line, 50_000, line("/0?0").len(), log.len()] {
        let logs = Logs::new(rung).await;
        pretend_import_by_an_earlier_program(&logs, &log[..end]).await;
        let is_whole = log[..end].ends_with('\n') || log[end..].starts_with('\n');
        let before = log[..end].matches('\n').count() + usize::from(is_whole && !log[..end].ends_with('\n'));
        if is_whole {
            logs.write("access.log", &log);
        } else {
            // A part of a line: the log has to be seen once before it grows.
            logs.write("access.log", &log[..end]);
            logs.import(&["access.log"]);
            assert_eq!(logs.total().await, 0, "{end}");
            logs.write("access.log", &log);
        }
        let summary = logs.import(&["access.log"]);
        let new = 30_500 - before;
        assert_eq!(logs.total().await, i64::try_from(new).unwrap(), "{end}: {summary}");
        logs.import(&["access.log"]);
        assert_eq!(logs.total().await, i64::try_from(new).unwrap(), "{end}");
    }
}

/// The log is taken over from an earlier program in two imports, as when the first one is killed; and another log with
/// the same beginning is.
async fn log_of_an_earlier_program_is_taken_over_in_parts(rung: Rung) {
    let logs = Logs::new(rung).await;
    let log = lines(0, 30_500);
    let other = lines(0, 20) + &line("/other").repeat(3);
    pretend_import_by_an_earlier_program(&logs, &log).await;
    pretend_import_by_an_earlier_program(&logs, &other).await;
    for end in [lines(0, 10_000).len(), lines(0, 20_000).len(), log.len()] {
        logs.write("access.log", &log[..end]);
        logs.import(&["access.log"]);
        assert_eq!(logs.total().await, 0, "{end}");
    }
    logs.write("other.log", other + &line("/new"));
    logs.import(&["other.log"]);
    assert_eq!(logs.total().await, 1);
}

#[tokio::test]
async fn log_of_an_earlier_program_is_taken_over_in_parts_on_sqlite() {
    log_of_an_earlier_program_is_taken_over_in_parts(Rung::Sqlite).await;
}

#[tokio::test]
async fn log_of_an_earlier_program_is_taken_over_in_parts_on_postgres() {
    log_of_an_earlier_program_is_taken_over_in_parts(Rung::Table).await;
}

#[tokio::test]
async fn log_of_an_earlier_program_is_known_on_sqlite() {
    log_of_an_earlier_program_is_known(Rung::Sqlite).await;
}

#[tokio::test]
async fn log_of_an_earlier_program_is_known_on_postgres() {
    log_of_an_earlier_program_is_known(Rung::Table).await;
}

#[tokio::test]
async fn log_that_ed8c838_imported_is_continued() {
    for rung in [Rung::Sqlite, Rung::Table] {
        let logs = Logs { database: upgrades::restore(rung).await };
        process::succeed(&logs.database, &["migrate"]);
        let before = logs.total().await;
        let log = fs::read_to_string(format!("{}/access.log", upgrades::FOLDER)).unwrap();
        logs.write("access.log", log.clone() + &line("/new"));
        let summary = logs.import(&["--include-bots", "access.log"]);
        assert!(summary.contains("by an earlier program"), "{summary}");
        assert_eq!(logs.total().await, before + 1, "{summary}");
        logs.import(&["--include-bots", "access.log"]);
        assert_eq!(logs.total().await, before + 1);
    }
}

/// A line that was in the future for the import's clock counts later, when it is asked for.
async fn line_of_the_future_counts_later(rung: Rung) {
    let logs = Logs::new(rung).await;
    let clock = MachineClock::new(logs.database.folder.path(), "import");
    let log = line("/now") + &line("/later").replace("17/May/2015:10:05", "17/May/2015:10:25");
    logs.write("access.log", &log);
    logs.write("second.log", line("/second"));
    let import_at = |time: &str, arguments: &[&str]| {
        let ahead = time.parse::<chrono::DateTime<chrono::Utc>>().unwrap() - storage::clock::process_now();
        clock.set(ahead.num_milliseconds());
        let mut command = process::analytics(&logs.database, &[&["import"], arguments].concat());
        let output = command.envs(clock.environment()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let summary = import_at("2015-05-17T10:10:00Z", &["access.log"]);
    assert!(summary.contains("time in the future"), "{summary}");
    assert_eq!(logs.total().await, 1);
    import_at("2015-05-17T10:30:00Z", &["access.log", "second.log"]);
    assert_eq!(logs.views().await, expected(&(line("/now") + &line("/second"))), "not without being asked");
    let summary = import_at("2015-05-17T10:30:00Z", &["--again", "access.log"]);
    assert!(summary.contains("counted                         1"), "{summary}");
    import_at("2015-05-17T10:30:00Z", &["--again", "access.log"]);
    assert_eq!(logs.views().await, expected(&(log + &line("/second"))));
}

#[tokio::test]
async fn line_of_the_future_counts_later_on_sqlite() {
    line_of_the_future_counts_later(Rung::Sqlite).await;
}

#[tokio::test]
async fn line_of_the_future_counts_later_on_postgres() {
    line_of_the_future_counts_later(Rung::Table).await;
}

/// Other options count more lines only when that is asked for, and what they leave out stays counted.
#[tokio::test]
async fn other_options_count_what_was_left_out_if_asked() {
    let logs = Logs::new(Rung::Sqlite).await;
    let log = [line("/a.png").repeat(10_000), line("/b").repeat(10_000), line("/a.png").repeat(10)].concat();
    logs.write("access.log", &log);
    logs.import(&["access.log"]);
    logs.import(&["access.log", "--include-assets"]);
    assert_eq!(logs.total().await, 10_000);
    let summary = logs.import(&["access.log", "--include-assets", "--again"]);
    assert!(summary.contains("counted                         10010"), "{summary}");
    let summary = logs.import(&["access.log", "--again"]);
    assert!(summary.contains("would be left out now         10010"), "{summary}");
    assert_eq!(logs.total().await, 20_010);
    logs.write("access.log", log + &line("/a.png") + &line("/b"));
    logs.import(&["access.log", "--again"]);
    assert_eq!(logs.total().await, 20_011);
}

#[tokio::test]
async fn imports_are_listed_with_their_logs_options_and_numbers() {
    let logs = Logs::new(Rung::Sqlite).await;
    assert_eq!(process::succeed(&logs.database, &["imports"]).lines().count(), 1);
    logs.write("access.log", line("/a") + &line("/b.css") + "nonsense\n");
    logs.import(&["access.log"]);
    logs.import(&["access.log"]);
    logs.import(&["access.log", "--again", "--include-assets", "--format", "combined"]);
    let list = process::succeed(&logs.database, &["imports"]);
    let imports: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().skip(3).collect()).collect();
    assert_eq!(imports.len(), 3, "an import that finds nothing new leaves no trace: {list}");
    assert_eq!(imports[1], ["3", "1", "1", "1", "access.log"], "{list}");
    assert_eq!(imports[2][..5], ["1", "1", "0", "0", "access.log"], "{list}");
    assert!(list.lines().nth(2).unwrap().ends_with("--include-assets --format 'combined' --again"), "{list}");
}

#[tokio::test]
async fn dry_run_prints_pages_and_reasons_and_records_nothing() {
    let logs = Logs::new(Rung::Sqlite).await;
    let log = [line("/b"), line("/a"), line("/c.css"), line("/a"), line("/d.css"), "nonsense\n".to_owned()].concat();
    logs.write("access.log", &log);
    let printed = logs.import(&["--dry-run", "access.log"]);
    assert!(printed.contains("2 /a\n1 /b\n"), "{printed}");
    assert!(printed.contains("GET /c.css") && !printed.contains("GET /d.css"), "{printed}");
    assert!(printed.contains("unreadable:\nnonsense\n"), "{printed}");
    assert_eq!((logs.total().await, process::succeed(&logs.database, &["imports"]).lines().count()), (0, 1));
    logs.import(&["access.log"]);
    let printed = logs.import(&["--dry-run", "access.log"]);
    assert!(!printed.contains("2 /a"), "what was imported would not be counted: {printed}");
}

#[tokio::test]
async fn log_of_which_nothing_can_be_read_is_an_error_that_says_what_it_looks_like() {
    let logs = Logs::new(Rung::Sqlite).await;
    logs.write("json.log", "{\"level\":\"info\",\"msg\":\"started\"}\n".repeat(3));
    logs.write("text.log", "one\ntwo\n");
    logs.write("access.log", line("/a"));
    for (name, looks_like) in [("json.log", "JSON lines without a path"), ("text.log", "none of the known formats")] {
        let output = process::run(&logs.database, &["import", name, "access.log"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(looks_like) && stderr.contains(name), "{stderr}");
        assert_eq!(logs.total().await, 1, "the other log counts");
    }
    let output = process::run(&logs.database, &["import", "--format", "combined", "text.log"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none of its 2 lines could be read"));
}

#[derive(Clone, Debug)]
enum Step {
    /// The log grows by so many lines, and by a part of one.
    Grow(usize, usize),
    Import,
    /// An import that is killed after so many milliseconds.
    Kill(u64),
    /// The log is renamed, and a new one begins.
    Rotate,
    /// The log is copied, and is empty then.
    CopyAndTruncate,
    Compress,
    /// All logs are imported, in any state.
    ImportAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..400_usize, 0..120_usize).prop_map(|(lines, bytes)| Step::Grow(lines, bytes)),
        1 => (9_000..21_000_usize, 0..120_usize).prop_map(|(lines, bytes)| Step::Grow(lines, bytes)),
        4 => Just(Step::Import),
        2 => (1..120_u64).prop_map(Step::Kill),
        1 => Just(Step::Rotate),
        1 => Just(Step::CopyAndTruncate),
        1 => Just(Step::Compress),
        1 => Just(Step::ImportAll),
    ];
    prop::collection::vec(step, 30)
}

/// Logs that grow and are rotated, and all that is to be counted.
struct Growing {
    logs: Logs,
    /// All lines that were written.
    written: String,
    /// The beginning of the next line, which is in the log already.
    partial: String,
    /// The names of the rotated logs.
    rotated: Vec<String>,
    count: usize,
}

impl Growing {
    async fn step(&mut self, step: &Step) {
        match step {
            Step::Grow(count, bytes) => self.grow(*count, *bytes),
            Step::Import => self.import(&["access.log"], None).await,
            Step::Kill(after_ms) => self.import(&["access.log"], Some(*after_ms)).await,
            Step::Rotate | Step::CopyAndTruncate => {
                // A server writes whole lines; only its system may show a part of them meanwhile.
                self.grow(1, 0);
                let name = format!("access.log.{}", self.rotated.len());
                if matches!(step, Step::Rotate) {
                    fs::rename(self.logs.path("access.log"), self.logs.path(&name)).unwrap();
                } else {
                    fs::copy(self.logs.path("access.log"), self.logs.path(&name)).unwrap();
                }
                self.logs.write("access.log", "");
                self.rotated.push(name);
            }
            Step::Compress => {
                let Some(name) = self.rotated.iter_mut().find(|name| !name.ends_with(".gz")) else { return };
                assert!(Command::new("gzip").arg(self.logs.path(name)).status().unwrap().success());
                name.push_str(".gz");
            }
            Step::ImportAll => self.import_all().await,
        }
    }

    fn grow(&mut self, count: usize, bytes: usize) {
        let mut grown = lines(self.count, count + 1);
        let last = grown[..grown.len() - 1].rfind('\n').map_or(0, |end| end + 1);
        let (whole, next) = (grown[..last].to_owned(), grown.split_off(last));
        self.count += count;
        let partial = if count == 0 && bytes <= self.partial.len() {
            self.partial.clone()
        } else {
            next[..bytes.min(next.len() - 1)].to_owned()
        };
        let text = [&whole, &partial].map(String::as_str).concat();
        let text = &text[self.partial.len()..];
        let mut file = fs::File::options().append(true).create(true).open(self.logs.path("access.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.written.push_str(&whole);
        self.partial = partial;
    }

    async fn import(&self, names: &[&str], kill_after_ms: Option<u64>) {
        let mut import = process::analytics(&self.logs.database, &[&["import"], names].concat());
        let mut import = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if let Some(after_ms) = kill_after_ms {
            pace(Duration::from_millis(after_ms)).await;
            drop(import.kill());
        }
        import.wait().unwrap();
    }

    async fn import_all(&self) {
        let mut names: Vec<_> = self.rotated.iter().map(String::as_str).collect();
        names.push("access.log");
        self.logs.import(&names);
    }
}

/// The views are those of the lines that were written, whatever happened to the logs.
async fn every_line_counts_once_whatever_happens_to_the_logs(rung: Rung) {
    for seed in 0..3_u8 {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let steps = steps().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current();
        let logs = Logs::new(rung).await;
        logs.write("access.log", "");
        let (written, partial) = (String::new(), String::new());
        let mut growing = Growing { logs, written, partial, rotated: Vec::new(), count: 0 };
        for step in &steps {
            growing.step(step).await;
        }
        growing.grow(1, 0);
        growing.import_all().await;
        assert_eq!(growing.logs.views().await, expected(&growing.written), "seed {seed}: {steps:?}");
        growing.import_all().await;
        assert_eq!(growing.logs.views().await, expected(&growing.written), "seed {seed}: {steps:?}");
    }
}

#[tokio::test]
async fn every_line_counts_once_whatever_happens_to_the_logs_on_sqlite() {
    every_line_counts_once_whatever_happens_to_the_logs(Rung::Sqlite).await;
}

#[tokio::test]
async fn every_line_counts_once_whatever_happens_to_the_logs_on_postgres() {
    every_line_counts_once_whatever_happens_to_the_logs(Rung::MaterializedView).await;
}

#[tokio::test]
async fn standard_input_is_known_too() {
    let logs = Logs::new(Rung::Sqlite).await;
    let log = lines(0, 15_000);
    for end in [1_000_000, 300_000, log.len()] {
        let mut import = process::analytics(&logs.database, &["import", "-"]);
        let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(&log.as_bytes()[..end]).unwrap();
        assert!(import.wait().unwrap().success());
    }
    assert_eq!(logs.views().await, expected(&log));
}
