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

/// Asserts that each day and month row is the sum of its hour rows, for each page and for the site.
pub(crate) fn assert_adds_up(rows: &Rows) {
    let pages = rows.iter().filter(|((grain, name, ..), _)| *grain == "hour" && !name.is_empty());
    let counts = pages.map(|((_, name, date, hour), views)| ((name.clone(), *date, *hour), *views)).collect();
    assert_eq!(*rows, report(&counts), "the report does not add up");
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
        "combined" => (of["any"].is_null() || is_any(&of["any"])) && !is_any(&of["not"]),
        other => panic!("{other} is no filter of pages"),
    }
}
