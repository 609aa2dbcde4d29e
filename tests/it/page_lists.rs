//! Lists and numbers of pages equal a plain model, whether a list is proved or its rows are summed, a number is told by the
//! site's rows or counted.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use entity::report_refresh;
use increments::Request;
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use storage::clock;
use wolf::Maintenance;

use crate::{
    app::{Rung, TestApp},
    model::{Counts, is_chosen},
    search::titled,
};

const CASES: u8 = 4;
const QUERIES: usize = 30;
const PAGES: u32 = 40;
const DAYS: u32 = 75;
/// The first day whose hours are kept when those before are dropped.
const FIRST_KEPT_DAY: u32 = 38;
const REPORT: &str = "query ($start: DateTime!, $end: DateTime!, $pages: PageFilter, $first: Int!, $after: String) {
    report(filter: { interval: { range: { start: $start, end: $end } }, pages: $pages }) {
        interval { start end }
        totals { views pages }
        pages(first: $first, after: $after) { nodes { page views } pageInfo { hasNextPage endCursor } }
    } }";

/// How the views are spread over the pages.
#[derive(Copy, Clone, Debug)]
enum Spread {
    Zipf,
    Uniform,
    /// As many views for each page.
    Ties,
    /// One page has a day of very many.
    Burst,
}

/// The title of a page: every second one has one.
fn title(page: &str) -> &'static str {
    if page.ends_with(['0', '2', '4', '6', '8']) { "ÜBER docs" } else { "" }
}

struct Case {
    app: TestApp,
    rng: TestRng,
    counts: Counts,
    /// The first day whose hours are kept.
    since: Option<NaiveDate>,
}

impl Case {
    fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end
    }

    fn page(&mut self, spread: Spread) -> String {
        const FOLDERS: [&str; 4] = ["/blog/", "/Blog/", "/docs/a-", "/"];
        let number = match spread {
            // The ranks of a Zipf distribution: each power of two is about as frequent.
            Spread::Zipf => {
                let first = 1 << self.below(6);
                (first + self.below(first)).min(PAGES) - 1
            }
            _ => self.below(PAGES),
        };
        format!("{}{number}", FOLDERS[number as usize % FOLDERS.len()])
    }

    fn first_hour() -> DateTime<Utc> {
        "2026-01-10T00:00:00Z".parse().unwrap()
    }

    /// Records views on any of the days, and refreshes the report.
    async fn record(&mut self, spread: Spread) {
        let mut increments = Vec::new();
        // Views that come after the hours of their day were dropped have an hour again; they are not part of this.
        let first_hour = if self.since.is_some() { 24 * FIRST_KEPT_DAY } else { 0 };
        for _ in 0..250 {
            let hours = first_hour + self.below(24 * DAYS - first_hour);
            let at = Self::first_hour() + TimeDelta::hours(hours.into());
            let views = match spread {
                Spread::Zipf | Spread::Uniform => i64::from(1 + self.below(9)),
                Spread::Ties | Spread::Burst => 1,
            };
            increments.push((self.page(spread), at, views));
        }
        if matches!(spread, Spread::Burst) {
            increments.push((self.page(spread), Self::first_hour() + TimeDelta::days(40), 10_000));
        }
        let views = increments.iter().map(|(page, at, views)| titled(page, *at, *views, title(page))).collect();
        self.app.recorder.record(Request::new(views, None)).await.unwrap();
        for (page, at, views) in increments {
            let hour = entity::Hour::containing(at);
            *self.counts.entry((page, hour.date(), hour.of_day())).or_default() += views;
        }
        self.app.refresh().await;
        let found = wolf::verify(&self.app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]));
    }

    /// Draws the bounds of a range: hours, days or months, some beyond what is counted.
    fn range(&mut self) -> (DateTime<Utc>, DateTime<Utc>) {
        let start = Self::first_hour() + TimeDelta::hours(i64::from(self.below(24 * (DAYS + 20))) - 240);
        let days = [1, 8, 40, 120][self.below(4) as usize];
        let end = start + TimeDelta::hours(self.below(24 * days).into());
        let midnight = |at: DateTime<Utc>| at.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        match self.below(4) {
            0 => (start, end),
            1 => (midnight(start), end),
            2 => (midnight(start), midnight(end)),
            _ => (start, "2027-01-01T00:00:00Z".parse().unwrap()),
        }
    }

    fn filter(&mut self) -> Value {
        let number = self.below(4) as usize;
        let (prefix, part) = (["/blog/", "/docs/", "/", "/none"][number], ["log", "1", "Blog", "none"][number]);
        let (text, ignore_case) = (["LOG/", "über", "DOCS", "B"][number], self.below(2) == 0);
        match self.below(9) {
            7 | 8 => {
                let conditions = |case: &mut Self, numbers: u32| -> Vec<_> {
                    (0..case.below(numbers)).map(|_| case.filter()).filter(|one| one.is_object()).collect()
                };
                let (any, not) = (conditions(self, 4), conditions(self, 3));
                for condition in any.iter().chain(&not) {
                    if condition["combined"].is_object() {
                        return condition.clone();
                    }
                }
                match (any.is_empty(), not.is_empty()) {
                    (true, true) => Value::Null,
                    (true, false) => json!({ "combined": { "not": not } }),
                    (false, _) => json!({ "combined": { "any": any, "not": not } }),
                }
            }
            3 => json!({ "search": { "text": text, "ignoreCase": ignore_case } }),
            0 => json!({ "prefix": prefix }),
            1 => json!({ "contains": part }),
            2 => json!({ "names": ["/blog/0", "/Blog/1", "/none"] }),
            _ => Value::Null,
        }
    }

    /// The pages of a range, most viewed first. Of a day whose hours were dropped, hours are not known.
    fn expected(&self, filter: &Value, start: DateTime<Utc>, end: DateTime<Utc>) -> Vec<(String, i64)> {
        let mut views: BTreeMap<&str, i64> = BTreeMap::new();
        for ((page, date, hour), count) in &self.counts {
            let day = date.and_time(chrono::NaiveTime::MIN).and_utc();
            let (from, to) = if self.since.is_some_and(|since| *date < since) {
                (day, day + TimeDelta::days(1))
            } else {
                let hour = day + TimeDelta::hours((*hour).into());
                (hour, hour + TimeDelta::hours(1))
            };
            if start <= from && to <= end && is_chosen(filter, page, title(page)) {
                *views.entry(page).or_default() += count;
            }
        }
        let mut pages: Vec<_> = views.into_iter().map(|(page, views)| (page.to_owned(), views)).collect();
        pages.sort_by_key(|(page, views)| (Reverse(*views), page.clone()));
        pages
    }

    /// Asks for random lists, from their beginning to their end.
    async fn query(&mut self, context: &str) {
        for number in 0..QUERIES {
            let ((start, end), filter, first) = (self.range(), self.filter(), 1 + self.below(12));
            let context = format!("{context}, query {number}: {start} to {end}, {filter}, first {first}");
            let (mut listed, mut after) = (Vec::new(), Value::Null);
            let expected = loop {
                let variables = json!({ "start": start, "end": end, "pages": filter, "first": first, "after": after });
                let answer = &self.app.data(REPORT, variables).await["report"];
                // Where hours were dropped, an interval has whole days.
                let [start, end] = ["start", "end"].map(|bound| answer["interval"][bound].as_str().unwrap().parse());
                let expected = self.expected(&filter, start.unwrap(), end.unwrap());
                let totals = (&answer["totals"]["views"], &answer["totals"]["pages"]);
                let views: i64 = expected.iter().map(|(_, views)| views).sum();
                assert_eq!(totals, (&json!(views), &json!(expected.len())), "{context}");
                for node in answer["pages"]["nodes"].as_array().unwrap() {
                    listed.push((node["page"].as_str().unwrap().to_owned(), node["views"].as_i64().unwrap()));
                }
                assert!(listed.len() <= expected.len(), "{context}: {listed:?}, expected {expected:?}");
                if answer["pages"]["pageInfo"]["hasNextPage"] == false {
                    break expected;
                }
                after = answer["pages"]["pageInfo"]["endCursor"].clone();
            };
            assert_eq!(listed, expected, "{context}");
        }
    }

    /// Drops the hours of the older half of the days.
    async fn drop_hours(&mut self) {
        let first_kept = Self::first_hour() + TimeDelta::days(FIRST_KEPT_DAY.into());
        let keep = u32::try_from((clock::process_now() - first_kept).num_hours()).unwrap();
        let maintenance = Maintenance::new(&self.app.database, Some(keep));
        while !self
            .app
            .report_rows()
            .await
            .keys()
            .all(|(grain, _, date, _)| *grain != "hour" || *date >= first_kept.date_naive())
        {
            maintenance.run().await.unwrap();
        }
        self.since = report_refresh::newest(&self.app.database.readers).await.unwrap().unwrap().hours_since;
        let found = wolf::verify(&self.app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]));
    }
}

async fn lists_and_numbers_of_pages_equal_the_model(rung: Rung) {
    for seed in 0..CASES {
        let mut app = TestApp::start(rung).await;
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        // Few flags, so that many proofs fail.
        let flagged = 2 + rng.next_u32() as usize % 49;
        app.refresher = app.refresher.flagging_at_least(if seed == 0 { 2 } else { flagged });
        let spread = [Spread::Zipf, Spread::Uniform, Spread::Ties, Spread::Burst][usize::from(seed % 4)];
        let mut case = Case { app, rng, counts: Counts::new(), since: None };
        let context = format!("{rung:?}, seed {seed}, {spread:?}, {flagged} flagged");
        for _ in 0..3 {
            case.record(spread).await;
        }
        case.query(&context).await;
        case.drop_hours().await;
        case.query(&format!("{context}, without hours")).await;
        // As a database of an older program is.
        let forget = "UPDATE page_views_report SET top = NULL, top_views = NULL, pages = NULL, last_pages = NULL";
        if rung != Rung::MaterializedView {
            case.app.database.background.execute_unprepared(forget).await.unwrap();
        }
        case.query(&format!("{context}, without flags")).await;
        case.record(spread).await;
        case.query(&format!("{context}, flagged anew")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_numbers_of_pages_equal_the_model_on_sqlite() {
    lists_and_numbers_of_pages_equal_the_model(Rung::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_numbers_of_pages_equal_the_model_with_a_materialized_view() {
    lists_and_numbers_of_pages_equal_the_model(Rung::MaterializedView).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_numbers_of_pages_equal_the_model_with_a_table() {
    lists_and_numbers_of_pages_equal_the_model(Rung::Table).await;
}
