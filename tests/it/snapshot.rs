//! Snapshots of whole outputs, in `tests/it/snapshots`. `INSTA_UPDATE=always tests/run --test it NAME` accepts changed
//! ones.

use std::fmt::Write;

use reqwest::Response;
use serde_json::Value;

use crate::architecture::rust_files;

/// Compares `text` with the snapshot `name`. Fails when they differ or there is none.
pub(crate) fn assert_snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The JSON text of `value`, in which the values of all fields named in `redacted` are replaced by their name in
/// brackets, unless they are null.
pub(crate) fn json_text(mut value: Value, redacted: &[&str]) -> String {
    redact(&mut value, redacted);
    serde_json::to_string_pretty(&value).unwrap()
}

fn redact(value: &mut Value, redacted: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if redacted.contains(&name.as_str()) && !value.is_null() {
                    *value = Value::from(format!("[{name}]"));
                } else {
                    redact(value, redacted);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, redacted)),
        _ => {}
    }
}

/// Status, headers and body of a response. Headers that differ from run to run are left out, and so is a long body.
pub(crate) async fn response_text(response: Response) -> String {
    const LEFT_OUT: [&str; 2] = ["date", "content-length"];
    const BODY_BYTES_MAX: usize = 500;
    let mut text = format!("{}\n", response.status());
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap();
        match name.as_str() {
            name if LEFT_OUT.contains(&name) => {}
            "etag" => writeln!(text, "etag: {}", if value.starts_with("W/") { "weak" } else { "strong" }).unwrap(),
            name => writeln!(text, "{name}: {value}").unwrap(),
        }
    }
    let body = response.text().await.unwrap();
    if !body.is_empty() && body.len() <= BODY_BYTES_MAX {
        writeln!(text, "\n{}", body.trim_end()).unwrap();
    }
    text
}

#[test]
fn every_snapshot_is_used() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let sources: String =
        rust_files(&folder).iter().map(|file| std::fs::read_to_string(file).unwrap() + "\n").collect();
    for entry in folder.join("snapshots").read_dir().unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".snap").unwrap_or_else(|| panic!("{file} was not accepted"));
        assert!(sources.contains(&format!("assert_snapshot(\"{name}\"")), "no test has the snapshot {name}");
    }
}
