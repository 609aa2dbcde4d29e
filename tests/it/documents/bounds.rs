//! docs/bounds.md and the code: each figure is that of the constant or of the flag's default that stands beside it, and
//! no bound is left out.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::ROOT;

const PAGE: &str = include_str!("../../../docs/bounds.md");
const MIB: i128 = 1024 * 1024;

/// A source file of the product or the benchmarks, without its tests.
struct Source {
    /// The crate's folder and the modules, such as `api`, `http`, `body`.
    modules: Vec<String>,
    text: String,
}

fn sources() -> Vec<Source> {
    fn add(folder: &Path, sources: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["target", "tests", "fuzz", "docs", "node_modules"].contains(&name) && !name.starts_with('.') {
                    add(&path, sources);
                }
            } else if name.ends_with(".rs") || name.ends_with(".sql") {
                let text = fs::read_to_string(&path).unwrap();
                let relative = path.strip_prefix(ROOT).unwrap().with_extension("");
                let parts = relative.iter().map(|part| part.to_str().unwrap().to_owned());
                let modules = parts.filter(|part| !["src", "lib"].contains(&part.as_str())).collect();
                let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                sources.push(Source { modules, text });
            }
        }
    }
    let mut sources = Vec::new();
    add(Path::new(ROOT), &mut sources);
    sources
}

impl Source {
    /// The constants of the file: each name with its type and its value.
    fn constants(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.text.split("const ").skip(1).filter_map(|rest| {
            let (name, rest) = rest.split_once(": ")?;
            let (kind, rest) = rest.split_once(" = ")?;
            let is_name =
                name.chars().all(|character| character.is_ascii_uppercase() || "_0123456789".contains(character));
            is_name.then(|| (name, kind, rest.split(';').next().unwrap()))
        })
    }

    /// The value of a constant, or of a setting in an SQL statement.
    fn value(&self, name: &str) -> Option<&str> {
        let constant = self.constants().find(|(constant, _, _)| *constant == name).map(|(_, _, value)| value);
        let in_sql =
            || self.text.split_once(&format!("SET LOCAL {name} = ")).and_then(|(_, rest)| rest.split(';').next());
        constant.or_else(in_sql)
    }

    /// The default of a field.
    fn default_of(&self, kind: &str, field: &str) -> Option<&str> {
        let (_, default) = self.text.split_once(&format!("impl Default for {kind} {{"))?;
        default.split_once(&format!(" {field}: "))?.1.split(",\n").next()
    }
}

/// Returns the milliseconds of a unit of time.
fn milliseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ms" | "millis" | "milliseconds" => 1,
        "s" | "secs" | "seconds" => 1_000,
        "min" | "minutes" => 60 * 1_000,
        "h" | "hours" => 60 * 60 * 1_000,
        "days" => 24 * 60 * 60 * 1_000,
        _ => return None,
    })
}

/// Computes a constant's value: whole numbers, sums, products and shifts, as a time in milliseconds if it is one.
fn evaluate(expression: &str) -> i128 {
    let expression = expression.trim().trim_end_matches(".unwrap()").replace('_', "");
    let expression = expression.trim_matches(['"', '\'']).trim();
    if let Some((call, rest)) = expression.split_once('(').filter(|(call, _)| call.contains("::")) {
        let inner = evaluate(rest.strip_suffix(')').unwrap());
        let unit = call.rsplit("::").next().unwrap();
        return inner * milliseconds(unit.trim_start_matches("from")).unwrap_or(1);
    }
    let mut depth = 0;
    let mut operators = Vec::new();
    for (at, character) in expression.char_indices() {
        depth += i32::from(character == '(') - i32::from(character == ')');
        let rank = match character {
            '<' if expression[at..].starts_with("<<") => 0,
            '+' | '-' => 1,
            '*' => 2,
            _ => continue,
        };
        operators.extend((depth == 0).then_some((rank, at, character)));
    }
    // The last of those that bind least.
    let Some((_, at, operator)) = operators.into_iter().min_by_key(|(rank, at, _)| (*rank, std::cmp::Reverse(*at)))
    else {
        return match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) => evaluate(inner),
            None => figure(expression).unwrap_or_else(|| panic!("not a value: {expression}")),
        };
    };
    let (left, right) = (evaluate(&expression[..at]), evaluate(expression[at..].trim_start_matches(operator)));
    match operator {
        '<' => left << right,
        '+' => left + right,
        '-' => left - right,
        _ => left * right,
    }
}

/// Reads a figure such as `64 KiB`, `30s` or `1,000`: bytes, milliseconds or a count. None when it has no number.
fn figure(text: &str) -> Option<i128> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != ',').unwrap_or(text.len());
    let number: i128 = text[..end].replace(',', "").parse().ok()?;
    let factor = match text[end..].trim() {
        "" | "bytes" => 1,
        "KiB" => 1_024,
        "MiB" => MIB,
        unit => milliseconds(unit).unwrap_or_else(|| panic!("not a unit: {text}")),
    };
    Some(number * factor)
}

/// Returns the defaults of all flags, by the help of the commands that have bounds among theirs: none where there is
/// none.
fn flags() -> Vec<(String, Option<i128>)> {
    let output = Command::new(env!("CARGO_BIN_EXE_analytics")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let flags = help.split("\n      --").skip(1).map(|flag| {
        let name = flag.split([' ', '\n']).next().unwrap();
        let default = flag.split_once("[default: ").map(|(_, rest)| rest.split(']').next().unwrap());
        (format!("--{name}"), default.and_then(|default| default.parse().ok()))
    });
    flags.collect()
}

/// The rows of the page's tables: what is bounded, the figure, and what sets it.
fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [bound, figure, set_by] = cells[..] else { return None };
        Some((bound, figure, set_by.strip_prefix('`')?.strip_suffix('`')?))
    });
    rows.collect()
}

#[test]
fn every_figure_equals_the_value_in_the_code() {
    let (sources, flags) = (sources(), flags());
    assert!(rows().len() > 150, "{}", rows().len());
    for (bound, written, set_by) in rows() {
        if set_by.starts_with("--") {
            let flag = flags.iter().find(|(flag, _)| flag == set_by);
            let (_, default) = flag.unwrap_or_else(|| panic!("{bound}: there is no {set_by}"));
            assert_eq!(figure(written), *default, "{bound}: {set_by}");
            continue;
        }
        let values: Vec<_> = sources.iter().filter_map(|source| value_in(source, set_by)).collect();
        let [value] = values[..] else { panic!("{bound}: {set_by} is found {} times", values.len()) };
        let unit = if set_by.ends_with("_MIB") { MIB } else { 1 };
        assert_eq!(figure(written), Some(evaluate(value) * unit), "{bound}: {set_by} = {value}");
    }
}

/// The value of what a row names, if it is in this file.
fn value_in<'a>(source: &'a Source, set_by: &str) -> Option<&'a str> {
    if let Some((kind, field)) = set_by.split_once('.') {
        return source.default_of(kind, field);
    }
    let (module, name) = set_by.rsplit_once("::").unwrap_or_else(|| panic!("{set_by}: no module"));
    let module: Vec<_> = module.split("::").collect();
    let is_there = source.modules.iter().map(String::as_str).collect::<Vec<_>>().ends_with(&module);
    is_there.then(|| source.value(name)).flatten()
}

#[test]
fn every_bound_is_documented() {
    let rows = rows();
    let mut checked = BTreeSet::new();
    for source in sources() {
        // The benchmarks bound themselves only; the fuzzed protocol has a model of its own.
        if source.modules[0] == "bench" || source.modules.last().unwrap() == "fuzzing" {
            continue;
        }
        let bounds = source.constants().filter(|(name, kind, _)| name.contains("_MAX") && *kind != "&str");
        for (name, _, _) in bounds {
            let is_written =
                rows.iter().any(|(_, _, set_by)| set_by.ends_with(name) && value_in(&source, set_by).is_some());
            assert!(is_written, "docs/bounds.md lacks {}::{name}", source.modules.join("::"));
            checked.insert((source.modules.clone(), name.to_owned()));
        }
    }
    assert!(checked.len() > 50, "{}", checked.len());
}
