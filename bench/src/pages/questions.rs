//! What is asked: of the service in GraphQL, of DuckDB in SQL.

use anyhow::{Context, ensure};
use chrono::{NaiveDate, TimeDelta};
use serde_json::{Value, json};

/// How many pages a list has.
const FIRST: u32 = 10;

/// A question, and how its answers are compared.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: &'static str,
    /// The service's filter.
    filter: String,
    /// What DuckDB's `WHERE` says of names.
    names: &'static str,
    asked: Asked,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// The most viewed pages.
    Top,
    /// The number of pages.
    Pages,
}

/// Returns all questions; `today` is the last day of the lists.
pub(super) fn questions(today: NaiveDate) -> Vec<Question> {
    let (from, to) = (today - TimeDelta::days(364), today + TimeDelta::days(1));
    let year = format!("range: {{ start: \"{from}T00:00:00Z\", end: \"{to}T00:00:00Z\" }}");
    let top = |name, interval: &str, pages: &str, names| {
        let filter = format!("{{ interval: {{ {interval} }} {pages} }}");
        Question { name, filter, names, asked: Asked::Top }
    };
    let pages = |name, period| {
        let filter = format!("{{ interval: {{ period: {period} }} }}");
        Question { name, filter, names: "true", asked: Asked::Pages }
    };
    let month = "period: LAST_30_DAYS";
    vec![
        top("top 10 of 7 days", "period: LAST_7_DAYS", "", "true"),
        top("top 10 of 30 days", month, "", "true"),
        top("top 10 of 365 days", &year, "", "true"),
        top("top 10 of ALL_TIME", "period: ALL_TIME", "", "true"),
        top(
            "top 10 of 30 days, prefix of 1 % of the pages",
            month,
            r#"pages: { prefix: "/blog/2024/05/" }"#,
            "starts_with(name, '/blog/2024/05/')",
        ),
        top(
            "top 10 of 30 days, prefix of 60 % of the pages",
            month,
            r#"pages: { prefix: "/blog/" }"#,
            "starts_with(name, '/blog/')",
        ),
        top(
            "top 10 of 30 days, contains a word that 3 % of the pages have",
            month,
            r#"pages: { contains: "garden" }"#,
            "contains(name, 'garden')",
        ),
        top(
            "top 10 of 30 days, contains what few pages have",
            month,
            r#"pages: { contains: "0001234" }"#,
            "contains(name, '0001234')",
        ),
        pages("pages of 30 days", "LAST_30_DAYS"),
        pages("pages of a month", "LAST_MONTH"),
        pages("pages of ALL_TIME", "ALL_TIME"),
    ]
}

impl Question {
    /// The body of the request that is measured.
    pub(super) fn body(&self) -> String {
        let selection = match self.asked {
            Asked::Top => format!("pages(first: {FIRST}) {{ nodes {{ page title views }} }}"),
            Asked::Pages => "totals { pages }".to_owned(),
        };
        self.request(&selection)
    }

    /// The body of the request for the interval that the service answers for.
    pub(super) fn interval_body(&self) -> String {
        self.request("interval { start end }")
    }

    /// DuckDB's statement for the interval that the service named.
    pub(super) fn sql(&self, answer: &Value) -> anyhow::Result<String> {
        let interval = &answer["data"]["report"]["interval"];
        let day = |end: &str| {
            let (day, time) = interval[end].as_str()?.split_once('T')?;
            Some((day.to_owned(), time.starts_with("00:00")))
        };
        let (start, _) = day("start").with_context(|| format!("no interval: {answer}"))?;
        let (end, ends_at_midnight) = day("end").context("no end of the interval")?;
        // An interval that ends within a day ends now: there is nothing behind it.
        let until = if ends_at_midnight { format!("AND date < '{end}'") } else { String::new() };
        let rows = format!("FROM page_views WHERE date >= '{start}' {until} AND {}", self.names);
        Ok(match self.asked {
            Asked::Top => format!(
                "SELECT name, sum(views)::BIGINT AS total {rows} GROUP BY name ORDER BY total DESC, name LIMIT {FIRST}"
            ),
            Asked::Pages => format!("SELECT count(DISTINCT name) {rows}"),
        })
    }

    /// Fails unless the service's answer is DuckDB's.
    pub(super) fn check(&self, answer: &Value, rows: &Value) -> anyhow::Result<()> {
        let report = &answer["data"]["report"];
        let said = match self.asked {
            Asked::Top => {
                let nodes = report["pages"]["nodes"].as_array().context("an answer without pages")?;
                nodes.iter().map(|node| json!([node["page"], node["views"]])).collect()
            }
            Asked::Pages => json!([[report["totals"]["pages"]]]),
        };
        ensure!(said == *rows, "{}: the service says {said}, DuckDB {rows}", self.name);
        Ok(())
    }

    fn request(&self, selection: &str) -> String {
        json!({ "query": format!("{{ report(filter: {}) {{ {selection} }} }}", self.filter) }).to_string()
    }
}
