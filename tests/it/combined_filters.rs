//! Filters that combine others equal a plain model in all that a report tells, and jobs remove what they find.

use std::{cmp::Reverse, collections::BTreeMap};

use ::jobs::{JobRequest, Jobs, PageSelection, Status, Task};
use chrono::{DateTime, TimeDelta, Utc};
use increments::Request;
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    groups,
    model::{declared, is_chosen},
    on_all_databases,
    search::titled,
    websocket::WebSocket,
};

const START: &str = "2026-02-10T05:00:00Z";
const END: &str = "2026-04-20T17:00:00Z";
const REPORT: &str = "query ($pages: PageFilter, $order: PageOrder!, $after: String) { report(filter: {
        interval: { range: { start: \"2026-02-10T05:00:00Z\", end: \"2026-04-20T17:00:00Z\" } }, pages: $pages }) {
    totals { views pages }
    hours: series(granularity: HOUR) { views } days: series(granularity: DAY) { start end views }
    pages(first: 7, after: $after, orderBy: $order) { totalCount nodes { page views previous } pageInfo { endCursor hasNextPage } }
    none: page(name: \"/none\") { views } one: page(name: \"/blog/old/6\") { views }
    sections(first: 100) { nodes { name isPage views pages } }
    previous { views interval { start end } series(granularity: MONTH) { views } }
} }";
const LIVE: &str =
    "subscription ($pages: PageFilter) { report(filter: { interval: { period: ALL_TIME }, pages: $pages }) {
    totals { views pages } } }";

/// Views of a page, by their time.
type Views = Vec<(String, DateTime<Utc>, i64)>;

/// Every third page is a draft by its title.
fn title(page: &str) -> &'static str {
    if page.ends_with(['0', '3', '6', '9']) { "A DRAFT of ä" } else { "" }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn draw(rng: &mut TestRng, end: u32) -> u32 {
    rng.next_u32() % end
}

async fn record(app: &TestApp, rng: &mut TestRng, number: u32) -> Views {
    const FOLDERS: [&str; 5] = ["/blog/", "/blog/old/", "/docs/", "/", "x/%_"];
    let views: Views = (0..number)
        .map(|_| {
            let page = draw(rng, 30);
            let at = time("2025-11-20T00:00:00Z") + TimeDelta::hours(draw(rng, 24 * 160).into());
            (format!("{}{page}", FOLDERS[page as usize % FOLDERS.len()]), at, i64::from(1 + draw(rng, 9)))
        })
        .collect();
    let increments = views.iter().map(|(page, at, views)| titled(page, *at, *views, title(page))).collect();
    app.recorder.record(Request::new(increments, None)).await.unwrap();
    groups::refresh_until_built(app).await;
    views
}

fn condition(rng: &mut TestRng) -> Value {
    let number = draw(rng, 5) as usize;
    let names = ["/blog/0", "/8", "/blog/old/1", "/docs/2", "/none"];
    let [prefixes, parts, texts] = [
        ["/blog/", "/blog/old", "/", "x", "/none"],
        ["1", "old", "%_", "o", "none"],
        ["draft", "Ä", "BLOG", "1", "none"],
    ];
    let declared = ["old", "docs", "short", "but-blog", "docs"];
    match draw(rng, 5) {
        0 => json!({ "names": &names[number..] }),
        1 => json!({ "prefix": prefixes[number] }),
        2 => json!({ "contains": parts[number] }),
        3 => json!({ "group": declared[number] }),
        _ => json!({ "search": { "text": texts[number], "ignoreCase": draw(rng, 3) > 0 } }),
    }
}

fn filter(rng: &mut TestRng) -> Value {
    let mut list = |fewest: u32| -> Vec<Value> { (0..fewest + draw(rng, 3)).map(|_| condition(rng)).collect() };
    let combined = match (list(0), list(0)) {
        (any, not) if any.is_empty() && not.is_empty() => json!({ "not": list(1) }),
        (any, not) if any.is_empty() => json!({ "not": not }),
        (any, not) if not.is_empty() => json!({ "any": any, "not": null }),
        (any, not) => json!({ "any": any, "not": not }),
    };
    json!({ "combined": combined })
}

/// The views by page of those that the filter has, in `[start, end)`.
fn of_pages(views: &Views, pages: &Value, start: DateTime<Utc>, end: DateTime<Utc>) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for (page, at, views) in views {
        if start <= *at && *at < end && is_chosen(pages, page, title(page)) {
            *sums.entry(page.clone()).or_default() += views;
        }
    }
    sums
}

/// Returns the list in this order from its beginning to its end, and the last answer.
async fn list(app: &TestApp, pages: &Value, order: &str) -> (Vec<(String, i64, i64)>, Value) {
    let (mut listed, mut after) = (Vec::new(), Value::Null);
    loop {
        let report = app.data(REPORT, json!({ "pages": pages, "order": order, "after": after })).await["report"].take();
        for node in report["pages"]["nodes"].as_array().unwrap() {
            let number = |field: &str| node[field].as_i64().unwrap();
            listed.push((node["page"].as_str().unwrap().to_owned(), number("views"), number("previous")));
        }
        assert!(listed.len() <= 100, "{order} of {pages} has no end: {listed:?}");
        if report["pages"]["pageInfo"]["hasNextPage"] == false {
            return (listed, report);
        }
        after = report["pages"]["pageInfo"]["endCursor"].clone();
    }
}

async fn check(app: &TestApp, views: &Views, pages: &Value) {
    let (start, end) = (time(START), time(END));
    let sums = of_pages(views, pages, start, end);
    let previous = of_pages(views, pages, start - (end - start), start);
    let of = |sums: &BTreeMap<String, i64>, page: &str| sums.get(page).copied().unwrap_or(0);

    let (mut by_views, report) = list(app, pages, "VIEWS").await;
    let expected = |page: &str| (page.to_owned(), of(&sums, page), of(&previous, page));
    let mut model: Vec<_> = sums.keys().map(|page| expected(page)).collect();
    let (by_name, _) = list(app, pages, "NAME").await;
    assert_eq!(by_name, model, "by name, {pages}");
    model.sort_by_key(|(page, views, _)| (Reverse(*views), page.clone()));
    assert_eq!(by_views, model, "by views, {pages}");
    by_views = list(app, pages, "CHANGE").await.0;
    let all: std::collections::BTreeSet<_> = sums.keys().chain(previous.keys()).collect();
    let mut model: Vec<_> = all.into_iter().map(|page| expected(page)).collect();
    model.sort_by_key(|(page, views, previous)| (Reverse((views - previous).abs()), page.clone()));
    assert_eq!(by_views, model, "by change, {pages}");

    let sum: i64 = sums.values().sum();
    assert_eq!(report["totals"], json!({ "views": sum, "pages": sums.len() }), "{pages}");
    assert_eq!(report["pages"]["totalCount"], sums.len(), "{pages}");
    for point in report["days"].as_array().unwrap() {
        let [start, end] = ["start", "end"].map(|bound| time(point[bound].as_str().unwrap()));
        assert_eq!(point["views"], of_pages(views, pages, start, end).values().sum::<i64>(), "{point} of {pages}");
    }
    let hours = report["hours"].as_array().unwrap().iter().map(|point| point["views"].as_i64().unwrap());
    assert_eq!(hours.sum::<i64>(), sum, "{pages}");
    let other: i64 = previous.values().sum();
    let months = report["previous"]["series"].as_array().unwrap().iter().map(|point| point["views"].as_i64().unwrap());
    assert_eq!((report["previous"]["views"].as_i64(), months.sum::<i64>()), (Some(other), other), "{pages}");
    assert_eq!(report["none"], Value::Null);
    let is_one = is_chosen(pages, "/blog/old/6", title("/blog/old/6"));
    assert_eq!(report["one"].is_object(), is_one, "{pages}");
    let sections = report["sections"]["nodes"].as_array().unwrap();
    let of_sections = sections.iter().map(|section| section["views"].as_i64().unwrap()).sum::<i64>();
    let pages_of_sections = sections.iter().map(|section| section["pages"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((of_sections, pages_of_sections), (sum, sums.len() as u64), "{pages}");
}

on_all_databases! {
    async fn combined_filters_equal_the_model_in_all_that_a_report_tells(app: TestApp) {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[23; 32]);
        groups::declare(&app, &declared()).await;
        let mut views = record(&app, &mut rng, 900).await;
        for _ in 0..25 {
            check(&app, &views, &filter(&mut rng)).await;
        }
        // Lists by proof and by scan, after more was counted.
        views.extend(record(&app, &mut rng, 200).await);
        for pages in [
            json!({ "combined": { "not": [{ "names": ["/blog/old/6"] }] } }),
            json!({ "combined": { "not": [{ "search": { "text": "draft" } }] } }),
            json!({ "combined": { "not": [{ "group": "old" }] } }),
            json!({ "combined": { "any": [{ "group": "short" }, { "names": ["/blog/0"] }], "not": [{ "group": "docs" }] } }),
            json!({ "group": "but-blog" }),
            json!({ "combined": { "any": [{ "prefix": "/blog/" }, { "prefix": "/d" }, { "names": ["/blog/0", "x/%_4"] }] } }),
            json!({ "combined": { "any": [{ "prefix": "/" }, { "prefix": "\u{10ffff}" }], "not": [{ "contains": "1" }] } }),
        ] {
            check(&app, &views, &pages).await;
        }
    }

    async fn subscriber_of_a_combined_filter_gets_its_sums_after_every_refresh(app: TestApp) {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
        let mut views = record(&app, &mut rng, 100).await;
        let pages = json!({ "combined": { "any": [{ "prefix": "/" }], "not": [{ "search": { "text": "draft" } }] } });
        let mut socket = WebSocket::connect(&app.address).await;
        socket.subscribe_with("1", &json!({ "query": LIVE, "variables": { "pages": pages } })).await;
        for _ in 0..3 {
            let sums = of_pages(&views, &pages, DateTime::UNIX_EPOCH, time(END) + TimeDelta::days(60));
            let totals = json!({ "views": sums.values().sum::<i64>(), "pages": sums.len() });
            // The event of an earlier refresh may come first.
            while socket.next().await["payload"]["data"]["report"]["totals"] != totals {}
            views.extend(record(&app, &mut rng, 20).await);
        }
    }

    async fn job_removes_the_pages_of_a_combined_filter(app: TestApp) {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[6; 32]);
        let mut views = record(&app, &mut rng, 300).await;
        let draft = PageSelection::Search { text: "draft".to_owned(), ignore_case: true };
        let names = |name: &str| PageSelection::Names(vec![name.to_owned()]);
        let blog = PageSelection::Prefix("/blog/".to_owned());
        let request = |any: Vec<_>, not| JobRequest {
            task: Task::RemoveViews { pages: Some(PageSelection::Combined { any: Some(any), not }), start: None, end: None },
            reason: None,
            key: None,
        };
        let jobs = Jobs::new(&app.database);
        // A slip of the pen does not remove what was to be kept.
        let refused = jobs.submit(request(vec![blog.clone()], vec![names("/blog/none")])).await;
        assert!(matches!(refused, Err(::jobs::JobError::UnknownPage(name)) if name == "/blog/none"));
        let submitted = jobs.submit(request(vec![blog, names("/8")], vec![draft, names("/blog/5")])).await.unwrap();
        app.refresh().await;
        let done = jobs.find(submitted.job.id).await.unwrap().unwrap();
        assert_eq!(done.status, Status::Done);
        let pages = json!({ "combined": {
            "any": [{ "prefix": "/blog/" }, { "names": ["/8"] }],
            "not": [{ "search": { "text": "draft" } }, { "names": ["/blog/5"] }],
        } });
        let is_removed = |page: &str| is_chosen(&pages, page, title(page));
        let removed: i64 = views.iter().filter(|(page, ..)| is_removed(page)).map(|(.., views)| views).sum();
        assert!(removed > 0);
        assert_eq!(done.views, removed);
        views.retain(|(page, ..)| !is_removed(page));
        check(&app, &views, &json!({ "combined": { "not": [{ "names": [] }] } })).await;
    }
}
