//! The oracle of the tests: the rows that the report has to have, computed in the plainest way.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde_json::{Value, json};

/// Views by page, date and hour of the day.
pub(crate) type Counts = BTreeMap<(String, NaiveDate, i16), i64>;

/// Views by grain, name, date and hour of the day: the rows of the report.
pub(crate) type Rows = BTreeMap<(&'static str, String, NaiveDate, i16), i64>;

/// The report of `counts`.
pub(crate) fn report(counts: &Counts) -> Rows {
    let mut rows = Rows::new();
    for ((page, date, hour), views) in counts {
        for name in [page.as_str(), ""] {
            for (grain, date, hour) in
                [("hour", *date, *hour), ("day", *date, 0), ("month", date.with_day(1).unwrap(), 0)]
            {
                *rows.entry((grain, name.to_owned(), date, hour)).or_default() += views;
            }
        }
    }
    rows
}

/// Patterns by the names of their groups: paths in which `*` and `?` stand for any part of a name between slashes, `**` at the end
/// for any rest, and `!` at the beginning for what is left out.
pub(crate) type Declared = BTreeMap<String, Vec<String>>;

/// The rows of groups in the report of `counts`: of each group the sums of its pages.
pub(crate) fn groups(counts: &Counts, groups: &Declared) -> Rows {
    let mut rows = Rows::new();
    for (group, patterns) in groups {
        let of_group = |(page, date, hour): &(String, NaiveDate, i16)| {
            is_in(page, patterns).then(|| (group.clone(), *date, *hour))
        };
        let mut sums = Counts::new();
        for (count, views) in counts {
            if let Some(count) = of_group(count) {
                *sums.entry(count).or_default() += views;
            }
        }
        rows.extend(report(&sums).into_iter().filter(|((_, name, ..), _)| !name.is_empty()));
    }
    rows
}

fn is_in(page: &str, patterns: &[String]) -> bool {
    let found = |pattern: &str| matches(page.as_bytes(), pattern.as_bytes());
    patterns.iter().any(|pattern| !pattern.starts_with('!') && found(pattern))
        && !patterns.iter().any(|pattern| pattern.strip_prefix('!').is_some_and(found))
}

fn matches(page: &[u8], pattern: &[u8]) -> bool {
    match (pattern, page) {
        (b"**", _) => true,
        ([b'*', rest @ ..], _) => {
            matches(page, rest) || page.first().is_some_and(|byte| *byte != b'/') && matches(&page[1..], pattern)
        }
        ([b'?', rest @ ..], [byte, page @ ..]) => *byte != b'/' && matches(page, rest),
        ([one, rest @ ..], [other, page @ ..]) => one == other && matches(page, rest),
        ([], []) => true,
        _ => false,
    }
}

/// Asserts that each day and month row is the sum of its hour rows, for each page and for the site.
pub(crate) fn assert_adds_up(rows: &Rows) {
    let pages = rows.iter().filter(|((grain, name, ..), _)| *grain == "hour" && !name.is_empty());
    let counts = pages.map(|((_, name, date, hour), views)| ((name.clone(), *date, *hour), *views)).collect();
    assert_eq!(*rows, report(&counts), "the report does not add up");
}

/// Groups that tests declare whose filters are drawn.
const GROUPS: [(&str, &[&str]); 4] = [
    ("old", &["/blog/old/*"]),
    ("docs", &["/docs/**", "/a/**", "/a"]),
    ("short", &["/*", "x/**"]),
    ("but-blog", &["/**", "!/blog/**"]),
];

/// The groups that filters may have.
pub(crate) fn declared() -> Declared {
    let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    GROUPS.into_iter().map(|(name, patterns)| (name.to_owned(), owned(patterns))).collect()
}

/// Whether the filter `pages` of a report, as in its variables, has the page `name` with this title.
pub(crate) fn is_chosen(pages: &Value, name: &str, title: &str) -> bool {
    let Some((kind, of)) = pages.as_object().and_then(|filter| filter.iter().next()) else { return true };
    let text = || of.as_str().unwrap();
    let is_any = |conditions: &Value| {
        let conditions = conditions.as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| is_chosen(condition, name, title))
    };
    match kind.as_str() {
        "names" => of.as_array().unwrap().iter().any(|one| one == name),
        "prefix" => name.starts_with(text()),
        "contains" => name.contains(text()),
        "search" => {
            let text = of["text"].as_str().unwrap();
            [name, title].iter().any(|has| match of["ignoreCase"] == json!(false) {
                true => has.contains(text),
                false => has.to_lowercase().contains(&text.to_lowercase()),
            })
        }
        "group" => declared().get(text()).is_some_and(|patterns| is_in(name, patterns)),
        "combined" => (of["any"].is_null() || is_any(&of["any"])) && !is_any(&of["not"]),
        other => panic!("{other} is no filter of pages"),
    }
}
