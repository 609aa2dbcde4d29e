//! The report in the plainest way: a sum over all counts.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::Value;

/// Views by page and hour.
pub type Counts = BTreeMap<(&'static str, DateTime<Utc>), i64>;

/// Checks a report without its list of pages; `pages` is the filter's field of that name.
pub fn check(counts: &Counts, pages: &Value, report: &Value) {
    let interval = &report["interval"];
    let (start, end) = (time(&interval["start"]), time(&interval["end"]));
    assert!(start <= end, "{interval}");
    let chosen = views(counts, pages, start, end);
    let sum: i64 = chosen.values().sum();
    let totals = &report["totals"];
    assert_eq!((&totals["views"], &totals["pages"]), (&sum.into(), &chosen.len().into()), "{report}");
    check_previous(counts, pages, report, (start, end));
    check_series(counts, pages, report, (start, end));
}

fn check_previous(counts: &Counts, pages: &Value, report: &Value, (start, end): (DateTime<Utc>, DateTime<Utc>)) {
    let totals = &report["totals"];
    let interval = &totals["previousInterval"];
    for field in ["previous", "comparableViews"] {
        assert_eq!(interval.is_null(), totals[field].is_null(), "{totals}");
    }
    if interval.is_null() {
        assert!(totals["change"].is_null(), "{totals}");
        return;
    }
    let previous: i64 = views(counts, pages, time(&interval["start"]), time(&interval["end"])).values().sum();
    assert_eq!(totals["previous"], previous, "{totals}");
    // Up to the last whole hour of the refresh.
    let until = time(&report["freshness"]["asOf"]).duration_trunc(TimeDelta::hours(1)).unwrap();
    let comparable: i64 = views(counts, pages, start, end.min(until)).values().sum();
    assert_eq!(totals["comparableViews"], comparable, "{totals}");
    assert!(is_ratio(&totals["change"], comparable - previous, previous), "{totals}");
}

/// The buckets fill the interval, and each has the views of its hours.
fn check_series(counts: &Counts, pages: &Value, report: &Value, (start, end): (DateTime<Utc>, DateTime<Utc>)) {
    let series = report["series"].as_array().unwrap();
    assert_eq!(series.is_empty(), start == end, "{report}");
    let mut from = start;
    let mut chosen: BTreeMap<DateTime<Utc>, i64> = BTreeMap::new();
    for ((page, hour), views) in counts {
        if is_chosen(page, pages) {
            *chosen.entry(*hour).or_default() += views;
        }
    }
    for point in series {
        let until = time(&point["end"]);
        assert!(time(&point["start"]) == from && from < until, "{point} does not begin at {from}");
        assert!(point["whole"] == true || from == start || until == end, "{point} is cut in the middle");
        assert_eq!(point["views"], chosen.range(from..until).map(|(_, views)| views).sum::<i64>(), "{point}");
        from = until;
    }
    assert!(series.is_empty() || from == end, "{report}");
}

/// Checks the list of pages, which begins after the first `skipped` pages, and returns its length.
pub fn check_pages(counts: &Counts, pages: &Value, report: &Value, skipped: usize) -> usize {
    let interval = &report["interval"];
    let chosen = views(counts, pages, time(&interval["start"]), time(&interval["end"]));
    let sum: i64 = chosen.values().sum();
    let mut sorted: Vec<_> = chosen.into_iter().collect();
    sorted.sort_by_key(|(page, views)| (Reverse(*views), *page));
    let listed = report["pages"]["nodes"].as_array().unwrap();
    let expected = sorted.get(skipped..).unwrap_or_default();
    assert_eq!(report["pages"]["pageInfo"]["hasNextPage"], expected.len() > listed.len(), "{report}");
    assert!(listed.len() <= expected.len(), "{report}");
    for (node, (page, views)) in listed.iter().zip(expected) {
        assert_eq!((&node["page"], &node["views"]), (&(*page).into(), &(*views).into()), "{report}");
        assert!(is_ratio(&node["share"], *views, sum), "{node} of {sum}");
    }
    listed.len()
}

/// Views by page from `start` up to `end`.
fn views<'a>(counts: &'a Counts, pages: &Value, start: DateTime<Utc>, end: DateTime<Utc>) -> BTreeMap<&'a str, i64> {
    let mut views = BTreeMap::new();
    for ((page, hour), count) in counts {
        if start <= *hour && *hour < end && is_chosen(page, pages) {
            *views.entry(*page).or_default() += count;
        }
    }
    views
}

fn is_chosen(page: &str, pages: &Value) -> bool {
    let text = |part: &str| pages[part].as_str().map(str::to_owned);
    // GraphQL takes one value for a list of one.
    let entries = |list: &'_ Value| match list {
        Value::Null => Vec::new(),
        Value::Array(entries) => entries.clone(),
        one => vec![one.clone()],
    };
    let is_any = |list: &Value| entries(list).iter().any(|condition| is_chosen(page, condition));
    if !pages["names"].is_null() {
        return entries(&pages["names"]).iter().any(|name| name == page);
    }
    let combined = &pages["combined"];
    (combined["any"].is_null() || is_any(&combined["any"]))
        && !is_any(&combined["not"])
        && text("prefix").is_none_or(|prefix| page.starts_with(&prefix))
        && text("contains").is_none_or(|part| page.contains(&part))
        && pages["search"]["text"].as_str().is_none_or(|part| match &pages["search"]["ignoreCase"] {
            Value::Bool(false) => page.contains(part),
            _ => page.to_lowercase().contains(&part.to_lowercase()),
        })
}

/// Compares ratios up to the last digit, which is lost when JSON is read. There is no ratio to zero.
fn is_ratio(value: &Value, part: i64, whole: i64) -> bool {
    if whole == 0 {
        return value.is_null();
    }
    value.as_f64().is_some_and(|value| (value - part as f64 / whole as f64).abs() <= f64::EPSILON * value.abs())
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}
