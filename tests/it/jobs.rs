//! Jobs, by what they do to counts, report and files: together with recorders, after crashes, with what imports have stored.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ::jobs::{JobError, JobRequest, Jobs, PageSelection, Status, Task};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{import, job::Model as Job, page, page_alias, report_refresh};
use increments::Title;
use sea_orm::{ConnectionTrait, EntityTrait, Statement};
use sqlx::Executor;
use tokio::{sync::Semaphore, task::JoinSet};
use wolf::{LockMode, Maintenance};

use crate::{
    app::{Rung, TestApp, increment, titles_of},
    cluster,
    exactly_once::until_blocked,
    model, on_all_databases, process,
    wait::eventually,
};

/// 6,000 real lines.
const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/access.log.gz");
const DAY: &str = "2026-03-01T10:00:00Z";

fn request(task: Task) -> JobRequest {
    JobRequest { task, reason: None, key: None }
}

fn remove(pages: PageSelection) -> Task {
    Task::RemoveViews { pages: Some(pages), start: None, end: None }
}

fn names<const N: usize>(names: [&str; N]) -> PageSelection {
    PageSelection::Names(names.map(str::to_owned).to_vec())
}

fn rename(from: &str, to: &str, keep_alias: bool) -> Task {
    Task::RenamePage { from: from.to_owned(), to: to.to_owned(), keep_alias }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Hands a job over and refreshes. Returns the job, which has ended.
async fn done(app: &TestApp, task: Task) -> Job {
    let jobs = Jobs::new(&app.database);
    let submitted = jobs.submit(request(task)).await.unwrap();
    app.refresh().await;
    let job = jobs.find(submitted.job.id).await.unwrap().unwrap();
    assert!(job.finished_at.is_some() && job.task.is_none(), "{job:?}");
    job
}

async fn assert_right(app: &TestApp) {
    let found = wolf::verify(&app.database).await.unwrap();
    assert_eq!((found.differences, found.summaries), (vec![], vec![]));
    assert_eq!(app.report_rows().await, model::report(&app.counts().await));
}

/// Views by page.
async fn sums(app: &TestApp) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for ((page, ..), views) in app.counts().await {
        *sums.entry(page).or_default() += views;
    }
    sums
}

fn sum_map<const N: usize>(sums: [(&str, i64); N]) -> BTreeMap<String, i64> {
    sums.map(|(page, views)| (page.to_owned(), views)).into()
}

on_all_databases! {
    async fn renamed_page_keeps_its_history_and_gets_later_views_by_its_alias(app: TestApp) {
        app.record([("/old", DAY, 3), ("/old", "2026-04-01T00:00:00Z", 4), ("/new", DAY, 10)]).await;
        app.refresh().await;
        let job = done(&app, rename("/old", "/new", true)).await;
        assert_eq!((job.status, job.pages, job.views), (Status::Done, 2, 7));
        assert_eq!(sums(&app).await, sum_map([("/new", 17)]));
        assert_right(&app).await;
        // Whatever hour and day, known to the report or not.
        app.record([("/old", DAY, 1), ("/old", "2026-05-01T00:00:00Z", 1), ("/new", "2026-05-01T00:00:00Z", 1)]).await;
        app.refresh().await;
        assert_eq!(sums(&app).await, sum_map([("/new", 20)]));
        assert_right(&app).await;
        // One hop: the alias follows its target.
        done(&app, rename("/new", "/newest", true)).await;
        app.record([("/old", DAY, 1), ("/new", DAY, 1)]).await;
        app.refresh().await;
        assert_eq!(sums(&app).await, sum_map([("/newest", 22)]));
        let refused = Jobs::new(&app.database).submit(request(rename("/newest", "/old", false))).await;
        assert!(matches!(refused, Err(JobError::AliasOfItself)), "{refused:?}");
        // A page is removed with its aliases.
        done(&app, remove(names(["/newest"]))).await;
        assert_eq!(page_alias::Entity::find().all(&app.database.background).await.unwrap(), []);
        app.record([("/old", DAY, 1)]).await;
        app.refresh().await;
        assert_eq!(sums(&app).await, sum_map([("/old", 1)]));
        assert_right(&app).await;
    }

    async fn corrected_and_kept_views_of_an_alias_count_for_its_page(app: TestApp) {
        app.record([("/old", DAY, 3), ("/new", DAY, 1)]).await;
        app.refresh().await;
        done(&app, rename("/old", "/new", true)).await;
        // The first view makes a page of the alias again.
        app.record([("/old", "2026-04-01T00:00:00Z", 1)]).await;
        done(&app, Task::CorrectViews { page: "/old".to_owned(), hour: at(DAY), views: 5 }).await;
        assert_eq!(sums(&app).await, sum_map([("/new", 10)]));
        // As if they had been merged under the old name, before their hours were dropped.
        let keep = "INSERT INTO kept_days (name, date, views) VALUES ('/old', '2026-03-01', 7)";
        app.database.background.execute_unprepared(keep).await.unwrap();
        app.record([("/other", "2026-03-01T12:00:00Z", 1)]).await;
        app.refresh().await;
        assert_eq!(kept(&app).await, sum_map([("/new", 7)]));
        assert!(wolf::verify(&app.database).await.unwrap().differences.is_empty());
    }

    async fn undone_import_takes_nothing_that_was_removed_with_the_page_of_an_alias(app: TestApp) {
        let import = |name: &str, views: i64| {
            let file = app.test_database.folder.path().join(name);
            fs::write(&file, format!("page,start,views\n/old,{DAY},{views}\n")).unwrap();
            process::succeed(&app.test_database, &["import", "--counts", file.to_str().unwrap()]);
        };
        let undo = async || {
            let imports = import::Entity::find().all(&app.database.background).await.unwrap();
            let id = imports.iter().find(|import| import.undone_at.is_none()).unwrap().id;
            let job = done(&app, Task::UndoImport { import: id }).await;
            (job.status, job.views)
        };
        app.record([("/old", DAY, 1)]).await;
        app.refresh().await;
        done(&app, rename("/old", "/new", true)).await;
        import("removed.csv", 8);
        app.refresh().await;
        done(&app, remove(names(["/new"]))).await;
        app.record([("/old", DAY, 20)]).await;
        app.refresh().await;
        assert_eq!(undo().await, (Status::Done, 0));
        assert_eq!(sums(&app).await, sum_map([("/old", 20)]));
        // Without the alias, what was counted by it is still the page's.
        done(&app, rename("/old", "/new", true)).await;
        import("left.csv", 9);
        app.refresh().await;
        done(&app, remove(names(["/old"]))).await;
        assert_eq!(undo().await, (Status::Done, 9));
        assert_eq!(sums(&app).await, sum_map([("/new", 20)]));
        assert_right(&app).await;
    }

    async fn titles_follow_a_renamed_page_and_go_with_a_removed_one(app: TestApp) {
        let query = "mutation ($page: String!, $title: String) { recordPageViews(input: { increments: [
            { page: $page, title: $title }] }) { views } }";
        for (page, title) in [("/a", Some("A")), ("/b", None), ("/c", Some("C")), ("/gone", Some("Gone"))] {
            app.data(query, serde_json::json!({ "page": page, "title": title })).await;
        }
        app.refresh().await;
        done(&app, rename("/a", "/b", false)).await;
        done(&app, rename("/b", "/new", false)).await;
        done(&app, rename("/new", "/c", false)).await;
        done(&app, remove(PageSelection::Search { text: "GONE".to_owned(), ignore_case: true })).await;
        let pages = page::Entity::find().all(&app.database.background).await.unwrap();
        let pages: Vec<_> = pages.into_iter().map(|page| (page.name, page.title)).collect();
        assert_eq!(pages, [("/c".to_owned(), Some("C".to_owned()))]);
        assert_right(&app).await;
        assert_eq!(sums(&app).await, sum_map([("/c", 3)]));
    }

    async fn job_waits_for_as_many_titles_as_were_changed_before_it(app: TestApp) {
        // More than one transaction changes.
        const PAGES: i64 = 2_500;
        for version in ["old", "new"] {
            let titled = |page| {
                let title = Some(Title::new(format!("{version} {page}")).unwrap());
                increments::Increment { title, ..increment(&format!("/{page}"), at(DAY), 1) }
            };
            app.recorder.record(increments::Request::new((0..PAGES).map(titled).collect(), None)).await.unwrap();
            done(&app, remove(names(["/0"]))).await;
            assert_eq!(app.marks().await, 0, "all titles are taken before a job");
            let titles = titles_of(&app.database.readers).await;
            assert_eq!(titles.len(), usize::try_from(PAGES).unwrap() - 1);
            assert!(titles.iter().all(|(name, title)| title.as_deref() == Some(&format!("{version} {}", &name[1..]))));
        }
        assert_right(&app).await;
    }

    async fn removed_time_ends_at_whole_hours(app: TestApp) {
        app.record([
            ("/a", "2015-05-17T00:00:00Z", 1), ("/a", "2026-03-01T09:00:00Z", 2), ("/a", "2026-03-01T10:00:00Z", 4),
            ("/b", "2026-03-01T09:59:59Z", 8), ("/b", "2026-03-02T00:00:00Z", 16),
        ]).await;
        app.refresh().await;
        let before = Task::RemoveViews { pages: None, start: None, end: Some(at(DAY)) };
        let job = done(&app, before).await;
        assert_eq!((job.status, job.pages, job.views), (Status::Done, 2, 11));
        assert_eq!(sums(&app).await, sum_map([("/a", 4), ("/b", 16)]));
        assert_right(&app).await;
        let within = Task::RemoveViews { pages: Some(names(["/b"])), start: Some(at(DAY)), end: Some(at("2026-03-03T00:00:00Z")) };
        done(&app, within).await;
        assert_eq!(sums(&app).await, sum_map([("/a", 4)]));
        assert_right(&app).await;
    }

    async fn correction_never_goes_below_zero(app: TestApp) {
        app.record([("/a", DAY, 3)]).await;
        app.refresh().await;
        let correct = |views| Task::CorrectViews { page: "/a".to_owned(), hour: at(DAY), views };
        let job = done(&app, correct(-4)).await;
        assert_eq!(job.status, Status::Refused);
        assert_eq!(job.error.as_deref(), Some("the page has only 3 views then, fewer than 4"));
        assert_eq!(sums(&app).await, sum_map([("/a", 3)]));
        assert_eq!(done(&app, correct(5)).await.views, 5);
        assert_eq!(done(&app, correct(-2)).await.views, -2);
        assert_eq!(sums(&app).await, sum_map([("/a", 6)]));
        assert_right(&app).await;
        done(&app, correct(-6)).await;
        assert_eq!(sums(&app).await, sum_map([]));
        assert_right(&app).await;
        let unknown = Jobs::new(&app.database).submit(request(correct(1))).await;
        assert!(matches!(unknown, Err(JobError::UnknownPage(_))), "{unknown:?}");
    }

    async fn undone_import_takes_back_what_it_counted_and_can_be_imported_again(app: TestApp) {
        app.record([("/reset.css", "2015-05-17T10:00:00Z", 7), ("/mine", DAY, 1)]).await;
        app.refresh().await;
        let before = sums(&app).await;
        process::succeed(&app.test_database, &["import", LOG, "--include-bots"]);
        app.refresh().await;
        let imported = sums(&app).await;
        let id = import::Entity::find().one(&app.database.background).await.unwrap().unwrap().id;
        // The pages move, later views of one come by its alias, and the hours of some days are dropped.
        let page = imported.keys().find(|page| page.contains("presentations")).unwrap().clone();
        done(&app, rename(&page, "/moved", true)).await;
        done(&app, rename("/", "/home", false)).await;
        Maintenance::new(&app.database, Some(24 * 30)).run().await.unwrap();
        let job = done(&app, Task::UndoImport { import: id }).await;
        assert_eq!((job.status, job.views), (Status::Done, 2_548));
        let kept: BTreeMap<_, i64> = kept(&app).await;
        let mut left = sums(&app).await;
        kept.into_iter().for_each(|(page, views)| *left.entry(page).or_default() += views);
        assert_eq!(left, before);
        let found = wolf::verify(&app.database).await.unwrap();
        assert_eq!((found.differences, found.summaries), (vec![], vec![]));
        let again = Jobs::new(&app.database).submit(request(Task::UndoImport { import: id })).await;
        assert!(matches!(again, Err(JobError::UndoneAlready)), "{again:?}");
        process::succeed(&app.test_database, &["import", LOG, "--include-bots"]);
        process::succeed(&app.test_database, &["import", LOG, "--include-bots", "--again"]);
        app.refresh().await;
        assert_eq!(sums(&app).await.values().sum::<i64>(), 2_548, "the other views are in the sums of dropped hours");
    }

    async fn import_is_undone_as_a_whole_or_not(app: TestApp) {
        process::succeed(&app.test_database, &["import", LOG, "--include-bots"]);
        app.refresh().await;
        let id = import::Entity::find().one(&app.database.background).await.unwrap().unwrap().id;
        let ((page, date, hour), views) = app.counts().await.into_iter().next().unwrap();
        let hour = entity::Hour::new(date, hour).start();
        done(&app, Task::CorrectViews { page, hour, views: -views }).await;
        let before = app.counts().await;
        let job = done(&app, Task::UndoImport { import: id }).await;
        assert_eq!(job.status, Status::Refused);
        assert_eq!(job.error, Some(format!("{views} views that the import counted are not there any more")));
        assert_eq!(app.counts().await, before);
        // What is removed is not taken back a second time.
        done(&app, remove(PageSelection::Prefix("/p".to_owned()))).await;
        let left: i64 = sums(&app).await.values().sum();
        let stored = "SELECT CAST(sum(views) AS bigint) FROM import_counts";
        let stored = Statement::from_string(app.database.kind.backend(), stored);
        let stored = app.database.background.query_one_raw(stored).await.unwrap().unwrap();
        assert_eq!(stored.try_get_by_index::<i64>(0).unwrap(), left + views);
    }

    async fn no_view_is_lost_or_counted_twice_while_jobs_and_recorders_change_the_same_pages(app: TestApp) {
        const PAGES: i64 = 40;
        const ROUNDS: i64 = 15;
        // So many requests are recorded while a job is done, whenever that is.
        const REQUESTS_PER_ROUND: usize = 40;
        let (recorded, requests) = (Arc::new(AtomicI64::new(0)), Arc::new(Semaphore::new(0)));
        let mut recording = JoinSet::new();
        for worker in 0..4_i64 {
            let (recorder, recorded, requests) = (app.recorder.clone(), Arc::clone(&recorded), Arc::clone(&requests));
            recording.spawn(async move {
                for round in 0.. {
                    let Ok(request) = requests.acquire().await else { return };
                    request.forget();
                    let hour = |page: i64| at(DAY) + TimeDelta::hours((page * 7 + round + worker) % 400);
                    let increments = (0..PAGES).map(|page| increment(&format!("/{page}"), hour(page), 1)).collect();
                    recorder.record(increments::Request::new(increments, None)).await.unwrap();
                    recorded.fetch_add(PAGES, Ordering::SeqCst);
                }
            });
        }
        let mut removed = 0;
        for round in 0..ROUNDS {
            requests.add_permits(REQUESTS_PER_ROUND);
            let page = |number: i64| format!("/{}", number % PAGES);
            let task = match round % 3 {
                0 => rename(&page(round), &page(round * 5 + 1), round % 2 == 0),
                1 => remove(PageSelection::Names(vec![page(round), page(round + 3)])),
                _ => Task::RemoveViews { pages: None, start: Some(at(DAY) + TimeDelta::hours(round)), end: Some(at(DAY) + TimeDelta::hours(round + 30)) },
            };
            let is_removal = matches!(task, Task::RemoveViews { .. });
            let jobs = Jobs::new(&app.database);
            // No such page yet, or an alias in the way.
            let Ok(submitted) = jobs.submit(request(task)).await else {
                app.refresh().await;
                continue;
            };
            app.refresh().await;
            let job = jobs.find(submitted.job.id).await.unwrap().unwrap();
            if is_removal && job.status == Status::Done {
                removed += job.views;
            }
        }
        requests.close();
        while let Some(ended) = recording.join_next().await {
            ended.unwrap();
        }
        app.refresh().await;
        assert!(removed > 0);
        let counted: i64 = sums(&app).await.values().sum();
        assert_eq!(counted + removed, recorded.load(Ordering::SeqCst));
        assert_right(&app).await;
    }

    async fn job_that_two_refreshes_do_ends_once_and_takes_nothing_after_its_end(app: TestApp) {
        // They come between each other's portions, as those of a command and of a service do.
        const PAGES: i64 = 20;
        const DAYS: i64 = 60;
        let pages: Vec<_> = (0..PAGES).map(|page| format!("/{page}")).collect();
        let times: Vec<_> = (0..DAYS).map(|day| (at(DAY) + TimeDelta::days(day)).to_rfc3339()).collect();
        let jobs = Jobs::new(&app.database);
        for _round in 0..4 {
            app.record(pages.iter().flat_map(|page| times.iter().map(|at| (page.as_str(), at.as_str(), 1)))).await;
            app.refresh().await;
            let submitted = jobs.submit(request(remove(PageSelection::Prefix("/".to_owned())))).await.unwrap();
            let refreshing = async || {
                app.refresh().await;
                let job = jobs.find(submitted.job.id).await.unwrap().unwrap();
                assert_eq!((job.status, job.views), (Status::Done, PAGES * DAYS), "{job:?}");
                app.record([("/kept", DAY, 1)]).await;
            };
            tokio::join!(refreshing(), refreshing());
            let job = jobs.find(submitted.job.id).await.unwrap().unwrap();
            assert_eq!((job.status, job.views), (Status::Done, PAGES * DAYS), "{job:?}");
            app.refresh().await;
            assert_eq!(sums(&app).await, sum_map([("/kept", 2)]));
            assert_right(&app).await;
            done(&app, remove(PageSelection::Prefix("/".to_owned()))).await;
        }
    }

    async fn as_of_covers_a_job_only_when_it_has_ended(app: TestApp) {
        let times: Vec<_> = (0..200).map(|day| (at(DAY) + TimeDelta::days(day)).to_rfc3339()).collect();
        let pages: Vec<_> = (0..20).map(|page| format!("/{page}")).collect();
        app.record(pages.iter().flat_map(|page| times.iter().map(|at| (page.as_str(), at.as_str(), 1)))).await;
        app.refresh().await;
        let jobs = Jobs::new(&app.database);
        let submitted = jobs.submit(request(remove(PageSelection::Prefix("/1".to_owned())))).await.unwrap();
        let mut cuts = 0;
        // Refreshes are cut off ever later, wherever they are then, until one has ended.
        loop {
            let as_of = report_refresh::newest_successful(&app.database.background).await.unwrap().unwrap().as_of;
            let job = jobs.find(submitted.job.id).await.unwrap().unwrap();
            assert!(as_of < Some(submitted.recorded_at) || job.finished_at.is_some(), "{as_of:?}, {job:?}");
            model::assert_adds_up(&app.report_rows().await);
            if job.finished_at.is_some() {
                break;
            }
            cuts += 1;
            let refresh = app.refresher.refresh(LockMode::Wait, None);
            if let Ok(ended) = tokio::time::timeout(Duration::from_millis(4 * cuts), refresh).await {
                ended.unwrap();
            }
        }
        let removed = jobs.find(submitted.job.id).await.unwrap().unwrap();
        assert_eq!(removed.views, 11 * 200, "after {cuts} cuts");
        app.refresh().await;
        assert_right(&app).await;
    }
}

/// An increment of an alias that is committed while a rebuild, or a refresh of the view, begins is resolved, or its mark stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alias_that_is_recorded_while_all_marks_are_taken_counts_for_its_page() {
    for rung in [Rung::Table, Rung::MaterializedView] {
        let app = TestApp::start(rung).await;
        app.record([("/old", DAY, 3)]).await;
        app.refresh().await;
        done(&app, rename("/old", "/new", true)).await;
        app.record([("/new", DAY, 1)]).await;
        let mut holder = cluster::connect(&app.test_database.url).await;
        holder.execute("BEGIN; LOCK TABLE stale_hours IN SHARE MODE").await.unwrap();
        let refresher = app.refresher.clone();
        let mut refreshing = JoinSet::new();
        refreshing.spawn(async move {
            match rung {
                Rung::Table => refresher.rebuild(None, &|_, _| {}).await.map(drop),
                _ => refresher.refresh(LockMode::Wait, None).await.map(drop),
            }
        });
        until_blocked(&app.database, 1).await;
        let record = "INSERT INTO pages (name, first_seen_at) VALUES ('/old', now());
            INSERT INTO page_views (name, date, hour, views, updated_at) VALUES ('/old', '2026-05-01', 7, 2, now());
            INSERT INTO stale_hours (date, hour, names) VALUES ('2026-05-01', 7, ARRAY['/old']);
            COMMIT";
        sqlx::raw_sql(record).execute(&mut holder).await.unwrap();
        refreshing.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!((sums(&app).await, app.marks().await), (sum_map([("/new", 6)]), 0));
        assert_right(&app).await;
    }
}

/// Views by page whose hours were dropped.
async fn kept(app: &TestApp) -> BTreeMap<String, i64> {
    let mut kept = BTreeMap::new();
    for row in entity::kept_day::Entity::find().all(&app.database.background).await.unwrap() {
        *kept.entry(row.name).or_default() += row.views;
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_name_is_in_no_file_of_an_sqlite_database() {
    let app = TestApp::start(Rung::Sqlite).await;
    let secret = "/users/alice-in-wonderland";
    let many: Vec<_> = (0..2_000).map(|page| format!("{secret}/{page}")).collect();
    app.record(many.iter().map(|page| (page.as_str(), DAY, 1))).await;
    app.record([("/other", DAY, 1), (secret, "2026-04-01T00:00:00Z", 1)]).await;
    let query = "mutation ($page: String!) { recordPageViews(input: { increments: [
        { page: $page, title: \"alice-in-wonderland at home\" }], idempotencyKey: \"key\" }) { views } }";
    app.data(query, serde_json::json!({ "page": secret })).await;
    let log = app.test_database.folder.path().join("access.log");
    let line =
        format!("127.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET {secret} HTTP/1.1\" 200 1 \"-\" \"Mozilla/5.0\"\n");
    fs::write(&log, &line).unwrap();
    process::succeed(&app.test_database, &["import", "access.log"]);
    fs::remove_file(&log).unwrap();
    app.refresh().await;
    done(&app, rename(&format!("{secret}/7"), &format!("{secret}/8"), true)).await;
    assert!(files_with(&app, "alice-in-wonderland") > 0, "the name is found where it is");
    done(&app, remove(PageSelection::Prefix("/users/alice".to_owned()))).await;
    let maintenance = Maintenance::new(&app.database, None);
    eventually("the write-ahead log to be empty", || async {
        maintenance.run().await.unwrap();
        files_with(&app, "alice-in-wonderland") == 0
    })
    .await;
    assert_eq!(sums(&app).await, sum_map([("/other", 1)]));
    assert_right(&app).await;
}

/// Returns how many files in the database's folder have `text`.
fn files_with(app: &TestApp, text: &str) -> usize {
    let files = fs::read_dir(app.test_database.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    files.filter(|path| fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_name_is_in_no_table_of_a_postgres_database() {
    for rung in [Rung::MaterializedView, Rung::Table] {
        let app = TestApp::start(rung).await;
        let secret = "/users/alice-in-wonderland";
        app.record([("/other", DAY, 1), (secret, DAY, 1)]).await;
        app.refresh().await;
        done(&app, rename(secret, "/users/alice-in-chains", true)).await;
        assert!(tables_with(&app, "alice-in").await > 0, "the name is found where it is");
        done(&app, remove(PageSelection::Contains("alice-in".to_owned()))).await;
        assert_eq!(tables_with(&app, "alice-in").await, 0);
        assert_right(&app).await;
    }
}

/// Returns how many tables have a row with `text`.
async fn tables_with(app: &TestApp, text: &str) -> usize {
    let db = &app.database.background;
    let backend = db.get_database_backend();
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm')";
    let tables = db.query_all_raw(Statement::from_string(backend, tables)).await.unwrap();
    let mut found = 0;
    for table in tables {
        let table: String = table.try_get_by_index(0).unwrap();
        let sql = format!("SELECT 1 FROM {table} AS row WHERE row::text LIKE '%{text}%' LIMIT 1");
        found += usize::from(db.query_one_raw(Statement::from_string(backend, sql)).await.unwrap().is_some());
    }
    found
}
