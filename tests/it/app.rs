//! The service in the process of the tests, on a database of its own, refreshed only by the test.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    access::{Access, AccessSettings},
    http::{self, DashboardSettings, HttpSettings, Readiness, Services, Timeouts, ViewSettings},
};
use chrono::{DateTime, NaiveDate, Utc};
use entity::{
    Grain, Hour, page_view,
    page_views_report::{self as report, hour_column},
    report_refresh, stale_hour, stale_title,
};
use futures_util::StreamExt;
use increments::{Increment, PageName, Recorder, RecorderSettings, Request, Views};
use jobs::Jobs;
use reports::{
    ReportReader, ReportSettings, Reports,
    freshness::{Freshness, FreshnessFeed},
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter, Statement};
use serde_json::{Value, json};
use storage::{ConnectionSettings, Database, DatabaseKind, DatabaseSettings};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use wolf::{LockMode, Outcome, Refreshed, Refresher, ReportKind};

use crate::{
    cluster::{self, Cluster, shared_citus},
    model::{Counts, Rows},
    proxy::Proxy,
    wait::{eventually, wait_for},
};

/// The kind of database and report that a test runs on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    Sqlite,
    MaterializedView,
    Table,
}

/// A database of one test: a file, or a database of the shared cluster.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    pub(crate) rung: Rung,
    pub(crate) folder: TempDir,
}

impl TestDatabase {
    /// Creates an empty database, without tables.
    pub(crate) async fn create(rung: Rung) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match rung {
            Rung::Sqlite => format!("sqlite://{}", folder.path().join("test.db").display()),
            Rung::MaterializedView | Rung::Table => cluster::create_database().await,
        };
        Self { url, rung, folder }
    }

    /// Creates an empty database in a cluster of the test's own.
    pub(crate) async fn create_in(cluster: &Cluster) -> Self {
        let url = cluster.create_database().await;
        Self { url, rung: Rung::Table, folder: tempfile::tempdir().unwrap() }
    }

    /// The same database once more, for another process. This one has to outlive it.
    pub(crate) fn again(&self) -> Self {
        Self { url: self.url.clone(), rung: self.rung, folder: tempfile::tempdir().unwrap() }
    }

    /// The same PostgreSQL database, reached through `proxy`.
    pub(crate) fn through(&self, proxy: &Proxy) -> Self {
        self.at(&proxy.address)
    }

    /// The same PostgreSQL database, reached at `address`.
    pub(crate) fn at(&self, address: &str) -> Self {
        let (_, name) = self.url.rsplit_once('/').unwrap();
        let url = format!("postgres://postgres@{address}/{name}");
        Self { url, rung: self.rung, folder: tempfile::tempdir().unwrap() }
    }

    /// Where the server of this PostgreSQL database listens.
    pub(crate) fn server(&self) -> String {
        let (server, _) = self.url.rsplit_once('/').unwrap();
        server.replace("postgres://postgres@", "")
    }

    pub(crate) async fn connect(&self) -> Database {
        Database::connect(&self.settings()).await.unwrap()
    }

    pub(crate) fn settings(&self) -> DatabaseSettings {
        DatabaseSettings {
            connection: ConnectionSettings {
                database_url: self.url.parse().unwrap(),
                database_password_file: None,
                database_timeout_ms: 30_000,
                link_check_ms: 5_000,
            },
            notify_database_url: None,
            // Few: a query that needed two at once would wait for ever.
            reader_connections: 2,
            query_timeout_ms: 30_000,
        }
    }

    /// Creates the tables, and the report of the rung's kind.
    pub(crate) async fn migrate(&self) -> Database {
        let database = self.connect().await;
        database.migrate(migration::up).await.unwrap();
        if self.rung == Rung::Table {
            // On a Citus cluster the report is a table then.
            wolf::distribute(&database).await.unwrap();
            Refresher::new(&database).ensure_kind(ReportKind::Table).await.unwrap();
        }
        database
    }
}

/// The settings of the service.
pub(crate) struct Settings {
    pub(crate) recorder: RecorderSettings,
    pub(crate) http: HttpSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            recorder: RecorderSettings { queue_increments: 200_000, committers: 2, record_timeout_ms: 30_000 },
            http: HttpSettings {
                listen: "127.0.0.1:0".parse().unwrap(),
                body_bytes: 8 * 1024 * 1024,
                body_bytes_in_all: 64 * 1024 * 1024,
                response_bytes: 8 * 1024 * 1024,
                response_bytes_in_all: 256 * 1024 * 1024,
                subscriber_connections: 20_000,
                subscriber_connections_each: 20_000,
                socket_operations: 100,
                connections: 30_000,
                connections_each: Some(30_000),
                request_timeout_ms: 60_000,
                read_wait_ms: 30_000,
                waiting_queries: 20_000,
                // Off: a query that a test repeats is executed again. tests/it/response_cache.rs turns it on.
                response_cache_bytes: 0,
                access: AccessSettings::default(),
                views: ViewSettings::default(),
                dashboard: DashboardSettings::default(),
                timeouts: Timeouts::default(),
            },
        }
    }
}

/// The service, without a schedule.
pub(crate) struct TestApp {
    pub(crate) test_database: TestDatabase,
    pub(crate) database: Database,
    pub(crate) recorder: Recorder,
    pub(crate) reader: ReportReader,
    pub(crate) feed: FreshnessFeed,
    pub(crate) refresher: Refresher,
    pub(crate) address: String,
    pub(crate) client: reqwest::Client,
    pub(crate) stop: CancellationToken,
    stop_tail: CancellationToken,
    tasks: JoinSet<()>,
}

impl TestApp {
    pub(crate) async fn start(rung: Rung) -> Self {
        Self::start_with(rung, |_settings| {}).await
    }

    /// Starts the service with other settings than the usual ones.
    pub(crate) async fn start_with(rung: Rung, set: impl FnOnce(&mut Settings)) -> Self {
        let test_database = TestDatabase::create(rung).await;
        test_database.migrate().await.close().await.unwrap();
        Self::serve(test_database, set).await
    }

    /// Starts the service on a database that has its tables.
    pub(crate) async fn serve(test_database: TestDatabase, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        set(&mut settings);
        let database = test_database.connect().await;
        let (recorder, committer) = Recorder::new(&database, &settings.recorder);
        let (feed, tail) = FreshnessFeed::new(&database);
        let reader = ReportReader::new(&database, feed.clone(), &ReportSettings { cache_bytes: 16 * 1024 * 1024 });
        let services = services(&database, &recorder, &reader, &feed);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(committer.run(CancellationToken::new()));
        let stop_tail = CancellationToken::new();
        tasks.spawn(tail.run(stop_tail.clone()));
        let http = settings.http;
        let access = Access::new(&http.access, http.listen).unwrap();
        let stop_http = stop.clone();
        tasks.spawn(async move { http::serve(listener, services, access, &http, stop_http).await });
        Self {
            refresher: Refresher::new(&database),
            test_database,
            database,
            recorder,
            reader,
            feed,
            address,
            client: reqwest::Client::new(),
            stop,
            stop_tail,
            tasks,
        }
    }

    /// Waits for everything to end after `stop`; the feed last, as in `serve`.
    pub(crate) async fn stopped(mut self) {
        self.stop_tail.cancel();
        drop(self.recorder);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// Records `views` of `page` at each given time, in one request.
    pub(crate) async fn record<'a>(&self, views: impl IntoIterator<Item = (&'a str, &'a str, i64)>) -> DateTime<Utc> {
        let increments = views.into_iter().map(|(page, at, views)| increment(page, at.parse().unwrap(), views));
        self.recorder.record(Request::new(increments.collect(), None)).await.unwrap().recorded_at
    }

    /// Refreshes, and waits until the feed of this process has it: queries show it from then on.
    pub(crate) async fn refresh(&self) -> Refreshed {
        let Outcome::Refreshed(done) = Box::pin(self.refresher.refresh(LockMode::Wait, None)).await.unwrap() else {
            panic!("a refresh that waits for its lock stood by")
        };
        // Groups may have been built after it, which a row of its own tells.
        let newest = report_refresh::newest(&self.database.readers).await.unwrap().map_or(done.id, |row| row.id);
        self.until_freshness("the refresh in the feed", |known| known.refresh_id >= newest).await;
        done
    }

    /// Waits until the freshness feed of this process has a value for which `is_wanted` holds.
    pub(crate) async fn until_freshness(&self, what: &str, is_wanted: impl Fn(&Freshness) -> bool) {
        let found = self.feed.subscribe().any(|freshness| std::future::ready(is_wanted(&freshness)));
        assert!(wait_for(what, found).await, "the feed has ended without {what}");
    }

    /// Makes the database refuse new rows of the report, a table, that are of this grain and name.
    pub(crate) async fn refuse_rows(&self, grain: &str, name: &str) {
        let sql = match self.database.kind {
            DatabaseKind::Sqlite => format!(
                "CREATE TRIGGER refused BEFORE INSERT ON page_views_report WHEN NEW.grain = '{grain}' AND NEW.name = '{name}' \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            ),
            DatabaseKind::Postgres => format!(
                "ALTER TABLE page_views_report ADD CONSTRAINT refused CHECK (NOT (grain = '{grain}' AND name = '{name}')) \
                 NOT VALID"
            ),
        };
        self.database.background.execute_unprepared(&sql).await.unwrap();
    }

    /// Makes it take them again.
    pub(crate) async fn refuse_no_rows(&self) {
        let sql = match self.database.kind {
            DatabaseKind::Sqlite => "DROP TRIGGER refused",
            DatabaseKind::Postgres => "ALTER TABLE page_views_report DROP CONSTRAINT refused",
        };
        self.database.background.execute_unprepared(sql).await.unwrap();
    }

    /// Executes an operation by POST, and returns the whole response, with its errors.
    pub(crate) async fn execute(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let url = format!("http://{}/graphql", self.address);
        self.client.post(url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// Executes an operation, and returns its data. Fails when there are errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.execute(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}");
        answer["data"].take()
    }

    /// Executes an operation, and returns codes and messages of its errors.
    pub(crate) async fn errors(&self, query: &str, variables: Value) -> Vec<(String, String)> {
        let answer = self.execute(query, variables).await;
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        errors.iter().map(|error| (text(&error["extensions"]["code"]), text(&error["message"]))).collect()
    }

    pub(crate) async fn report_rows(&self) -> Rows {
        report_rows(&self.database).await
    }

    /// The sums of the groups in the report.
    pub(crate) async fn group_rows(&self) -> Rows {
        group_rows_of(&self.database.readers).await
    }

    /// Reads the report's version, all its sums, the pages' titles and the groups in one snapshot. On a Citus cluster that is one in which
    /// no refresh became visible meanwhile.
    pub(crate) async fn content(&self) -> (i64, Rows, Titles, Groups) {
        let snapshots = storage::snapshot::Snapshots::new(
            &self.database.readers,
            &self.database.clock,
            entity::page_views_report::RELATION,
        );
        let mut content = None;
        eventually("a consistent snapshot", async || {
            let Ok(snapshot) = snapshots.begin().await else { return false };
            let version = report_refresh::newest(&snapshot).await.unwrap().map_or(0, |row| row.content_version);
            let groups = groups_of(&snapshot).await;
            let read = (version, rows_of(&snapshot).await, titles_of(&snapshot).await, groups);
            content = snapshot.is_consistent().await.unwrap().then_some(read);
            content.is_some()
        })
        .await;
        content.unwrap()
    }

    pub(crate) async fn counts(&self) -> Counts {
        counts(&self.database).await
    }

    /// Returns whether the database is a Citus cluster's, where marks are beside the counts and each node commits at another
    /// moment.
    pub(crate) fn is_on_a_cluster(&self) -> bool {
        self.test_database.rung != Rung::Sqlite && shared_citus().is_some()
    }

    /// Returns the number of stale hours and stale titles.
    pub(crate) async fn marks(&self) -> u64 {
        let readers = &self.database.readers;
        let mut marks = stale_hour::Entity::find().count(readers).await.unwrap()
            + stale_title::Entity::find().count(readers).await.unwrap();
        if self.is_on_a_cluster() {
            let sql = "SELECT count(*) FROM (SELECT DISTINCT name, date, hour FROM stale_pages) AS marked";
            let row = readers.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
            marks += u64::try_from(row.try_get_by_index::<i64>(0).unwrap()).unwrap();
        }
        marks
    }
}

/// All services, always ready.
pub(crate) fn services(
    database: &Database,
    recorder: &Recorder,
    reader: &ReportReader,
    feed: &FreshnessFeed,
) -> Services {
    Services {
        recorder: Some(recorder.clone()),
        jobs: Some(Jobs::new(database)),
        reports: Some(Reports { reader: reader.clone(), feed: feed.clone() }),
        readiness: Readiness::new(&["increments", "reports"], || Box::pin(async { Ok(()) })),
        metrics_renderer: None,
    }
}

/// An increment of `views` at a given time.
pub(crate) fn increment(page: &str, at: DateTime<Utc>, views: i64) -> Increment {
    Increment {
        page: PageName::new(page.to_owned()).unwrap(),
        views: Views::new(views).unwrap(),
        hour: Hour::containing(at),
        at: Some(at),
        title: None,
    }
}

pub(crate) async fn report_rows(database: &Database) -> Rows {
    rows_of(&database.readers).await
}

/// The sums of the report: of each day with its hours, and of each month.
async fn rows_of<C: ConnectionTrait>(db: &C) -> Rows {
    sums_of(db, ["day", "month"]).await
}

/// The sums of groups in the report.
pub(crate) async fn group_rows_of<C: ConnectionTrait>(db: &C) -> Rows {
    sums_of(db, ["group_day", "group_month"]).await
}

async fn sums_of<C: ConnectionTrait>(db: &C, [day, month]: [&str; 2]) -> Rows {
    let hours = (0..24).map(hour_column).collect::<Vec<_>>().join(", ");
    let sql =
        format!("SELECT grain, name, date, views, {hours} FROM page_views_report WHERE grain IN ('{day}', '{month}')");
    let mut found = BTreeMap::new();
    for row in db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap() {
        let grain = if row.try_get_by_index::<String>(0).unwrap() == day { "day" } else { "month" };
        let (name, date): (String, NaiveDate) = (row.try_get_by_index(1).unwrap(), row.try_get_by_index(2).unwrap());
        for (hour, index) in (0..24).zip(4..) {
            if let Some(views) = row.try_get_by_index::<Option<i64>>(index).unwrap() {
                assert_eq!(grain, "day", "a month has no hours");
                found.insert(("hour", name.clone(), date, hour), views);
            }
        }
        let views = row.try_get_by_index(3).unwrap();
        assert_eq!(found.insert((grain, name, date, 0), views), None, "a row stands twice");
    }
    found
}

/// The groups of the report as readers see them: the pages and the rows of each; `None` of one that is not complete.
pub(crate) type Groups = BTreeMap<String, Option<(BTreeSet<String>, Rows)>>;

async fn groups_of<C: ConnectionTrait>(db: &C) -> Groups {
    let of_grain = async |grain| report::Entity::find().filter(report::Column::Grain.eq(grain)).all(db).await.unwrap();
    let (groups, members, rows) =
        (of_grain(Grain::Group).await, of_grain(Grain::Member).await, group_rows_of(db).await);
    let group = |group: report::Model| {
        let is_in = |member: &&report::Model| {
            let groups: Vec<String> = serde_json::from_str(member.title.as_ref().unwrap()).unwrap();
            groups.contains(&group.name)
        };
        let pages = members.iter().filter(is_in).map(|member| member.name.clone()).collect();
        let rows = rows.iter().filter(|((_, name, ..), _)| *name == group.name);
        let rows = rows.map(|(key, views)| (key.clone(), *views)).collect();
        (group.name.clone(), group.title.is_none().then_some((pages, rows)))
    };
    groups.into_iter().map(group).collect()
}

/// The titles of the report's pages.
pub(crate) type Titles = BTreeMap<String, Option<String>>;

/// The titles of the report's pages.
pub(crate) async fn titles_of<C: ConnectionTrait>(db: &C) -> Titles {
    let rows = report::Entity::find().filter(report::Column::Grain.eq(Grain::Page)).all(db).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.title)).collect()
}

pub(crate) async fn counts(database: &Database) -> Counts {
    let rows = page_view::Entity::find().all(&database.readers).await.unwrap();
    rows.into_iter().map(|row| ((row.name, row.date, row.hour), row.views)).collect()
}
