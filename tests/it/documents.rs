//! The documents: their commands work as printed and in the order printed, their links lead somewhere, the files that
//! they name exist, and they are of a size that can be read.

mod bounds;

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::app::{Rung, TestDatabase};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PRELUDE: &str = include_str!("documents/prelude.sh");
const README_LINES_MAX: usize = 150;
const ARCHITECTURE_WORDS_MAX: usize = 2_500;
const COLUMNS_MAX: usize = 120;
/// The pages whose commands are run.
const RUN: [&str; 11] = [
    "README.md",
    "docs/api.md",
    "docs/import.md",
    "docs/export.md",
    "docs/corrections.md",
    "docs/groups.md",
    "docs/log-formats.md",
    "docs/access.md",
    "docs/operations.md",
    "docs/postgresql.md",
    "docs/browser.md",
];
/// The pages whose commands are not run here, and the reason.
const NOT_RUN: [(&str, &str); 8] = [
    ("CONTRIBUTING.md", "they build and test"),
    ("docs/backends.md", "backends.rs runs them"),
    ("docs/backup.md", "backup.rs runs them"),
    ("docs/containers.md", "they need a container engine; containers.rs runs what the files say"),
    ("docs/move.md", "import_of_counts.rs runs them"),
    ("docs/poolers.md", "poolers.rs has the poolers"),
    ("docs/standbys.md", "standbys.rs has the standbys"),
    ("docs/upgrading.md", "upgrades.rs has the older programs"),
];
/// What is there after a build only.
const MADE: &str = "target";
/// What the names of the project's files end in.
const ENDINGS: [&str; 10] = [".rs", ".sql", ".md", ".toml", ".yml", ".cfg", ".graphql", ".mjs", ".sh", ".py"];

/// A code block of a page.
#[derive(Debug)]
struct Block<'a> {
    language: &'a str,
    text: &'a str,
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns the code blocks of a document, in its order.
pub(crate) fn code_blocks(document: &str) -> Vec<(&str, &str)> {
    document.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

/// Returns the paths of all documents: those at the top and those in `docs`.
fn documents() -> Vec<String> {
    fn add(folder: &str, documents: &mut Vec<String>) {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                add(&path, documents);
            } else if path.ends_with(".md") {
                documents.push(path);
            }
        }
    }
    let mut documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    add("docs", &mut documents);
    documents
}

/// Returns a document without its code blocks.
fn prose(document: &str) -> String {
    document.split("```").step_by(2).collect()
}

/// Returns the texts in backticks, joined where a line was broken in them.
fn code_spans(document: &str) -> Vec<String> {
    let paragraphs = prose(document);
    let spans = paragraphs.split("\n\n").flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
    spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Returns the anchors of a document's headings, made as GitHub makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = prose(document);
    let headings =
        headings.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |character: &char| character.is_alphanumeric() || [' ', '-', '_'].contains(character);
    headings.map(|text| text.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_link_in_a_document_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().unwrap();
        let prose = prose(&text);
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() { PathBuf::from(&document) } else { folder.join(file) };
            assert!(Path::new(ROOT).join(&linked).exists(), "{document}: there is no {target}");
            if !anchor.is_empty() {
                let linked = read(linked.to_str().unwrap());
                assert!(anchors(&linked).contains(anchor), "{document}: there is no heading for {target}");
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn every_path_in_backticks_exists() {
    let top_level: BTreeSet<_> =
        fs::read_dir(ROOT).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let (mut checked, mut missing) = (0, Vec::new());
    for document in documents() {
        // It tells of what was there at the time.
        if document == "CHANGELOG.md" {
            continue;
        }
        for span in code_spans(&read(&document)) {
            let is_path =
                !span.starts_with(['/', '.']) && !span.contains([' ', '*', '<', ':', '$', '…', '(', '#', '|']);
            let (first, rest) = span.split_once('/').unwrap_or((&span, ""));
            let is_in_a_folder = top_level.contains(first) && !rest.is_empty();
            let is_file = ENDINGS.iter().any(|ending| span.ends_with(ending));
            if !is_path || first == MADE || !(is_in_a_folder || is_file) {
                continue;
            }
            let folder = Path::new(ROOT).join(&document).parent().unwrap().to_owned();
            let exists = Path::new(ROOT).join(&span).exists() || folder.join(&span).exists();
            missing.extend((!exists).then(|| format!("{document}: {span}")));
            checked += 1;
        }
    }
    assert!(missing.is_empty(), "paths begin at the top of the repository: {missing:#?}");
    assert!(checked > 20, "{checked}");
}

/// Rows of tables and links can't be broken; neither can what a program prints.
#[test]
fn documents_stay_within_their_sizes() {
    assert!(read("README.md").lines().count() <= README_LINES_MAX);
    assert!(read("ARCHITECTURE.md").split_whitespace().count() <= ARCHITECTURE_WORDS_MAX);
    for document in documents() {
        for line in read(&document).lines() {
            let can_be_broken = !line.starts_with(['|', '!', '#']) && line.trim_start().contains(' ');
            assert!(line.chars().count() <= COLUMNS_MAX || !can_be_broken, "{document}: {line}");
        }
    }
}

/// A text without what differs from run to run: times of day, and durations.
fn without_times(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let is_time = word.contains("T") && word.contains("+00:00");
        match (is_time, word.find("\"20")) {
            (true, Some(at)) => format!("{}\"TIME{}", &word[..at], word.rsplit_once("+00:00").unwrap().1),
            _ => word.to_owned(),
        }
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let lines = text
        .lines()
        .map(|line| line.rsplit_once(" in ").filter(|(_, end)| end.ends_with("ms")).map_or(line, |(line, _)| line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces each time in a JSON value by the same text.
fn without_times_in(value: &mut Value) {
    match value {
        Value::String(text) if text.parse::<chrono::DateTime<chrono::Utc>>().is_ok() => *text = "TIME".to_owned(),
        Value::Array(items) => items.iter_mut().for_each(without_times_in),
        Value::Object(fields) => fields.values_mut().for_each(without_times_in),
        _ => {}
    }
}

/// Fails unless `printed` is what the page shows, but for times.
fn assert_is_shown(page: &str, shown: &Block<'_>, printed: &str) {
    if shown.language == "json" {
        let [mut shown, mut printed] = [shown.text, printed]
            .map(|text| serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{page}: {error}: {text}")));
        without_times_in(&mut shown);
        without_times_in(&mut printed);
        assert_eq!(printed, shown, "{page}");
    } else {
        assert_eq!(without_times(printed.trim()), without_times(shown.text.trim()), "{page}");
    }
}

/// Returns a loopback address that no other page and no other run of the tests uses: of the process id, and the page.
fn loopback_address(page: &str) -> Ipv4Addr {
    let page = RUN.iter().position(|run| *run == page).unwrap();
    Ipv4Addr::from_bits(127 << 24 | (std::process::id() & 0xf_ffff) << 4 | u32::try_from(page + 1).unwrap())
}

/// Runs the `sh` blocks of a page, as printed and in one go, in a fresh folder that looks like a checkout after a
/// build. A `json` or `text` block after one is what it prints. Servers listen on a loopback address of the page's own.
fn run_page(page: &str, database: Option<&TestDatabase>) {
    let address = &loopback_address(page).to_string();
    let mut document = read(page).replace("127.0.0.1", address);
    if let Some(database) = database {
        document = document.replace("postgres://USER:PASSWORD@HOST/NAME\n", &format!("'{}'\n", database.url));
    }
    let folder = tempfile::tempdir().unwrap();
    for path in ["target/release", "tests", "output"] {
        fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    let program = folder.path().join("target/release/analytics");
    symlink(env!("CARGO_BIN_EXE_analytics"), &program).unwrap();
    symlink(Path::new(ROOT).join("tests/data"), folder.path().join("tests/data")).unwrap();
    symlink("/bin/true", folder.path().join("tests/run")).unwrap();

    let blocks: Vec<_> = code_blocks(&document).into_iter().map(|(language, text)| Block { language, text }).collect();
    let mut script = PRELUDE.to_owned();
    // README itself puts the program on the PATH.
    if page != "README.md" {
        script += "PATH=\"$PWD/target/release:$PATH\"\n";
    }
    let mut shown = Vec::new();
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
        let after = blocks.get(index + 1).filter(|after| ["json", "text"].contains(&after.language));
        let lines = after.map_or(0, |after| after.text.lines().count());
        script += &format!("LINES_SHOWN={lines}\n{{\n{}\n}} > output/{index}\n", block.text);
        shown.extend(after.map(|after| (index, after)));
    }
    let mut command = Command::new("timeout");
    command.args(["120", "bash", "-c", &script]).current_dir(&folder).env("ADDRESS", address);
    command.env_remove("DATABASE_URL").stdin(Stdio::null());
    // Logins are of the whole cluster, which other tests use too.
    command.env("ANALYTICS_ROLE_PREFIX", "page");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    for (index, after) in shown {
        let printed = fs::read_to_string(folder.path().join(format!("output/{index}")));
        assert_is_shown(page, after, &printed.unwrap_or_else(|_| panic!("{page}: {}: {stderr}", output.status)));
    }
    assert!(output.status.success(), "{page}: {stderr}");
}

#[test]
fn commands_of_every_page_are_run_somewhere() {
    for document in documents() {
        let has_commands = code_blocks(&read(&document)).iter().any(|(language, _)| *language == "sh");
        let is_known = RUN.iter().chain(NOT_RUN.iter().map(|(page, _)| page)).any(|page| *page == document);
        assert_eq!(has_commands, is_known, "{document}");
    }
}

#[test]
fn commands_of_readme_work_in_the_order_printed() {
    run_page("README.md", None);
}

#[test]
fn commands_of_the_api_page_work_in_the_order_printed() {
    run_page("docs/api.md", None);
}

#[test]
fn commands_of_the_import_page_work_in_the_order_printed() {
    run_page("docs/import.md", None);
}

#[test]
fn commands_of_the_export_page_work_in_the_order_printed() {
    run_page("docs/export.md", None);
}

#[test]
fn commands_of_the_access_page_work_in_the_order_printed() {
    run_page("docs/access.md", None);
}

#[test]
fn commands_of_the_corrections_page_work_in_the_order_printed() {
    run_page("docs/corrections.md", None);
}

#[test]
fn commands_of_the_groups_page_work_in_the_order_printed() {
    run_page("docs/groups.md", None);
}

#[test]
fn commands_of_the_browser_page_work_in_the_order_printed() {
    run_page("docs/browser.md", None);
}

#[test]
fn commands_of_the_operations_page_work_in_the_order_printed() {
    run_page("docs/operations.md", None);
}

#[tokio::test]
async fn commands_of_the_postgresql_page_work_in_the_order_printed() {
    let database = TestDatabase::create(Rung::MaterializedView).await;
    run_page("docs/postgresql.md", Some(&database));
}
