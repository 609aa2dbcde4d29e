//! `search` finds the pages whose names or titles contain a text, in the same case or in any, and what is told of them is
//! exact, however many they are.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, TimeDelta, Utc};
use increments::{Increment, Request, Title};
use serde_json::{Value, json};

use crate::{
    app::{TestApp, increment},
    on_all_databases,
    websocket::WebSocket,
};

const FOUND: &str = "query ($pages: PageFilter) { report(filter: { interval: { period: ALL_TIME }, pages: $pages }) {
    totals { pages } pages(first: 1000) { nodes { page } }
} }";
const REPORT: &str = "query ($start: DateTime!, $end: DateTime!, $pages: PageFilter, $first: Int!, $after: String) {
    report(filter: { interval: { range: { start: $start, end: $end } }, timeZone: \"Europe/Berlin\", pages: $pages }) {
        totals { views pages } hours: series(granularity: HOUR) { start views } days: series(granularity: DAY) { views }
        pages(first: $first, after: $after) { nodes { page views } pageInfo { endCursor } }
    } }";
const FIRST: &str = "2026-03-30T00:00:00Z";
/// More than are looked up by name.
const MANY: i64 = 1_010;

/// A view of `page`, which has the title `title` from then on.
pub(crate) fn titled(page: &str, at: DateTime<Utc>, views: i64, title: &str) -> Increment {
    let title = (!title.is_empty()).then(|| Title::new(title.to_owned()).unwrap());
    Increment { title, ..increment(page, at, views) }
}

async fn record(app: &TestApp, increments: Vec<Increment>) {
    app.recorder.record(Request::new(increments, None)).await.unwrap();
    app.refresh().await;
}

fn first() -> DateTime<Utc> {
    FIRST.parse().unwrap()
}

async fn found(app: &TestApp, text: &str, ignore_case: bool) -> Vec<String> {
    let pages = json!({ "search": { "text": text, "ignoreCase": ignore_case } });
    let report = app.data(FOUND, json!({ "pages": pages })).await["report"].take();
    let nodes = report["pages"]["nodes"].as_array().unwrap();
    assert_eq!(report["totals"]["pages"], nodes.len(), "{text}");
    nodes.iter().map(|node| node["page"].as_str().unwrap().to_owned()).collect()
}

/// The longest text of different letters that have another case.
fn many_letters() -> String {
    let letters = ('\u{80}'..='\u{1ffff}').filter(|letter| letter.to_uppercase().ne([*letter]));
    let mut text = String::new();
    for letter in letters {
        if text.len() + letter.len_utf8() > 1_024 {
            break;
        }
        text.push(letter);
    }
    text
}

on_all_databases! {
    async fn search_finds_names_and_titles_in_the_same_case_or_in_any(app: TestApp) {
        let pages = [
            ("/blog/Rust", "Rust für Anfänger"), ("/straße", ""), ("/STRASSE", "Die Große STRAẞE"), ("/οδός", "ΟΔΌΣ/ΑΘΉΝΑ"),
            ("/новости", "Новости дня"), ("/news", "НОВОСТИ"), ("/100%_x", "\u{212a}elvin"), ("/Istanbul", "İSTANBUL"),
            ("/東京", "東京 Guide"), ("/it's", "\"a\\b\""),
        ];
        let increments = (1..).zip(pages).map(|(rank, (page, title))| titled(page, first(), 100 - rank, title)).collect();
        record(&app, increments).await;
        let cases: &[(&str, &[&str], &[&str])] = &[
            // A text, the pages that have it in the same case, and in any.
            ("Rust", &["/blog/Rust"], &["/blog/Rust"]),
            ("RUST", &[], &["/blog/Rust"]),
            ("FÜR", &[], &["/blog/Rust"]),
            ("fur", &[], &[]),
            ("strasse", &[], &["/STRASSE"]),
            ("straße", &["/straße"], &["/straße", "/STRASSE"]),
            ("Straẞe", &[], &["/straße", "/STRASSE"]),
            ("δός", &["/οδός"], &["/οδός"]),
            ("ΔΌΣ/α", &[], &["/οδός"]),
            ("δόσ/α", &[], &["/οδός"]),
            ("новости", &["/новости"], &["/новости", "/news"]),
            ("НОВОСТИ", &["/news"], &["/новости", "/news"]),
            ("ти Д", &[], &["/новости"]),
            ("kelvin", &[], &[]),
            ("\u{212a}ELVIN", &[], &["/100%_x"]),
            ("%_X", &[], &["/100%_x"]),
            ("istanbul", &[], &["/Istanbul"]),
            ("İstanbul", &[], &["/Istanbul"]),
            ("京 g", &[], &["/東京"]),
            ("\\B", &[], &["/it's"]),
            ("T'S", &[], &["/it's"]),
            // Not across the end of a name.
            ("x\u{212a}", &[], &[]),
        ];
        for (text, same, any) in cases {
            assert_eq!(found(&app, text, false).await, *same, "{text}");
            assert_eq!(found(&app, text, true).await, *any, "{text}");
        }
        let text = many_letters();
        assert!(text.chars().count() > 400, "{text}");
        assert_eq!(found(&app, &text, true).await, [""; 0]);
        // A title that changes is found, and the one before is not.
        record(&app, vec![titled("/news", first(), 1, "Ölpreis")]).await;
        assert_eq!(found(&app, "öLPREIS", true).await, ["/news"]);
        assert_eq!(found(&app, "Новости", true).await, ["/новости"]);
    }

    async fn search_is_part_of_queries_by_get_and_of_subscriptions(app: TestApp) {
        record(&app, vec![titled("/a", first(), 3, "Apple"), titled("/b", first(), 4, "Berry")]).await;
        let report = "report(filter: { interval: { period: ALL_TIME }, pages: { search: { text: \"APPLE\" } } }) { totals { views } }";
        let url = format!("http://{}/graphql", app.address);
        let answer = app.client.get(url).query(&[("query", format!("{{ {report} }}"))]).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["data"]["report"]["totals"]["views"], 3);
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe("1", &format!("subscription {{ {report} }}")).await;
        assert_eq!(socket.next().await["payload"]["data"]["report"]["totals"]["views"], 3);
        record(&app, vec![titled("/b", first(), 1, "Apple and berry")]).await;
        let mut next = socket.next().await;
        while next["payload"]["data"]["report"]["totals"]["views"] == 3 {
            next = socket.next().await;
        }
        assert_eq!(next["payload"]["data"]["report"]["totals"]["views"], 8);
    }

    async fn wrong_search_is_an_error_with_its_field(app: TestApp) {
        for (search, message) in [
            (json!({ "text": "" }), "filter.pages.search.text must be 1 to 1024 bytes long, not 0"),
            (json!({ "text": "ä".repeat(513) }), "filter.pages.search.text must be 1 to 1024 bytes long, not 1026"),
            (json!({ "text": "a\u{0}" }), "filter.pages.search.text must not have control characters"),
            (json!({ "text": "a", "ignoreCase": 1 }), "filter.pages.search.ignoreCase must be true or false, not 1"),
            (json!({ "ignoreCase": true }), "filter.pages.search.text must be given"),
        ] {
            let errors = app.errors(FOUND, json!({ "pages": { "search": search } })).await;
            assert_eq!(errors, [("BAD_USER_INPUT".to_owned(), message.to_owned())]);
        }
    }

    async fn more_pages_than_are_looked_up_are_found_exactly(app: TestApp) {
        let mut increments = Vec::new();
        let mut counts: Vec<(String, DateTime<Utc>, i64)> = Vec::new();
        for number in 0..MANY + 400 {
            // Found by their names, by their titles, and not at all.
            let (page, title) = match number {
                0..MANY => (format!("/Many/{number}"), String::new()),
                number if number % 3 == 0 => (format!("/other/{number}"), "Other".to_owned()),
                number => (format!("/titled/{number}"), format!("So MANY of {number}")),
            };
            for view in 0..2 {
                let at = first() + TimeDelta::hours((number * 7 + view * 31) % 100);
                let views = if number % 200 == 1 { 1_000 + number } else { 1 + number % 9 };
                increments.push(titled(&page, at, views, &title));
                if !page.starts_with("/other/") {
                    counts.push((page.clone(), at, views));
                }
            }
        }
        record(&app, increments).await;
        let pages = json!({ "search": { "text": "mANY" } });
        for (start, end) in [(-24, 200), (0, 72), (5, 60), (3, 9), (90, 100)] {
            let (start, end) = (first() + TimeDelta::hours(start), first() + TimeDelta::hours(end));
            let counted: Vec<_> = counts.iter().filter(|(_, at, _)| start <= *at && *at < end).collect();
            let mut by_page: BTreeMap<&str, i64> = BTreeMap::new();
            let mut by_hour: BTreeMap<DateTime<Utc>, i64> = BTreeMap::new();
            for (page, at, views) in counted {
                *by_page.entry(page).or_default() += views;
                *by_hour.entry(*at).or_default() += views;
            }
            let sum: i64 = by_page.values().sum();
            let mut sorted: Vec<_> = by_page.into_iter().collect();
            sorted.sort_by_key(|(page, views)| (Reverse(*views), *page));
            for first in [3, 1_000] {
                let mut variables = json!({ "start": start, "end": end, "pages": pages, "first": first });
                let report = app.data(REPORT, variables.clone()).await["report"].take();
                let context = format!("{start} to {end}, first {first}");
                assert_eq!(report["totals"], json!({ "views": sum, "pages": sorted.len() }), "{context}");
                for point in report["hours"].as_array().unwrap() {
                    let hour = point["start"].as_str().unwrap().parse().unwrap();
                    assert_eq!(point["views"], by_hour.get(&hour).copied().unwrap_or(0), "{context}, {hour}");
                }
                let days = report["days"].as_array().unwrap().iter().map(|day| day["views"].as_i64().unwrap());
                assert_eq!(days.sum::<i64>(), sum, "{context}");
                let list = |report: &Value| report["pages"]["nodes"].as_array().unwrap().clone();
                let mut listed = list(&report);
                variables["after"] = report["pages"]["pageInfo"]["endCursor"].clone();
                listed.extend(list(&app.data(REPORT, variables).await["report"]));
                let expected = sorted.iter().take(2 * first).map(|(page, views)| json!({ "page": page, "views": views }));
                assert_eq!(listed, expected.collect::<Vec<_>>(), "{context}");
            }
        }
    }
}
