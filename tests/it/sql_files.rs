//! Where SQL stands, and that it is commented.

use std::path::{Path, PathBuf};

/// The crates whose statements are looked at.
const CRATES: [&str; 6] = ["api", "increments", "migration", "reports", "storage", "wolf"];
/// The most lines of a statement in a Rust file; a longer one has a `.sql` file beside it.
const LINES_MAX: usize = 2;
/// The words that begin a statement.
const STATEMENTS: [&str; 11] =
    ["ALTER", "BEGIN", "CREATE", "DELETE", "DROP", "INSERT", "SAVEPOINT", "SELECT", "SET", "UPDATE", "WITH"];

#[test]
fn statement_of_more_than_two_lines_has_its_own_file() {
    let long = files("rs").into_iter().flat_map(|(path, text)| {
        let literals = literals(&text).into_iter();
        let long = literals.filter(|literal| is_statement(literal) && literal.trim().lines().count() > LINES_MAX);
        long.map(|literal| format!("{}: {literal}", path.display())).collect::<Vec<_>>()
    });
    assert_eq!(long.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_common_table_expression_has_a_comment() {
    let mut count = 0;
    for (path, text) in files("sql") {
        let mut before = "";
        for line in text.lines() {
            // `name AS (`, `name (columns) AS (` and `name AS MATERIALIZED (` at the beginning of a line.
            let of_expression = line.starts_with(|first: char| first.is_ascii_lowercase()) && line.ends_with('(');
            if of_expression && line.contains(" AS ") {
                count += 1;
                assert!(before.starts_with("-- "), "{}: {line} has no comment before it", path.display());
            }
            before = line;
        }
    }
    assert!(count >= 10, "{count} expressions were found");
}

fn is_statement(literal: &str) -> bool {
    let word = literal.split_whitespace().next().unwrap_or_default();
    STATEMENTS.contains(&word)
}

/// Returns the string literals of a Rust file, near enough: raw ones with quotes in them are split.
fn literals(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace(r#"\\"#, "").replace(r#"\""#, "").replace(r#"'"'"#, "");
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the files of the crates' sources with this extension, and their texts.
fn files(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for name in CRATES {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("src"), extension, &mut found);
    }
    assert!(!found.is_empty(), "there are no .{extension} files");
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}
