//! Declared groups of pages: their sums beside those of pages, whatever is recorded, declared, changed or dropped.

use std::{collections::BTreeMap, time::Duration};

use ::jobs::{JobRequest, Jobs, PageSelection, Task};
use chrono::{NaiveDate, TimeDelta};
use entity::{page_group::GROUPS_MAX, report_refresh};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use storage::clock;
use wolf::{GroupDefinitions, LockMode, Maintenance, ReportKind};

use crate::{
    app::{Rung, TestApp},
    model::{self, Declared},
    on_all_databases, process,
};

const DAY: &str = "2026-03-01T10:00:00Z";

/// Declares groups in place of all others.
pub(crate) async fn declare(app: &TestApp, groups: &Declared) {
    let definitions = GroupDefinitions::new(groups.clone()).unwrap();
    wolf::declare_groups(&app.database, &definitions).await.unwrap();
}

/// Refreshes until every group has its rows: what takes long is built after several refreshes.
pub(crate) async fn refresh_until_built(app: &TestApp) {
    app.refresh().await;
    while !are_built(app).await {
        app.refresh().await;
    }
}

/// Returns whether the report has every group as it is declared.
async fn are_built(app: &TestApp) -> bool {
    wolf::list_groups(&app.database).await.unwrap().iter().all(|group| group.pending.is_none())
}

pub(crate) fn declared<const N: usize>(groups: [(&str, &[&str]); N]) -> Declared {
    let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    groups.into_iter().map(|(name, patterns)| (name.to_owned(), owned(patterns))).collect()
}

fn usual() -> Declared {
    declared([("blog", &["/blog/**"]), ("docs", &["/docs/**", "!/docs/internal/**"]), ("all", &["/**"])])
}

/// Asserts that the report is right and has exactly these groups.
async fn assert_right(app: &TestApp, groups: &Declared) {
    let found = wolf::verify(&app.database).await.unwrap();
    assert_eq!((found.differences, found.summaries), (vec![], vec![]));
    let counts = app.counts().await;
    assert_eq!(app.report_rows().await, model::report(&counts));
    assert_eq!(app.group_rows().await, model::groups(&counts, groups));
}

const QUERY: &str = "query ($group: String!) {
    report(filter: { interval: { period: ALL_TIME }, pages: { group: $group } }) {
        totals { views pages }
        series(granularity: MONTH) { views }
        pages(first: 3) { totalCount nodes { page views } }
        page(name: \"/blog/a\") { views }
    }
}";

async fn of_group(app: &TestApp, group: &str) -> Value {
    app.data(QUERY, json!({ "group": group })).await["report"].take()
}

async fn errors_of(app: &TestApp, group: &str) -> (String, String) {
    app.errors(QUERY, json!({ "group": group })).await.remove(0)
}

async fn execute(app: &TestApp, sql: &str) {
    let db = &app.database.background;
    db.execute_raw(Statement::from_string(app.database.kind.backend(), sql)).await.unwrap();
}

on_all_databases! {
    async fn groups_have_the_sums_of_their_pages(app: TestApp) {
        app.record([("/blog/a", DAY, 3), ("/docs/x", DAY, 5), ("/docs/internal/y", DAY, 7)]).await;
        app.refresh().await;
        declare(&app, &usual()).await;
        assert_eq!(errors_of(&app, "blog").await, (
            "BAD_USER_INPUT".to_owned(), "filter.pages: there is no group \"blog\"".to_owned()
        ));
        app.refresh().await;
        assert_right(&app, &usual()).await;
        // Known and new pages, in known and new days and months.
        app.record([("/blog/a", "2026-03-01T11:00:00Z", 1), ("/blog/b", "2026-04-02T01:00:00Z", 2)]).await;
        app.record([("/docs/x", "2026-03-31T23:00:00Z", 10), ("blog", DAY, 100)]).await;
        app.refresh().await;
        assert_right(&app, &usual()).await;
        let blog = of_group(&app, "blog").await;
        assert_eq!(blog["totals"], json!({ "views": 6, "pages": 2 }));
        let months: i64 = blog["series"].as_array().unwrap().iter().map(|month| month["views"].as_i64().unwrap()).sum();
        assert_eq!(months, 6);
        let pages = json!([{ "page": "/blog/a", "views": 4 }, { "page": "/blog/b", "views": 2 }]);
        assert_eq!(blog["pages"], json!({ "totalCount": 2, "nodes": pages }));
        assert_eq!(blog["page"], json!({ "views": 4 }));
        assert_eq!(of_group(&app, "docs").await["totals"], json!({ "views": 15, "pages": 1 }));
        assert_eq!(of_group(&app, "docs").await["page"], Value::Null);
    }

    async fn breakdown_has_every_group_and_says_which_is_not_complete(app: TestApp) {
        app.record([("/blog/a", DAY, 3), ("/docs/x", DAY, 5)]).await;
        declare(&app, &usual()).await;
        app.refresh().await;
        let query = "{ report(filter: { interval: { period: ALL_TIME }, pages: { prefix: \"/none\" } }) {
            groups { name incomplete totals { views } series(granularity: MONTH) { views } pages(first: 1) { nodes { page } } }
        } }";
        let group = |name: &str, views: i64, page: &str| json!({
            "name": name, "incomplete": null, "totals": { "views": views }, "pages": { "nodes": [{ "page": page }] }
        });
        let found = async || {
            let mut groups = app.data(query, json!({})).await["report"]["groups"].take();
            for group in groups.as_array_mut().unwrap() {
                let series = group.as_object_mut().unwrap().remove("series").unwrap();
                let views = series.as_array().map(|series| series.iter().map(|month| month["views"].as_i64().unwrap()).sum::<i64>());
                assert_eq!(json!(views), group["totals"].get("views").cloned().unwrap_or_default());
            }
            groups
        };
        assert_eq!(found().await, json!([group("all", 8, "/docs/x"), group("blog", 3, "/blog/a"), group("docs", 5, "/docs/x")]));
    }

    async fn changed_and_removed_groups_take_effect_with_the_next_refresh(app: TestApp) {
        app.record([("/blog/a", DAY, 3), ("/news/b", DAY, 5)]).await;
        declare(&app, &usual()).await;
        app.refresh().await;
        let changed = declared([("blog", &["/blog/**", "/news/**"]), ("docs", &["/docs/**"])]);
        declare(&app, &changed).await;
        // Until then the old declarations hold.
        assert_right(&app, &usual()).await;
        assert_eq!(of_group(&app, "blog").await["totals"]["views"], 3);
        app.refresh().await;
        assert_right(&app, &changed).await;
        assert_eq!(of_group(&app, "blog").await["totals"]["views"], 8);
        assert_eq!(errors_of(&app, "all").await.0, "BAD_USER_INPUT");
        declare(&app, &Declared::new()).await;
        app.refresh().await;
        assert_right(&app, &Declared::new()).await;
        let rows = "SELECT count(*) FROM page_memberships";
        let statement = Statement::from_string(app.database.kind.backend(), rows);
        let row = app.database.readers.query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
        // So is one that no refresh has seen.
        declare(&app, &usual()).await;
        declare(&app, &Declared::new()).await;
        app.refresh().await;
        assert!(wolf::list_groups(&app.database).await.unwrap().is_empty());
    }

    async fn group_follows_jobs_dropped_hours_conversions_and_rebuilds(app: TestApp) {
        let old = (clock::process_now() - TimeDelta::days(40)).to_rfc3339();
        app.record([("/blog/a", DAY, 3), ("/blog/b", DAY, 4), ("/docs/x", DAY, 5), ("/blog/a", old.as_str(), 6)]).await;
        declare(&app, &usual()).await;
        app.refresh().await;
        let jobs = Jobs::new(&app.database);
        for task in [
            Task::RenamePage { from: "/blog/a".to_owned(), to: "/docs/a".to_owned(), keep_alias: true },
            Task::CorrectViews { page: "/blog/b".to_owned(), hour: DAY.parse().unwrap(), views: -1 },
            Task::RemoveViews { pages: Some(PageSelection::Names(vec!["/docs/x".to_owned()])), start: None, end: None },
        ] {
            jobs.submit(JobRequest { task, reason: None, key: None }).await.unwrap();
            app.refresh().await;
            assert_right(&app, &usual()).await;
        }
        // By its alias, and again after its removal.
        app.record([("/blog/a", DAY, 10), ("/docs/x", DAY, 1)]).await;
        app.refresh().await;
        assert_right(&app, &usual()).await;
        let before = app.group_rows().await;
        Maintenance::new(&app.database, Some(48)).run().await.unwrap();
        let found = wolf::verify(&app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]));
        let without_hours = |rows: &model::Rows| -> model::Rows {
            rows.iter().filter(|((grain, ..), _)| *grain != "hour").map(|(key, views)| (key.clone(), *views)).collect()
        };
        let after = app.group_rows().await;
        assert_eq!(after, without_hours(&before), "all hours are older than 48 hours");
        for wanted in [ReportKind::MaterializedView, ReportKind::Table, ReportKind::MaterializedView] {
            if app.test_database.rung != Rung::Sqlite && !app.is_on_a_cluster() {
                app.refresher.ensure_kind(wanted).await.unwrap();
            }
            app.refresher.rebuild(None, &|_, _| {}).await.unwrap();
            let found = wolf::verify(&app.database).await.unwrap();
            assert_eq!((found.differences, found.summaries), (vec![], vec![]));
            assert_eq!(app.group_rows().await, after);
        }
    }

    async fn verify_finds_wrong_rows_of_groups_and_wrong_groups_of_pages(app: TestApp) {
        app.record([("/blog/a", DAY, 3), ("/docs/x", DAY, 5)]).await;
        declare(&app, &usual()).await;
        app.refresh().await;
        if app.test_database.rung == Rung::MaterializedView {
            // Its rows can't be written, but what it is made of can.
            execute(&app, "UPDATE page_memberships SET member_of = '[]' WHERE name = '/blog/a'").await;
            let found = wolf::verify(&app.database).await.unwrap();
            assert!(found.differences.iter().any(|row| row.grain == "group_day" && row.name == "blog"));
            assert_eq!(found.summaries.len(), 1);
            return;
        }
        for (sql, grain) in [
            ("UPDATE page_views_report SET views = views + 1 WHERE grain = 'group_month' AND name = 'blog'", "group_month"),
            ("UPDATE page_views_report SET hour_10 = 1 WHERE grain = 'group_day' AND name = 'blog'", "group_hour"),
            ("DELETE FROM page_views_report WHERE grain = 'member' AND name = '/blog/a'", "member"),
            ("DELETE FROM page_views_report WHERE grain = 'group' AND name = 'docs'", "group"),
        ] {
            execute(&app, sql).await;
            let found = wolf::verify(&app.database).await.unwrap();
            let grains: Vec<_> = found.differences.iter().map(|difference| difference.grain.as_str()).collect();
            assert_eq!(grains, [grain], "{sql}");
            app.refresher.rebuild(None, &|_, _| {}).await.unwrap();
            assert_right(&app, &usual()).await;
        }
    }

    async fn ninth_group_of_a_page_makes_it_incomplete_and_never_wrong(app: TestApp) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut groups: Declared = names.iter().map(|name| ((*name).to_owned(), vec!["/**".to_owned()])).collect();
        groups.insert("z".to_owned(), vec!["/z/**".to_owned()]);
        app.record([("/x", DAY, 3)]).await;
        declare(&app, &groups).await;
        app.refresh().await;
        assert_right(&app, &groups).await;
        app.record([("/z/new", DAY, 4)]).await;
        app.refresh().await;
        let (code, message) = errors_of(&app, "z").await;
        assert_eq!((code.as_str(), message.as_str()), (
            "UNAVAILABLE", "the group z is not complete: a page would be in more than 8 groups; try again later"
        ));
        let without_z: Declared = groups.iter().filter(|(name, _)| *name != "z").map(|(name, patterns)| (name.clone(), patterns.clone())).collect();
        assert_right(&app, &without_z).await;
        let definitions = GroupDefinitions::new(groups.clone()).unwrap();
        let preview = wolf::preview_groups(&app.database, &definitions).await.unwrap();
        assert_eq!(preview.too_many.unwrap().0, "/z/new");
        groups.remove("a");
        declare(&app, &groups).await;
        app.refresh().await;
        assert_right(&app, &groups).await;
        assert_eq!(of_group(&app, "z").await["totals"]["views"], 4);
    }

    async fn many_groups_are_built_in_portions_that_may_be_cut_off(app: TestApp) {
        let pages: Vec<String> = (0..2_500).map(|number| format!("/p/{}/{number}", number % 3)).collect();
        app.record(pages.iter().map(|page| (page.as_str(), DAY, 1))).await;
        app.record(pages.iter().map(|page| (page.as_str(), "2026-02-01T00:00:00Z", 1))).await;
        app.refresh().await;
        let groups: Declared = (0..GROUPS_MAX)
            .map(|number| (format!("g{number}"), vec![format!("/p/*/{number}*"), "!/p/*/?".to_owned()]))
            .collect();
        declare(&app, &groups).await;
        let mut cut = 0_u32;
        while !are_built(&app).await {
            cut += 1;
            let refresh = app.refresher.refresh(LockMode::Wait, None);
            // Twice as late each time: a statement that is cut off goes on until it ends, and keeps its connection.
            drop(tokio::time::timeout(Duration::from_millis(10 << cut.min(10)), refresh).await);
            app.record([("/p/0/17", DAY, 1), (format!("/p/1/new{cut}").as_str(), DAY, 1)]).await;
            // Readers of a cluster wait until a refresh has ended on all nodes.
            if !app.is_on_a_cluster() {
                let found = wolf::verify(&app.database).await.unwrap();
                assert_eq!((found.differences, found.summaries), (vec![], vec![]), "{cut}");
            }
        }
        app.refresh().await;
        assert_right(&app, &groups).await;
    }
}

/// Of two groups one is changed, and its building stops halfway: until it is whole, readers are told that it is not complete,
/// and the other group stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_changed_groups_are_built_and_none_is_shown_before_it_is_complete() {
    for rung in [Rung::Sqlite, Rung::Table] {
        let app = TestApp::start(rung).await;
        app.record([("/blog/a", DAY, 3), ("/docs/x", DAY, 5), ("/news/b", "2026-01-05T00:00:00Z", 7)]).await;
        declare(&app, &usual()).await;
        app.refresh().await;
        // A sum that is wrong stays so in a group whose rows nobody builds.
        for grain in ["group_day", "group_month"] {
            let wrong =
                format!("UPDATE page_views_report SET views = views + 100 WHERE grain = '{grain}' AND name = 'docs'");
            execute(&app, &wrong).await;
        }
        let mut changed = usual();
        changed.insert("blog".to_owned(), vec!["/blog/**".to_owned(), "/news/**".to_owned()]);
        declare(&app, &changed).await;
        app.refuse_rows("group_day", "blog").await;
        for round in 1..=2 {
            // The report itself is refreshed.
            app.record([("/docs/x", DAY, 1)]).await;
            app.refresh().await;
            let message = "the group blog is not complete: it is being built; try again later";
            assert_eq!(errors_of(&app, "blog").await, ("UNAVAILABLE".to_owned(), message.to_owned()));
            assert_eq!(of_group(&app, "docs").await["totals"]["views"], 105 + round);
            let all = app.data("{ report { groups { name incomplete totals { views } } } }", json!({})).await;
            let of_all = all["report"]["groups"].as_array().unwrap();
            let incomplete: Vec<_> = of_all.iter().filter(|group| !group["incomplete"].is_null()).collect();
            assert!(
                incomplete.len() == 1 && incomplete[0]["name"] == "blog" && incomplete[0]["totals"].is_null(),
                "{all}"
            );
        }
        app.refuse_no_rows().await;
        app.refresh().await;
        assert_eq!(of_group(&app, "blog").await["totals"]["views"], 10);
        assert_eq!(of_group(&app, "docs").await["totals"]["views"], 107);
        let found = wolf::verify(&app.database).await.unwrap();
        assert!(found.differences.iter().all(|row| row.name == "docs") && !found.differences.is_empty());
    }
}

/// Groups that are changed and changed back, a day in each transaction and one transaction after each refresh: the report is
/// right after each of them, and no sum is shown that is not whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_deleted_and_built_a_day_at_a_time() {
    const DAYS: [&str; 4] =
        ["2026-01-05T01:00:00Z", "2026-02-01T02:00:00Z", "2026-02-10T03:00:00Z", "2026-03-01T04:00:00Z"];
    const PAGES: [&str; 3] = ["/blog/a", "/docs/x", "/news/b"];
    let group = |with_news: bool| if with_news { &["/blog/**", "/news/**"][..] } else { &["/blog/**"] };
    let all = |blog, docs| declared([("blog", group(blog)), ("docs", group(docs)), ("all", &["/**"])]);
    for rung in [Rung::Sqlite, Rung::Table] {
        let mut app = TestApp::start(rung).await;
        app.record(DAYS.iter().flat_map(|day| PAGES.map(|page| (page, *day, 1)))).await;
        declare(&app, &all(false, false)).await;
        app.refresh().await;
        app.refresher = app.refresher.building_groups_within(Duration::ZERO, Duration::ZERO);
        let (mut portions, mut incomplete) = (0, 0);
        // One is changed, after some portions the other one too, and after some more that one is changed back.
        for (first, second) in (1..=10).flat_map(|first| [(first, first + 1), (first, first + 3)]) {
            let with_news = portions % 2 == 0;
            let wanted = all(with_news, false);
            declare(&app, &wanted).await;
            for portion in 1.. {
                assert!(portion < 100, "{first}, {second}: it does not end");
                if portion == first {
                    declare(&app, &all(with_news, true)).await;
                } else if portion == second {
                    declare(&app, &wanted).await;
                }
                app.record(PAGES.map(|page| (page, DAYS[portion % DAYS.len()], 1))).await;
                app.refresh().await;
                portions += 1;
                let found = wolf::verify(&app.database).await.unwrap();
                assert_eq!((found.differences, found.summaries), (vec![], vec![]), "{first}, {second}, {portion}");
                let views = app.counts().await.values().sum::<i64>();
                assert_eq!(of_group(&app, "all").await["totals"]["views"], views);
                for name in ["blog", "docs"] {
                    let answer = app.execute(QUERY, json!({ "group": name })).await;
                    if let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() {
                        assert_eq!(code, "UNAVAILABLE", "{answer}");
                        incomplete += 1;
                    } else {
                        let shown = answer["data"]["report"]["totals"]["views"].as_i64().unwrap();
                        assert!([views, 2 * views].contains(&(3 * shown)), "{views}: {answer}");
                    }
                }
                if portion > second && are_built(&app).await {
                    break;
                }
            }
            assert_right(&app, &wanted).await;
        }
        assert!(portions > 100 && incomplete > 50, "{portions} portions, and {incomplete} times incomplete");
    }
}

/// A group that a new one leaves no room on a page for is given up while that one is built, and readers are told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_that_is_given_up_while_another_is_built_makes_a_version_of_its_own() {
    for rung in [Rung::Sqlite, Rung::Table] {
        let app = TestApp::start(rung).await;
        let everywhere = ["a", "b", "c", "d", "e", "f", "g"].map(|name| (name.to_owned(), vec!["/**".to_owned()]));
        let mut groups = Declared::from(everywhere);
        groups.insert("z".to_owned(), vec!["/z/**".to_owned()]);
        app.record([("/z/x", DAY, 3)]).await;
        declare(&app, &groups).await;
        app.refresh().await;
        assert_right(&app, &groups).await;
        let version = async || report_refresh::newest(&app.database.readers).await.unwrap().unwrap().content_version;
        let before = version().await;
        groups.insert("h".to_owned(), vec!["/z/**".to_owned()]);
        declare(&app, &groups).await;
        app.refresh().await;
        assert_eq!(version().await - before, 3, "its building begins, z is given up, and it is complete");
        groups.remove("z");
        assert_right(&app, &groups).await;
        let all = app.data("{ report { groups { name incomplete } } }", json!({})).await;
        let given_up =
            all["report"]["groups"].as_array().unwrap().iter().filter(|group| !group["incomplete"].is_null());
        let names: Vec<_> = given_up.map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["z"], "{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_wolves_build_groups_while_one_of_them_is_changed() {
    let app = TestApp::start(Rung::Table).await;
    app.record([("/blog/a", DAY, 3), ("/docs/x", DAY, 5)]).await;
    app.refresh().await;
    for round in 0..6_u8 {
        let groups =
            declared([("blog", &["/blog/**"]), ("docs", if round % 2 == 0 { &["/docs/**"] } else { &["/**"] })]);
        declare(&app, &groups).await;
        let [one, other] = [app.refresher.clone(), wolf::Refresher::new(&app.database)];
        app.record([("/docs/x", DAY, 1), (format!("/blog/{round}").as_str(), DAY, 1)]).await;
        let (one, other) = tokio::join!(one.refresh(LockMode::Wait, None), other.refresh(LockMode::Wait, None));
        one.unwrap();
        other.unwrap();
        app.refresh().await;
        assert_right(&app, &groups).await;
    }
}

#[tokio::test]
async fn group_and_page_of_one_name_have_their_own_sums() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("blog", DAY, 3), ("/blog/a", DAY, 5)]).await;
    let groups = declared([("blog", &["/blog/**"])]);
    declare(&app, &groups).await;
    app.refresh().await;
    assert_right(&app, &groups).await;
    assert_eq!(of_group(&app, "blog").await["totals"]["views"], 5);
    let rows: BTreeMap<_, _> =
        app.report_rows().await.into_iter().filter(|((_, name, ..), _)| name == "blog").collect();
    let month = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
    assert_eq!(rows.get(&("month", "blog".to_owned(), month, 0)), Some(&3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_files_of_groups_are_refused_with_the_reason() {
    let app = TestApp::start(Rung::Sqlite).await;
    let long = "a".repeat(65);
    let nine: String = (0..9).map(|number| format!("g{number} = '/**'\n")).collect();
    let many: String = (0..=GROUPS_MAX).map(|number| format!("g{number} = '/a'\n")).collect();
    app.record([("/x", DAY, 1)]).await;
    for (file, words) in [
        ("blog = ", "is not in TOML"),
        ("blog = 3", "the group blog must be a pattern or a list of patterns"),
        ("blog = ['/a', 3]", "the group blog must be a pattern or a list of patterns"),
        ("[blog]\na = '/a'", "the group blog must be a pattern or a list of patterns"),
        ("blog = []", "the group blog must have 1 to 32 patterns, not 0"),
        ("blog = '!/a'", "the group blog must have a pattern that does not begin with '!'"),
        ("blog = '/[a'", "the group blog has the pattern \"/[a\", which is none"),
        ("'a b' = '/a'", "the group's name \"a b\" must be 1 to 64 bytes"),
        (&format!("{long} = '/a'"), "must be 1 to 64 bytes"),
        (&format!("a = '{}'", "a".repeat(257)), "a pattern of the group a must be 1 to 256 bytes, not 257"),
        (&many, "there may be at most 256 groups, not 257"),
        (&nine, "the page /x would be in 9 groups, more than 8: g0, g1, g2"),
        (&"#".repeat(4 * 1024 * 1024 + 1), "has more than 4194304 bytes"),
    ] {
        std::fs::write(app.test_database.folder.path().join("groups.toml"), file).unwrap();
        let output = process::run(&app.test_database, &["groups", "apply", "groups.toml"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(message.contains(words), "{words}: {message}");
    }
    let output = process::run(&app.test_database, &["groups", "apply", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(wolf::list_groups(&app.database).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_applied_and_listed_by_commands() {
    let app = TestApp::start(Rung::Sqlite).await;
    app.record([("/blog/a", DAY, 1), ("/x", DAY, 1)]).await;
    let write = |text: &str| std::fs::write(app.test_database.folder.path().join("groups.toml"), text).unwrap();
    let run = |arguments: &[&str]| process::succeed(&app.test_database, &[&["groups"], arguments].concat());
    write("blog = '/blog/**'\nall = ['/**', '!/none']");
    assert_eq!(run(&["apply", "groups.toml", "--dry-run"]), "all   2 pages\nblog  1 pages\n");
    assert_eq!(run(&["list"]), "");
    assert!(run(&["apply", "groups.toml"]).contains("2 groups are new, 0 changed, 0 removed, 0 as they were\n"));
    assert!(run(&["list"]).contains("waits for the next refresh"));
    app.refresh().await;
    let listed = run(&["list"]);
    assert!(listed.contains("complete") && listed.contains("\"/**\", \"!/none\""), "{listed}");
    write("blog = '/news/**'");
    assert!(run(&["apply", "groups.toml"]).contains("0 groups are new, 1 changed, 1 removed, 0 as they were\n"));
    assert!(run(&["list"]).contains("it is being removed"));
    app.refresh().await;
    assert_eq!(run(&["list"]).lines().count(), 1);
}
