//! What a report tells besides sums, series and most viewed pages: the other period, pages in other orders, single pages and
//! sections. All of it equals the model, and is read for all pages of a list at once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use entity::Hour;
use increments::Request;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::{app::TestApp, model::Counts, on_all_databases, search::titled};

const FIRST: &str = "2026-01-20T00:00:00Z";
const PAGES: [&str; 9] =
    ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ä/x", "/pricing", "example.org/", "example.org/blog/post"];

/// Views by page.
type Sums = BTreeMap<String, i64>;

/// Days from `FIRST` on: from and up to.
#[derive(Copy, Clone, Debug)]
struct Days(i64, i64);

impl Days {
    fn length(self) -> i64 {
        self.1 - self.0
    }

    fn before(self) -> Self {
        Self(self.0 - self.length(), self.0)
    }

    fn filter(self, pages: &Value) -> Value {
        let [start, end] = [self.0, self.1].map(|day| (first() + TimeDelta::days(day)).to_rfc3339());
        json!({ "interval": { "range": { "start": start, "end": end } }, "pages": pages })
    }

    fn sums(self, counts: &Counts) -> Sums {
        let [start, end] = [self.0, self.1].map(|day| first() + TimeDelta::days(day));
        sums(counts, start, end)
    }
}

fn first() -> DateTime<Utc> {
    FIRST.parse().unwrap()
}

fn sums(counts: &Counts, start: DateTime<Utc>, end: DateTime<Utc>) -> Sums {
    let mut sums = Sums::new();
    for ((page, date, hour), views) in counts {
        if (start..end).contains(&Hour::new(*date, *hour).start()) {
            *sums.entry(page.clone()).or_default() += views;
        }
    }
    sums
}

/// Records random views in 60 days, sometimes none of a page for long.
async fn record_random_views(app: &TestApp, seed: u8) -> (Counts, TestRunner) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let recorded = (0..300).map(|_| {
        let (page, hour, views) = draw(&mut runner, &(0..PAGES.len(), 0..60 * 24_i64, 1..50_i64));
        // Later pages were viewed later.
        let hour = hour.max(i64::try_from(page).unwrap() * 100);
        titled(PAGES[page], first() + TimeDelta::hours(hour), views, &format!("Title of {}", PAGES[page]))
    });
    app.recorder.record(Request::new(recorded.collect(), None)).await.unwrap();
    app.refresh().await;
    (app.counts().await, runner)
}

fn draw<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    use proptest::strategy::ValueTree;
    strategy.new_tree(runner).unwrap().current()
}

fn of(sums: &Sums, page: &str) -> i64 {
    sums.get(page).copied().unwrap_or(0)
}

/// Checks a ratio of small numbers, up to what is lost in writing and reading it.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn check_ratio(found: &Value, part: i64, whole: i64) {
    if whole == 0 {
        assert!(found.is_null() || found == 0.0, "{found}");
    } else {
        let expected = part as f64 / whole as f64;
        assert!((found.as_f64().unwrap() - expected).abs() < 1e-12, "{found}, not {expected}");
    }
}

const LIST: &str = "query ($filter: ReportFilter, $order: PageOrder!, $first: Int!, $after: String) { report(filter: $filter) {
    pages(first: $first, after: $after, orderBy: $order) {
        totalCount pageInfo { hasNextPage endCursor }
        nodes { page title views comparableViews previous change firstViewed lastViewed series(granularity: DAY) { views } }
    } } }";

/// Reads a list to its end, by `first` pages.
async fn whole_list(app: &TestApp, filter: &Value, order: &str, first: i64) -> (Vec<Value>, i64) {
    let (mut nodes, mut after) = (Vec::new(), Value::Null);
    loop {
        let variables = json!({ "filter": filter, "order": order, "first": first, "after": after });
        let pages = app.data(LIST, variables).await["report"]["pages"].take();
        nodes.extend(pages["nodes"].as_array().unwrap().iter().cloned());
        if pages["pageInfo"]["hasNextPage"] == false {
            return (nodes, pages["totalCount"].as_i64().unwrap());
        }
        after = pages["pageInfo"]["endCursor"].clone();
    }
}

/// The names in the list that `order` has.
fn expected_order(order: &str, now: &Sums, before: &Sums) -> Vec<String> {
    let mut names: Vec<_> = now.keys().cloned().collect();
    match order {
        "VIEWS" => names.sort_by_key(|name| (-of(now, name), name.clone())),
        "NAME" => {}
        "CHANGE" => {
            names = now.keys().chain(before.keys()).cloned().collect::<BTreeSet<_>>().into_iter().collect();
            names.sort_by_key(|name| (-(of(now, name) - of(before, name)).abs(), name.clone()));
        }
        other => panic!("{other}"),
    }
    names
}

fn check_node(node: &Value, counts: &Counts, days: Days) {
    let page = node["page"].as_str().unwrap();
    let (now, before) = (of(&days.sums(counts), page), of(&days.before().sums(counts), page));
    assert_eq!((&node["views"], &node["title"]), (&json!(now), &json!(format!("Title of {page}"))), "{node}");
    let hours =
        || counts.keys().filter(|(name, ..)| name == page).map(|(_, date, hour)| Hour::new(*date, *hour).start());
    let viewed = |name: &str| node[name].as_str().unwrap().parse::<DateTime<Utc>>().ok();
    assert_eq!((viewed("firstViewed"), viewed("lastViewed")), (hours().min(), hours().max()), "{node}");
    let series: Vec<_> =
        (days.0..days.1).map(|day| json!({ "views": of(&Days(day, day + 1).sums(counts), page) })).collect();
    assert_eq!(node["series"], json!(series), "{page}");
    // Counting began with the first view, which most periods before begin before.
    if node["previous"].is_null() {
        assert_eq!((&node["comparableViews"], &node["change"]), (&Value::Null, &Value::Null), "{node}");
        assert!(
            counts
                .keys()
                .all(|(_, date, hour)| Hour::new(*date, *hour).start() > first() + TimeDelta::days(days.before().0))
        );
    } else {
        assert_eq!((&node["comparableViews"], &node["previous"]), (&json!(now), &json!(before)), "{node}");
        check_ratio(&node["change"], now - before, before);
    }
}

on_all_databases! {
    async fn pages_in_each_order_have_what_the_model_has(app: TestApp) {
        let (counts, mut runner) = record_random_views(&app, 1).await;
        let begun = counts.keys().map(|(_, date, hour)| Hour::new(*date, *hour).start()).min().unwrap();
        for _ in 0..12 {
            let (start, length, first_of) = draw(&mut runner, &(2..50_i64, 1..10_i64, 1..7_i64));
            let days = Days(start, start + length);
            let now = days.sums(&counts);
            let is_compared = begun <= first() + TimeDelta::days(days.before().0);
            let before = if is_compared { days.before().sums(&counts) } else { now.clone() };
            for order in ["VIEWS", "NAME", "CHANGE"] {
                let (nodes, total) = whole_list(&app, &days.filter(&Value::Null), order, first_of).await;
                let names: Vec<_> = nodes.iter().map(|node| node["page"].as_str().unwrap().to_owned()).collect();
                assert_eq!(names, expected_order(order, &now, &before), "{order} of {days:?}");
                assert_eq!(total, i64::try_from(now.len()).unwrap(), "{order} of {days:?}");
                nodes.iter().for_each(|node| check_node(node, &counts, days));
            }
        }
    }

    async fn other_period_has_a_point_for_each_of_the_report(app: TestApp) {
        let (counts, _) = record_random_views(&app, 2).await;
        const PREVIOUS: &str = "query ($filter: ReportFilter, $granularity: Granularity!, $to: Comparison!) { report(filter: $filter) {
            series(granularity: $granularity) { start } totals(compareTo: $to) { previous }
            previous(compareTo: $to) { interval { start end } views
                series(granularity: $granularity) { start end views } pages(first: 1000) { nodes { page views } } } } }";
        for days in [Days(20, 27), Days(12, 42), Days(40, 41)] {
            for granularity in ["HOUR", "DAY", "WEEK", "MONTH"] {
                let variables = json!({ "filter": days.filter(&Value::Null), "granularity": granularity, "to": "PREVIOUS_PERIOD" });
                let report = app.data(PREVIOUS, variables).await["report"].take();
                let previous = &report["previous"];
                if previous.is_null() {
                    assert_eq!(report["totals"]["previous"], Value::Null);
                    continue;
                }
                let time = |value: &Value| value.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
                let points = previous["series"].as_array().unwrap();
                assert_eq!(points.len(), report["series"].as_array().unwrap().len());
                for (point, of_report) in points.iter().zip(report["series"].as_array().unwrap()) {
                    assert_eq!(time(&of_report["start"]) - time(&point["start"]), TimeDelta::days(days.length()));
                    let views: i64 = sums(&counts, time(&point["start"]), time(&point["end"])).values().sum();
                    assert_eq!(point["views"], views, "{point}");
                }
                let sums = days.before().sums(&counts);
                assert_eq!(previous["views"], sums.values().sum::<i64>());
                assert_eq!(previous["views"], report["totals"]["previous"]);
                let names: Vec<_> = previous["pages"]["nodes"].as_array().unwrap().iter().map(|node| node["page"].as_str().unwrap()).collect();
                assert_eq!(names, expected_order("VIEWS", &sums, &sums));
            }
        }
        // A year before, nothing was counted.
        for to in ["SAME_PERIOD_LAST_YEAR", "SAME_WEEKDAYS_LAST_YEAR"] {
            let variables = json!({ "filter": Days(20, 27).filter(&Value::Null), "granularity": "DAY", "to": to });
            assert_eq!(app.data(PREVIOUS, variables).await["report"]["previous"], Value::Null);
        }
    }

    async fn year_before_is_compared_by_date_or_by_weekday(app: TestApp) {
        app.record([("/a", "2025-01-01T00:00:00Z", 1), ("/a", "2025-03-10T05:00:00Z", 2), ("/a", "2025-03-11T05:00:00Z", 4), ("/a", "2026-03-10T05:00:00Z", 8)]).await;
        app.refresh().await;
        let filter = json!({ "interval": { "range": { "start": "2026-03-10T00:00:00Z", "end": "2026-03-11T00:00:00Z" } } });
        // 10 March 2026 is a Tuesday, as 11 March 2025 was.
        for (to, views) in [("SAME_PERIOD_LAST_YEAR", 2_i64), ("SAME_WEEKDAYS_LAST_YEAR", 4)] {
            let query = "query ($filter: ReportFilter, $to: Comparison!) { report(filter: $filter) {
                totals(compareTo: $to) { previous } previous(compareTo: $to) { series(granularity: DAY) { views } }
                pages(compareTo: $to) { nodes { previous } } page(name: \"/a\", compareTo: $to) { previous change }
                sections(compareTo: $to) { nodes { previous } } } }";
            let report = app.data(query, json!({ "filter": filter, "to": to })).await["report"].take();
            let previous = json!({ "previous": views });
            let expected = json!({ "totals": previous, "previous": { "series": [{ "views": views }] }, "pages": { "nodes": [previous] },
                "page": { "previous": views, "change": if views == 2 { 3.0 } else { 1.0 } }, "sections": { "nodes": [previous] } });
            assert_eq!(report, expected, "{to}");
        }
    }

    async fn sections_sum_pages_up_to_the_next_slash(app: TestApp) {
        let (counts, mut runner) = record_random_views(&app, 3).await;
        const SECTIONS: &str = "query ($filter: ReportFilter, $prefix: String!, $first: Int!, $after: String) { report(filter: $filter) {
            totals { views } sections(prefix: $prefix, first: $first, after: $after) { pageInfo { hasNextPage endCursor }
                nodes { name isPage title views pages share comparableViews previous change } } } }";
        for prefix in ["", "/", "/a", "/a/", "/a/b/", "/ä/", "example.org/", "/nowhere/"] {
            for pages in [Value::Null, json!({ "prefix": "/a" }), json!({ "contains": "b" }), json!({ "names": ["/a/b", "/pricing", "/"] })] {
                let (start, length, first_of) = draw(&mut runner, &(11..50_i64, 1..10_i64, 1..4_i64));
                let days = Days(start, start + length);
                let is_chosen = |page: &str| match &pages {
                    Value::Null => true,
                    filter if filter.get("names").is_some() => filter["names"].as_array().unwrap().iter().any(|name| name == page),
                    filter => filter["prefix"].as_str().is_some_and(|prefix| page.starts_with(prefix)) || filter["contains"].as_str().is_some_and(|part| page.contains(part)),
                };
                let section_of = |page: &str| {
                    let rest = page.strip_prefix(prefix)?;
                    // A slash at the very beginning of a name belongs to its first part.
                    let skipped = usize::from(prefix.is_empty() && rest.starts_with('/'));
                    let length = rest[skipped..].find('/').map_or(rest.len(), |slash| skipped + slash + 1);
                    Some((format!("{prefix}{}", &rest[..length]), length == rest.len() && !rest[skipped..].contains('/')))
                };
                let of_sections = |sums: &Sums| {
                    let mut sections: BTreeMap<String, (i64, i64, bool)> = BTreeMap::new();
                    for (page, views) in sums.iter().filter(|(page, _)| is_chosen(page)) {
                        if let Some((name, is_page)) = section_of(page) {
                            let section = sections.entry(name).or_insert((0, 0, is_page));
                            *section = (section.0 + views, section.1 + 1, is_page);
                        }
                    }
                    sections
                };
                let (now, before) = (of_sections(&days.sums(&counts)), of_sections(&days.before().sums(&counts)));
                let (mut nodes, mut after, mut total) = (Vec::new(), Value::Null, 0);
                loop {
                    let variables = json!({ "filter": days.filter(&pages), "prefix": prefix, "first": first_of, "after": after });
                    let report = app.data(SECTIONS, variables).await["report"].take();
                    total = report["totals"]["views"].as_i64().unwrap().max(total);
                    nodes.extend(report["sections"]["nodes"].as_array().unwrap().iter().cloned());
                    if report["sections"]["pageInfo"]["hasNextPage"] == false {
                        break;
                    }
                    after = report["sections"]["pageInfo"]["endCursor"].clone();
                }
                let mut expected: Vec<_> = now.iter().collect();
                expected.sort_by_key(|(name, (views, ..))| (-views, (*name).clone()));
                let context = format!("below {prefix:?} of {pages} in {days:?}");
                assert_eq!(nodes.len(), expected.len(), "{context}: {nodes:?}");
                for (mut node, (name, (views, pages, is_page))) in nodes.into_iter().zip(expected) {
                    check_ratio(&node["share"].take(), *views, total);
                    let title = if *is_page { json!(format!("Title of {name}")) } else { Value::Null };
                    let previous = before.get(name).map_or(0, |section| section.0);
                    check_ratio(&node["change"].take(), views - previous, previous);
                    assert_eq!(node, json!({ "name": name, "isPage": is_page, "title": title, "views": views, "pages": pages,
                        "share": null, "comparableViews": views, "previous": previous, "change": null }), "{context}");
                }
            }
        }
    }

    async fn page_is_told_of_if_the_filter_has_it(app: TestApp) {
        let at = first() + TimeDelta::days(3);
        let increments = vec![titled("/Über", at, 2, "Straße"), titled("/other", at - TimeDelta::days(2), 6, "")];
        app.recorder.record(Request::new(increments, None)).await.unwrap();
        app.refresh().await;
        const PAGE: &str = "query ($filter: ReportFilter, $name: String!) { report(filter: $filter) { page(name: $name) { page title views share } } }";
        let ask = async |pages: Value, name: &str| {
            let variables = json!({ "filter": Days(2, 4).filter(&pages), "name": name });
            app.data(PAGE, variables).await["report"]["page"].take()
        };
        let found = json!({ "page": "/Über", "title": "Straße", "views": 2, "share": 1.0 });
        for (pages, is_in) in [
            (Value::Null, true),
            (json!({ "names": ["/other", "/Über"] }), true),
            (json!({ "names": ["/other"] }), false),
            (json!({ "prefix": "/Ü" }), true),
            (json!({ "prefix": "/ü" }), false),
            (json!({ "contains": "ber" }), true),
            (json!({ "search": { "text": "STRAẞE" } }), true),
            (json!({ "search": { "text": "STRAẞE", "ignoreCase": false } }), false),
            (json!({ "search": { "text": "/über" } }), true),
        ] {
            assert_eq!(ask(pages.clone(), "/Über").await, if is_in { found.clone() } else { Value::Null }, "{pages}");
        }
        assert_eq!(ask(Value::Null, "/other").await, json!({ "page": "/other", "title": null, "views": 0, "share": 0.0 }));
        assert_eq!(ask(Value::Null, "/unknown").await, Value::Null);
    }

    async fn what_is_asked_of_each_page_is_read_once_for_all(app: TestApp) {
        record_random_views(&app, 4).await;
        let mut asked = 0;
        let mut computed = async |fields: &str| {
            let before = app.reader.cache_figures().computed;
            let query = format!("query ($filter: ReportFilter) {{ report(filter: $filter) {{ {fields} }} }}");
            // Another interval each time, so that nothing is cached.
            asked += 1;
            let days = Days(30, 30 + asked);
            app.data(&query, json!({ "filter": days.filter(&Value::Null) })).await;
            app.reader.cache_figures().computed - before
        };
        // The first counted hour, which all comparisons need, is known from here on.
        computed("countedSince").await;
        let base = computed("pages(first: 5) { nodes { page } }").await;
        assert_eq!(base, 1);
        for (fields, more) in [
            ("share", 1),
            ("previous", 1),
            ("previous change comparableViews", 1),
            ("series(granularity: DAY) { views }", 1),
            ("a: series(granularity: DAY) { views } b: series(granularity: DAY) { start }", 1),
            ("firstViewed lastViewed", 1),
        ] {
            assert_eq!(computed(&format!("pages(first: 5) {{ nodes {{ {fields} }} }}")).await, base + more, "{fields}");
        }
        assert_eq!(computed("sections { nodes { previous change } }").await, 2);
        assert_eq!(computed("peak series(granularity: DAY) { views }".replace("peak", "peak { views }").as_str()).await, 1);
        assert_eq!(computed("previous { series(granularity: WEEK) { views } }").await, 1);
    }

    async fn weeks_begin_on_the_day_that_the_filter_says(app: TestApp) {
        // A Saturday, a Sunday and a Monday.
        app.record([("/a", "2026-03-07T12:00:00Z", 1), ("/a", "2026-03-08T12:00:00Z", 2), ("/a", "2026-03-09T12:00:00Z", 4)]).await;
        app.refresh().await;
        let range = json!({ "range": { "start": "2026-03-01T00:00:00Z", "end": "2026-03-15T00:00:00Z" } });
        let query = "query ($filter: ReportFilter) { report(filter: $filter) { series(granularity: WEEK) { views whole } } }";
        for (week_start, views) in [(Value::Null, vec![0, 3, 4]), (json!("MONDAY"), vec![0, 3, 4]), (json!("SUNDAY"), vec![1, 6])] {
            let series = app.data(query, json!({ "filter": { "interval": range, "weekStart": week_start } })).await["report"]["series"].take();
            let found: Vec<_> = series.as_array().unwrap().iter().map(|point| point["views"].as_i64().unwrap()).collect();
            assert_eq!(found, views, "{week_start}");
        }
    }

    async fn wrong_lists_are_refused_with_the_limit(app: TestApp) {
        record_random_views(&app, 5).await;
        let year = json!({ "interval": { "range": { "start": "2025-03-01T00:00:00Z", "end": "2026-03-15T00:00:00Z" } } });
        let pages = app.data("{ report(filter: { interval: { period: ALL_TIME } }) { pages { pageInfo { endCursor } } } }", json!({})).await;
        assert!(pages["report"]["pages"]["pageInfo"]["endCursor"].is_string());
        for (fields, code, message) in [
            ("sections(first: 1001) { nodes { name } }", "BAD_USER_INPUT", "sections.first must be 0 to 1000, not 1001"),
            ("sections(first: -1) { nodes { name } }", "BAD_USER_INPUT", "sections.first must be 0 to 1000, not -1"),
            ("sections(after: \"x\") { nodes { name } }", "BAD_USER_INPUT", "sections.after is not a cursor of this list"),
            ("sections(prefix: \"a\\u0000\") { nodes { name } }", "BAD_USER_INPUT", "sections.prefix must not have control characters"),
            ("page(name: \"\") { views }", "BAD_USER_INPUT", "page.name must be 1 to 1024 bytes long, not 0"),
            ("pages(first: 9) { nodes { series(granularity: HOUR) { start end views complete } } }", "ANSWER_TOO_LARGE", "100000 fields"),
            ("pages(orderBy: VIEW) { nodes { page } }", "BAD_USER_INPUT", "VIEW"),
        ] {
            let query = format!("query ($filter: ReportFilter) {{ report(filter: $filter) {{ {fields} }} }}");
            let errors = app.errors(&query, json!({ "filter": year })).await;
            let found = errors.iter().any(|(found, text)| found == code && text.contains(message));
            assert!(found, "{fields}: {errors:?}");
        }
    }
}

#[tokio::test]
async fn list_by_change_is_refused_in_a_subscription() {
    let app = TestApp::start(crate::app::Rung::Sqlite).await;
    record_random_views(&app, 6).await;
    let ask = async |order: &str| {
        let query = format!("subscription {{ report {{ pages(orderBy: {order}) {{ nodes {{ page }} }} }} }}");
        let request = app.client.post(format!("http://{}/graphql", app.address)).header("accept", "text/event-stream");
        let mut response = request.json(&json!({ "query": query })).send().await.unwrap();
        let mut text = String::new();
        while !text.contains("data:") || !text.ends_with("\n\n") {
            text += std::str::from_utf8(&crate::wait::wait_for("an event", response.chunk()).await.unwrap().unwrap())
                .unwrap();
        }
        text
    };
    let refused = ask("CHANGE").await;
    assert!(refused.contains("BAD_USER_INPUT") && refused.contains("pages.orderBy must not be CHANGE"), "{refused}");
    let named = ask("NAME").await;
    assert!(!named.contains("errors"), "{named}");
}

#[tokio::test]
async fn id_of_a_report_is_that_of_its_filter() {
    let app = TestApp::start(crate::app::Rung::Sqlite).await;
    let id = async |filter: Value| {
        let query = "query ($filter: ReportFilter) { report(filter: $filter) { id site { id } } }";
        let report = app.data(query, json!({ "filter": filter })).await["report"].take();
        (report["id"].as_str().unwrap().to_owned(), report["site"]["id"].as_str().unwrap().to_owned())
    };
    let (all, site) = id(Value::Null).await;
    assert_eq!(all, site);
    assert_eq!(
        id(json!({ "timeZone": "UTC", "weekStart": "MONDAY", "interval": { "period": "LAST_7_DAYS" } })).await,
        (all.clone(), site)
    );
    app.record([("/a", "2026-03-01T00:00:00Z", 1)]).await;
    app.refresh().await;
    assert_eq!(id(Value::Null).await.0, all, "of another moment");
    let others = [
        json!({ "weekStart": "SUNDAY" }),
        json!({ "timeZone": "Europe/Berlin" }),
        json!({ "interval": { "period": "TODAY" } }),
        json!({ "pages": { "prefix": "/a" } }),
        json!({ "pages": { "contains": "/a" } }),
        json!({ "pages": { "names": ["/a"] } }),
        json!({ "pages": { "search": { "text": "/a" } } }),
        json!({ "pages": { "search": { "text": "/a", "ignoreCase": false } } }),
    ];
    let mut ids = BTreeSet::from([all.clone()]);
    for filter in others {
        let (of_filter, site) = id(filter.clone()).await;
        assert!(ids.insert(of_filter), "{filter}");
        assert_eq!(site == all, filter.get("pages").is_some(), "{filter}");
    }
}

#[tokio::test]
async fn limits_are_those_that_the_server_keeps() {
    const LIMITS: &str = "{ limits { requestBytes recording { increments views } withoutToken { increments views } pageBytes
        titleBytes idempotencyKeyCharacters filterNames filterConditions filterTextBytes listed seriesPoints listFields answerBytes queryBytes
        queryDepth queryComplexity queryAliases socketOperations } }";
    let app = TestApp::start_with(crate::app::Rung::Sqlite, |settings| {
        settings.http.body_bytes = 2_000_000;
        settings.http.socket_operations = 7;
        settings.http.access.anonymous = vec![api::access::Scope::Increments];
        settings.http.access.anonymous_increments = 20;
        settings.http.access.anonymous_views = 3;
    })
    .await;
    let limits = app.data(LIMITS, json!({})).await["limits"].take();
    let expected = json!({
        "requestBytes": 2_000_000, "recording": { "increments": 10_000, "views": 1_000_000 },
        "withoutToken": { "increments": 20, "views": 3 }, "pageBytes": 1_024, "titleBytes": 1_024,
        "idempotencyKeyCharacters": 128, "filterNames": 1_000, "filterConditions": 20, "filterTextBytes": 1_024, "listed": 1_000,
        "seriesPoints": 10_000, "listFields": 100_000, "answerBytes": 8 * 1024 * 1024, "queryBytes": 64 * 1024,
        "queryDepth": 16, "queryComplexity": 20_000, "queryAliases": 100, "socketOperations": 7,
    });
    assert_eq!(limits, expected);
    let refused = app
        .errors(
            "mutation { recordPageViews(input: { increments: [{ page: \"/a\", views: 4 }] }) { views } }",
            json!({}),
        )
        .await;
    assert!(refused[0].1.contains("1 to 3 without a token"), "{refused:?}");
    let nobody = app.errors("{ report { totals { views } } }", json!({})).await;
    assert_eq!(nobody[0].0, "UNAUTHENTICATED", "limits need no right to read reports, these do");
}
