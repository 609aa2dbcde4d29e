//! A wrong value is an error that names its path and the expected form: in the document and in variables, over every
//! transport.

use serde_json::{Value, json};

use crate::{
    app::{Rung, TestApp},
    websocket::WebSocket,
};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
const REPORT: &str = "query ($filter: ReportFilter) { report(filter: $filter) { totals { views } } }";

const TIME: &str = "an RFC 3339 time with an offset from UTC, such as 2026-11-20T10:00:00Z";
const SAFE_INT: &str = "a whole number from -(2^53 - 1) to 2^53 - 1";
const INCREMENT: &str = "an object with the fields page, views, at, title";
const INTERVAL: &str = "an object with exactly one of period, range";
const PAGES: &str = "an object with exactly one of names, prefix, contains, search, group, combined";
const PERIODS: &str = "one of TODAY, YESTERDAY, LAST_24_HOURS, LAST_7_DAYS, LAST_30_DAYS, THIS_MONTH, LAST_MONTH, \
                       LAST_12_MONTHS, THIS_YEAR, ALL_TIME";

/// The value as a literal of a document.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", literal(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Wrong inputs of `recordPageViews`, and the message of each.
fn inputs() -> Vec<(Value, String)> {
    let second = |increment: Value| json!({ "increments": [{ "page": "/a" }, increment] });
    let at = "input.increments[1].at";
    let views = "input.increments[1].views";
    let page = "input.increments[1].page";
    let mut cases = vec![
        (
            second(json!({ "page": "/b", "at": "2026-11-20 10:00" })),
            format!("{at} must be {TIME}, not \"2026-11-20 10:00\""),
        ),
        (second(json!({ "page": "/b", "at": "yesterday" })), format!("{at} must be {TIME}, not \"yesterday\"")),
        (second(json!({ "page": "/b", "at": "" })), format!("{at} must be {TIME}, not \"\"")),
        (
            second(json!({ "page": "/b", "at": "2026-02-30T00:00:00Z" })),
            format!("{at} must be {TIME}, not \"2026-02-30T00:00:00Z\""),
        ),
        (second(json!({ "page": "/b", "at": 1_763_632_800 })), format!("{at} must be {TIME}, not 1763632800")),
        (second(json!({ "page": "/b", "at": true })), format!("{at} must be {TIME}, not true")),
        (second(json!({ "page": "/b", "at": ["2026-11-20T10:00:00Z"] })), format!("{at} must be {TIME}, not a list")),
        (
            second(json!({ "page": "/b", "at": "x".repeat(2_000) })),
            format!("{at} must be {TIME}, not \"{}\" and so on", "x".repeat(64)),
        ),
        (second(json!({ "page": "/b", "views": "1" })), format!("{views} must be {SAFE_INT}, not \"1\"")),
        (second(json!({ "page": "/b", "views": 1.5 })), format!("{views} must be {SAFE_INT}, not 1.5")),
        (
            second(json!({ "page": "/b", "views": 9_007_199_254_740_992_u64 })),
            format!("{views} must be {SAFE_INT}, not 9007199254740992"),
        ),
        (second(json!({ "page": "/b", "views": i64::MIN })), format!("{views} must be {SAFE_INT}, not {}", i64::MIN)),
        (second(json!({ "page": "/b", "views": u64::MAX })), format!("{views} must be {SAFE_INT}, not {}", u64::MAX)),
        (second(json!({ "page": "/b", "views": null })), format!("{views} must not be null")),
        (second(json!({ "page": "/b", "views": {} })), format!("{views} must be {SAFE_INT}, not an object")),
        (second(json!({ "page": "/b", "views": 0 })), format!("{views} must be 1 to 1000000, not 0")),
        (second(json!({ "page": 7 })), format!("{page} must be a string, not 7")),
        (second(json!({ "page": null })), format!("{page} must not be null")),
        (second(json!({ "views": 1 })), format!("{page} must be given")),
        (
            second(json!({ "page": "/b", "title": ["a"] })),
            "input.increments[1].title must be a string, not a list".to_owned(),
        ),
        (
            second(json!({ "page": "/b", "count": 1 })),
            "input.increments[1].count is not a field of PageViewIncrement, which has page, views, at, title"
                .to_owned(),
        ),
        (second(json!("/b")), format!("input.increments[1] must be {INCREMENT}, not \"/b\"")),
        (second(json!(null)), "input.increments[1] must not be null".to_owned()),
        (second(json!([{ "page": "/b" }])), format!("input.increments[1] must be {INCREMENT}, not a list")),
        (json!({ "increments": "/b" }), format!("input.increments must be {INCREMENT}, not \"/b\"")),
        (json!({ "increments": null }), "input.increments must not be null".to_owned()),
        (json!({ "increments": [] }), "input.increments must be 1 to 10000 increments, not 0".to_owned()),
        (json!({}), "input.increments must be given".to_owned()),
        (
            json!({ "increments": [{ "page": "/a" }], "idempotencyKey": 1 }),
            "input.idempotencyKey must be a string, not 1".to_owned(),
        ),
        (
            json!({ "increments": [{ "page": "/a" }], "idempotencyKey": "" }),
            "input.idempotencyKey must be 1 to 128 characters long, not 0".to_owned(),
        ),
        (
            json!({ "increments": [{ "page": "/a" }], "key": "" }),
            "input.key is not a field of RecordPageViewsInput, which has increments, idempotencyKey".to_owned(),
        ),
        (json!([]), "input must be an object with the fields increments, idempotencyKey, not a list".to_owned()),
        (json!("x"), "input must be an object with the fields increments, idempotencyKey, not \"x\"".to_owned()),
        (json!(null), "input must not be null".to_owned()),
    ];
    // Invisible characters are escaped.
    let bent = json!({ "page": "/b", "at": "\u{202e}now" });
    cases.push((second(bent), format!("{at} must be {TIME}, not \"\\u{{202e}}now\"")));
    cases
}

/// Wrong filters, and the message of each.
fn filters() -> Vec<(Value, String)> {
    let range = |start: Value, end: Value| json!({ "interval": { "range": { "start": start, "end": end } } });
    let good = "2026-11-20T10:00:00Z";
    let case = |filter: Value, message: &str| (filter, message.to_owned());
    vec![
        case(
            range(json!("2026-11-20"), json!(good)),
            &format!("filter.interval.range.start must be {TIME}, not \"2026-11-20\""),
        ),
        case(range(json!(good), json!(null)), "filter.interval.range.end must not be null"),
        case(
            range(json!(good), json!("2026-11-19T10:00:00Z")),
            "filter.interval.range.end must not be before filter.interval.range.start",
        ),
        case(json!({ "interval": { "range": { "start": good } } }), "filter.interval.range.end must be given"),
        case(
            json!({ "interval": { "period": "LAST_CENTURY" } }),
            &format!("filter.interval.period must be {PERIODS}, not \"LAST_CENTURY\""),
        ),
        case(json!({ "interval": { "period": 7 } }), &format!("filter.interval.period must be {PERIODS}, not 7")),
        case(json!({ "interval": { "period": null } }), "filter.interval.period must not be null"),
        case(json!({ "interval": {} }), &format!("filter.interval must be {INTERVAL}, not with 0")),
        case(json!({ "interval": "TODAY" }), &format!("filter.interval must be {INTERVAL}, not \"TODAY\"")),
        case(
            json!({ "pages": { "names": ["/a"], "prefix": "/" } }),
            &format!("filter.pages must be {PAGES}, not with 2"),
        ),
        case(json!({ "pages": { "names": ["/a", 5] } }), "filter.pages.names[1] must be a string, not 5"),
        case(json!({ "pages": { "names": [null] } }), "filter.pages.names[0] must not be null"),
        case(json!({ "pages": { "names": { "a": "b" } } }), "filter.pages.names must be a string, not an object"),
        case(json!({ "pages": { "names": ["/a", ""] } }), "filter.pages.names[1] must be 1 to 1024 bytes long, not 0"),
        case(json!({ "pages": { "prefix": false } }), "filter.pages.prefix must be a string, not false"),
        case(
            json!({ "pages": { "suffix": "a" } }),
            "filter.pages.suffix is not a field of PageFilter, which has names, prefix, contains, search, group, \
             combined",
        ),
        case(json!({ "pages": { "combined": {} } }), "filter.pages.combined must have 1 to 20 conditions, not 0"),
        case(
            json!({ "pages": { "combined": { "any": [], "not": [{ "prefix": "/a" }] } } }),
            "filter.pages.combined.any must not be empty: leave it out for all pages",
        ),
        case(
            json!({ "pages": { "combined": { "any": vec![json!({ "prefix": "/a" }); 11], "not": vec![json!({ "names": [] }); 10] } } }),
            "filter.pages.combined must have 1 to 20 conditions, not 21",
        ),
        case(
            json!({ "pages": { "combined": { "any": [{ "names": vec!["/a"; 600] }], "not": [{ "names": vec!["/b"; 401] }] } } }),
            "filter.pages.combined must have at most 1000 names in all, not 1001",
        ),
        case(
            json!({ "pages": { "combined": { "not": [{ "prefix": "/a" }, { "contains": "" }] } } }),
            "filter.pages.combined.not[1].contains must be 1 to 1024 bytes long, not 0",
        ),
        case(
            json!({ "pages": { "combined": { "any": [{ "combined": {} }] } } }),
            "filter.pages.combined.any[0].combined is not a field of PageCondition, which has names, prefix, contains, \
             search, group",
        ),
        case(json!({ "timeZone": 2 }), "filter.timeZone must be a string, not 2"),
        case(
            json!({ "timeZone": "Etc/Unknown" }),
            "filter.timeZone must be an IANA name such as Europe/Berlin, not \"Etc/Unknown\"",
        ),
        case(
            json!({ "zone": "UTC" }),
            "filter.zone is not a field of ReportFilter, which has interval, pages, timeZone, weekStart",
        ),
        case(json!({ "weekStart": "SATURDAY" }), "filter.weekStart must be one of MONDAY, SUNDAY, not \"SATURDAY\""),
        case(
            json!("TODAY"),
            "filter must be an object with the fields interval, pages, timeZone, weekStart, not \"TODAY\"",
        ),
    ]
}

async fn assert_refused(app: &TestApp, query: &str, variables: Value, message: &str) {
    let errors = app.errors(query, variables).await;
    assert_eq!(errors, [("BAD_USER_INPUT".to_owned(), message.to_owned())], "{query}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_value_is_an_error_with_its_path_and_the_expected_form() {
    let app = TestApp::start(Rung::Sqlite).await;
    for (input, message) in inputs() {
        assert_refused(&app, RECORD, json!({ "input": input }), &message).await;
        let written = format!("mutation {{ recordPageViews(input: {}) {{ views }} }}", literal(&input));
        assert_refused(&app, &written, json!({}), &message).await;
        // In the general form.
        assert_refused(&app, &RECORD.replace("views }", "... { views } }"), json!({ "input": input }), &message).await;
    }
    for (filter, message) in filters() {
        assert_refused(&app, REPORT, json!({ "filter": filter }), &message).await;
        let written = format!("{{ report(filter: {}) {{ totals {{ views }} }} }}", literal(&filter));
        assert_refused(&app, &written, json!({}), &message).await;
        let spread = format!(
            "{{ ...F }} fragment F on Query {{ ... {{ report(filter: {}) {{ __typename }} }} }}",
            literal(&filter)
        );
        assert_refused(&app, &spread, json!({}), &message).await;
    }
    assert!(app.counts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_argument_is_an_error_with_its_name() {
    let app = TestApp::start(Rung::Sqlite).await;
    let whole = format!("a whole number from {} to {}", i32::MIN, i32::MAX);
    for (query, variables, message) in [
        (
            "{ report { pages(first: 2147483648) { edges { cursor } } } }",
            json!({}),
            format!("pages.first must be {whole}, not 2147483648"),
        ),
        (
            "{ report { pages(first: 1.0) { edges { cursor } } } }",
            json!({}),
            format!("pages.first must be {whole}, not 1.0"),
        ),
        (
            "{ report { pages(after: 1) { edges { cursor } } } }",
            json!({}),
            "pages.after must be a string, not 1".to_owned(),
        ),
        (
            "{ report { series(granularity: SECOND) { views } } }",
            json!({}),
            "series.granularity must be one of HOUR, DAY, WEEK, MONTH, not SECOND".to_owned(),
        ),
        ("{ report { series { views } } }", json!({}), "series.granularity must be given".to_owned()),
        (
            "{ report { totals(compareTo: {}) { views } } }",
            json!({}),
            "totals.compareTo must be one of PREVIOUS_PERIOD, SAME_PERIOD_LAST_YEAR, SAME_WEEKDAYS_LAST_YEAR, not an \
             object"
                .to_owned(),
        ),
        (
            "{ report { pages(orderBy: VIEW) { totalCount } } }",
            json!({}),
            "pages.orderBy must be one of VIEWS, CHANGE, NAME, not VIEW".to_owned(),
        ),
        ("{ report { page { views } } }", json!({}), "page.name must be given".to_owned()),
        (
            "{ report { sections(prefix: 1) { nodes { name } } } }",
            json!({}),
            "sections.prefix must be a string, not 1".to_owned(),
        ),
        (
            "{ report @include(if: \"yes\") { __typename } }",
            json!({}),
            "@include.if must be true or false, not \"yes\"".to_owned(),
        ),
        (
            "query ($no: Boolean!) { report { totals @skip(if: $no) { views } interval { exact } } }",
            json!({}),
            "@skip.if must be given: the variable $no is missing".to_owned(),
        ),
        (RECORD, json!({}), "input must be given: the variable $input is missing".to_owned()),
        ("mutation { recordPageViews { views } }", json!({}), "input must be given".to_owned()),
        (
            "mutation ($page: String!, $at: DateTime) { recordPageViews(input: { increments: [{ page: $page, at: $at }] }) { views } }",
            json!({ "page": "/a", "at": "noon" }),
            format!("input.increments[0].at must be {TIME}, not \"noon\""),
        ),
        (
            "mutation ($at: DateTime = \"noon\") { recordPageViews(input: { increments: [{ page: \"/a\", at: $at }] }) { views } }",
            json!({}),
            format!("the default of $at must be {TIME}, not \"noon\""),
        ),
        (
            "query ($f: ReportFilter, $s: String) { report(filter: $f) { __typename } b: report(filter: $f) { __typename } \
             c: report(filter: { pages: { names: [$s] } }) { __typename } }",
            json!({ "f": {}, "s": null }),
            "filter.pages.names[0] must not be null".to_owned(),
        ),
        (
            "query ($s: String) { a: report(filter: { timeZone: $s }) { __typename } \
             c: report(filter: { pages: { names: [$s] } }) { __typename } }",
            json!({ "s": null }),
            "filter.pages.names[0] must not be null".to_owned(),
        ),
        (
            "query A($n: Int) { report { pages(first: $n) { edges { cursor } } } }",
            json!({ "n": "ten" }),
            format!("pages.first must be {whole}, not \"ten\""),
        ),
    ] {
        assert_refused(&app, query, variables, &message).await;
    }
    assert!(app.counts().await.is_empty());
}

/// Single values as lists, further forms of times, and omitted values are accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_input_forms_stay_accepted() {
    let app = TestApp::start(Rung::Sqlite).await;
    for input in [
        json!({ "increments": { "page": "/a" } }),
        json!({ "increments": [{ "page": "/a", "at": "2026-02-26 20:00:00Z", "title": null }], "idempotencyKey": null }),
        json!({ "increments": [{ "page": "/a", "at": "2026-02-26T20:00:00.123456+05:30", "views": 2 }] }),
    ] {
        app.data(RECORD, json!({ "input": input })).await;
        app.data(&format!("mutation {{ recordPageViews(input: {}) {{ views }} }}", literal(&input)), json!({})).await;
    }
    for filter in
        [json!(null), json!({}), json!({ "pages": { "names": "/a" } }), json!({ "interval": null, "timeZone": null })]
    {
        app.data(REPORT, json!({ "filter": filter })).await;
    }
    app.data(REPORT, json!({})).await;
    app.data("{ report(filter: { interval: { period: TODAY } }) { totals { views } } }", json!({})).await;
    // Variables of another operation are not needed.
    let body = json!({
        "query": "query A { version } query B($filter: ReportFilter!) { report(filter: $filter) { totals { views } } }",
        "operationName": "A",
    });
    let request = app.client.post(format!("http://{}/graphql", app.address)).json(&body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert!(answer["data"]["version"].is_string(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_value_has_the_same_message_over_every_transport() {
    let app = TestApp::start(Rung::Sqlite).await;
    let message = format!("filter.interval.range.start must be {TIME}, not \"2026-11-20\"");
    let filter = json!({ "interval": { "range": { "start": "2026-11-20", "end": "2026-11-21T00:00:00Z" } } });
    let subscription = REPORT.replacen("query", "subscription", 1);
    let url = format!("http://{}/graphql", app.address);
    for accept in ["application/json", "application/graphql-response+json", "text/event-stream"] {
        for query in [REPORT, &subscription] {
            if query != REPORT && accept != "text/event-stream" {
                continue;
            }
            let body = json!({ "query": query, "variables": { "filter": filter } });
            let posted = app.client.post(&url).header("accept", accept).json(&body).send().await.unwrap();
            let variables = json!({ "filter": filter }).to_string();
            let parameters = [("query", query), ("variables", &variables)];
            let got = app.client.get(&url).header("accept", accept).query(&parameters).send().await.unwrap();
            for response in [posted, got] {
                let status = response.status().as_u16();
                assert_eq!(status, if accept == "application/graphql-response+json" { 400 } else { 200 }, "{accept}");
                let answer = response.text().await.unwrap();
                assert!(
                    answer.contains(&json!(message).to_string()) && !answer.contains("\"data\":"),
                    "{accept}: {answer}"
                );
            }
        }
    }
    let mut socket = WebSocket::connect(&app.address).await;
    for query in [REPORT, &subscription] {
        let payload = json!({ "query": query, "variables": { "filter": filter } });
        socket.subscribe_with("1", &payload).await;
        let reply = socket.next().await;
        assert_eq!((&reply["type"], &reply["payload"][0]["message"]), (&json!("error"), &json!(message)), "{query}");
    }
}
