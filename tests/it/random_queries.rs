//! Random queries from the schema: no internal error, no null in a non-null field, no wrong sum.

pub(crate) mod generator;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::Hour;
use serde_json::{Value, json};

use crate::{
    groups,
    model::{Counts, declared, is_chosen},
    on_all_databases,
};
use generator::{Field, Generator, INTROSPECTION, Literal};

const QUERIES: usize = 400;

on_all_databases! {
    async fn random_queries_get_no_internal_error_no_wrong_null_and_no_wrong_sum(app: TestApp) {
        const PAGES: [&str; 7] = ["/a", "/a/b", "/a/c", "/b", "/ä", "/%_x", "/\"quoted\""];
        let schema = app.data(INTROSPECTION, json!({})).await;
        groups::declare(&app, &declared()).await;
        for seed in 0..3_u8 {
            let mut generator = Generator::new(&schema["__schema"], seed);
            let recorded: Vec<_> = (0..400)
                .map(|_| {
                    let at = generator.first() + TimeDelta::hours(generator.draw(0..24 * 500));
                    (*generator.one_of(&PAGES), at.to_rfc3339(), generator.draw(1..100))
                })
                .collect();
            app.record(recorded.iter().map(|(page, at, views)| (*page, at.as_str(), *views))).await;
            groups::refresh_until_built(&app).await;
            let counts = app.counts().await;
            let mut answered = 0;
            for number in 0..QUERIES {
                let fields = generator.query();
                let text = format!("{{ {} }}", generator::print(&fields));
                let answer = app.execute(&text, json!({})).await;
                let context = format!("seed {seed}, query {number}: {text}\n{answer}");
                check_errors(&answer, &context);
                if answer["data"].is_object() {
                    answered += 1;
                    for field in &fields {
                        check(field, &answer["data"][&field.alias], &counts, &context);
                    }
                }
            }
            assert!(answered > QUERIES.div_euclid(4), "only {answered} of {QUERIES} queries were answered");
        }
    }
}

fn check_errors(answer: &Value, context: &str) {
    const ALLOWED: [&str; 5] =
        ["ANSWER_TOO_LARGE", "BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "NOT_FRESH_ENOUGH"];
    for error in answer["errors"].as_array().into_iter().flatten() {
        let code = error["extensions"]["code"].as_str().unwrap_or("none");
        assert!(ALLOWED.contains(&code), "{code}; {context}");
    }
    assert_ne!(answer.get("errors").is_some(), answer["data"].is_object(), "data or errors; {context}");
}

/// Checks that no non-null field is null, and that sums are those of the model.
fn check(field: &Field, value: &Value, counts: &Counts, context: &str) {
    check_nulls(&field.of_type, value, &field.alias, context);
    for value in each(value) {
        for child in &field.children {
            check(child, &value[&child.alias], counts, context);
        }
        if field.name == "report" {
            check_report(field, value, counts, context);
        }
    }
}

fn check_nulls(of_type: &Value, value: &Value, place: &str, context: &str) {
    match of_type["kind"].as_str() {
        Some("NON_NULL") => {
            assert!(!value.is_null(), "{place} is null; {context}");
            check_nulls(&of_type["ofType"], value, place, context);
        }
        Some("LIST") if !value.is_null() => {
            let entries = value.as_array().unwrap_or_else(|| panic!("{place} is no list; {context}"));
            entries.iter().for_each(|entry| check_nulls(&of_type["ofType"], entry, place, context));
        }
        _ => {}
    }
}

/// The value itself, or the entries of a list; nothing if it is null.
fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(entries) => entries.iter().collect(),
        value => vec![value],
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// Views by page in `[start, end)` of the pages that the report's filter chooses.
fn expected(report: &Field, counts: &Counts, start: &Value, end: &Value) -> BTreeMap<String, i64> {
    let filter = report.argument("filter").and_then(|filter| filter.get("pages")).map_or(Value::Null, Literal::to_json);
    expected_of(&filter, counts, start, end)
}

/// The same of the pages that this filter chooses.
fn expected_of(filter: &Value, counts: &Counts, start: &Value, end: &Value) -> BTreeMap<String, i64> {
    let (start, end) = (time(start), time(end));
    let mut pages = BTreeMap::new();
    for ((page, date, hour), views) in counts {
        let at = Hour::new(*date, *hour).start();
        if is_chosen(filter, page, "") && start <= at && at < end {
            *pages.entry(page.clone()).or_default() += views;
        }
    }
    pages
}

/// Checks a group of a report, which has these `pages`.
fn check_group(group: &Field, value: &Value, name: &str, pages: &BTreeMap<String, i64>, context: &str) {
    let sum: i64 = pages.values().sum();
    for alias in group.aliases("name") {
        assert_eq!(value[alias], name, "{context}");
    }
    for child in &group.children {
        let found = &value[&child.alias];
        check_sums(child, found, sum, &format!("{name}: {context}"));
        for number in child.aliases("pages").filter(|_| child.name == "totals") {
            assert_eq!(found[number], pages.len(), "{name}: {context}");
        }
    }
}

/// Checks the views that a report's field tells of all its pages, if it is one that does.
fn check_sums(field: &Field, found: &Value, sum: i64, context: &str) {
    for views in field.aliases("views") {
        match field.name.as_str() {
            "totals" => assert_eq!(found[views], sum, "{context}"),
            "series" => {
                let series: i64 = each(found).iter().map(|point| point[views].as_i64().unwrap()).sum();
                assert_eq!(series, sum, "{context}");
            }
            _ => {}
        }
    }
}

/// Checks a report. The generator selects interval and totals of each report.
fn check_report(report: &Field, value: &Value, counts: &Counts, context: &str) {
    let interval = &value["theInterval"];
    let pages = expected(report, counts, &interval["start"], &interval["end"]);
    let sum: i64 = pages.values().sum();
    assert_eq!(value["theTotals"], json!({ "views": sum, "pages": pages.len() }), "{context}");
    let mut sorted: Vec<_> = pages.into_iter().collect();
    sorted.sort_by(|(a, fewer), (b, more)| more.cmp(fewer).then(a.cmp(b)));
    for child in &report.children {
        let found = &value[&child.alias];
        check_sums(child, found, sum, context);
        match child.name.as_str() {
            "pages" => {
                let listed = child.children.iter().filter(|list| list.name == "nodes").flat_map(|list| {
                    list.aliases("page")
                        .map(move |page| each(&found[&list.alias]).into_iter().map(move |node| &node[page]))
                });
                let order = child.argument("orderBy").and_then(Literal::as_enum).unwrap_or("VIEWS");
                for pages in listed.filter(|_| order != "CHANGE") {
                    let names: Vec<_> = pages.filter_map(Value::as_str).collect();
                    // Without a cursor, which the generator can't know, the list begins at the top.
                    let mut expected: Vec<_> = sorted.iter().map(|(page, _)| page.as_str()).collect();
                    if order == "NAME" {
                        expected.sort_unstable();
                    }
                    expected.truncate(names.len());
                    assert_eq!(names, expected, "{context}");
                }
                for total in child.aliases("totalCount") {
                    assert_eq!(found[total], sorted.len(), "{context}");
                }
            }
            "page" if !found.is_null() => {
                let name = child.argument("name").and_then(Literal::as_text).unwrap();
                let of_page = sorted.iter().find(|(page, _)| page == name).map_or(0, |(_, views)| *views);
                for views in child.aliases("views") {
                    assert_eq!(found[views], of_page, "{context}");
                }
            }
            "sections" => check_sections(child, found, &sorted, context),
            "groups" => {
                let (groups, names) = (each(found), declared().into_keys());
                assert_eq!(groups.len(), names.len(), "{context}");
                for (name, group) in names.zip(groups) {
                    let pages = expected_of(&json!({ "group": name }), counts, &interval["start"], &interval["end"]);
                    check_group(child, group, &name, &pages, context);
                }
            }
            "totals" => check_previous(report, child, found, counts, context),
            _ => {}
        }
    }
}

/// Checks that the listed sections have the views of the pages that their names begin.
fn check_sections(sections: &Field, found: &Value, pages: &[(String, i64)], context: &str) {
    for list in sections.children.iter().filter(|list| list.name == "nodes") {
        let [name, views, is_page] = ["name", "views", "isPage"].map(|part| list.aliases(part).next());
        let (Some(name), Some(views), Some(is_page)) = (name, views, is_page) else { continue };
        for section in each(&found[&list.alias]) {
            let section_name = section[name].as_str().unwrap();
            let is_in = |page: &str| {
                if section[is_page] == true { page == section_name } else { page.starts_with(section_name) }
            };
            let sum: i64 = pages.iter().filter(|(page, _)| is_in(page)).map(|(_, views)| views).sum();
            assert_eq!(section[views], sum, "{section_name}; {context}");
        }
    }
}

fn check_previous(report: &Field, totals: &Field, found: &Value, counts: &Counts, context: &str) {
    let Some(previous) = totals.aliases("previous").next().filter(|_| totals.argument("compareTo").is_some()) else {
        return;
    };
    let interval = totals.children.iter().find(|child| child.name == "previousInterval");
    let (Some(interval), false) = (interval, found[previous].is_null()) else { return };
    let (Some(start), Some(end)) = (interval.aliases("start").next(), interval.aliases("end").next()) else { return };
    let interval = &found[&interval.alias];
    let sum: i64 = expected(report, counts, &interval[start], &interval[end]).values().sum();
    assert_eq!(found[previous], sum, "{context}");
    // Both sides are null, or neither.
    for comparable in totals.aliases("comparableViews") {
        assert!(found[comparable].is_i64(), "{context}");
    }
}
