//! A database login for each service, with the privileges that it needs and no others.

use ::jobs::{JobRequest, Jobs, PageSelection, Status, Task};
use chrono::TimeDelta;
use sqlx::{Executor, PgConnection};

use crate::{
    app::{Rung, TestDatabase, counts, report_rows},
    cluster, model,
    process::{self, Server},
    wait::eventually,
};
use serde_json::json;
use wolf::{LockMode, Refresher};

const RECORD: &str = "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { duplicate } }";
const REPORT: &str = "{ report(filter: { interval: { period: ALL_TIME } }) { totals { views pages } } }";

/// A database with logins, each reached by a URL of its own. Logins belong to the whole server: each test has its own.
struct Fixture {
    admin: TestDatabase,
    prefix: &'static str,
}

impl Fixture {
    async fn new(prefix: &'static str) -> Self {
        let admin = TestDatabase::create(Rung::MaterializedView).await;
        let fixture = Self { admin, prefix };
        fixture.migrate();
        fixture
    }

    fn migrate(&self) {
        process::succeed(&self.admin, &["migrate", "--roles", "--role-prefix", self.prefix]);
    }

    fn of(&self, service: &str) -> TestDatabase {
        let url = self.admin.url.replace("postgres@", &format!("{}_{service}@", self.prefix));
        TestDatabase { url, rung: self.admin.rung, folder: tempfile::tempdir().unwrap() }
    }

    async fn connect_admin(&self) -> PgConnection {
        cluster::connect(&self.admin.url).await
    }

    async fn connect(&self, service: &str) -> PgConnection {
        cluster::connect(&self.of(service).url).await
    }
}

/// The code of the error that the statement fails with.
async fn refused(connection: &mut PgConnection, statement: &'static str) -> Option<String> {
    let error = connection.execute(statement).await.err()?;
    Some(error.as_database_error().unwrap().code().unwrap().into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_login_has_only_the_privileges_of_its_service() {
    let fixture = Fixture::new("strict").await;
    // A second time, and after the Wolf's login has rebuilt the report.
    fixture.migrate();
    process::succeed(&fixture.of("wolf"), &["rebuild", "--as", "table"]);
    fixture.migrate();
    // Statements that each login must not execute.
    let refused_to: [(&str, &[&'static str]); 3] = [
        (
            "increments",
            &[
                "SELECT FROM page_views_report",
                "SELECT FROM page_views_live",
                "SELECT FROM report_refreshes",
                "SELECT FROM kept_days",
                "SELECT FROM stale_hours",
                "INSERT INTO report_refreshes (started_at, content_version) VALUES (now(), 1)",
                "INSERT INTO kept_days VALUES ('/a', '2026-01-01', 1)",
                "DELETE FROM pages",
                "DELETE FROM page_views",
                "DELETE FROM stale_hours",
                "DELETE FROM idempotency_keys",
                "UPDATE idempotency_keys SET kept = true",
                "DELETE FROM import_counts",
                "UPDATE jobs SET status = 'done'",
                "DELETE FROM jobs",
                "INSERT INTO page_aliases VALUES ('/a', '/b')",
                "TRUNCATE page_views",
                "DROP TABLE page_views",
                "CREATE TABLE mine (a int)",
                "CREATE TEMPORARY TABLE mine (a int)",
                "INSERT INTO seaql_migrations VALUES ('m', 1)",
                "UPDATE program_versions SET oldest_allowed = 'm'",
            ],
        ),
        (
            "reports",
            &[
                "SELECT FROM pages",
                "SELECT FROM page_views",
                "SELECT FROM page_views_live",
                "SELECT FROM stale_hours",
                "SELECT FROM stale_titles",
                "SELECT FROM idempotency_keys",
                "SELECT FROM imports",
                "SELECT FROM kept_days",
                "SELECT FROM jobs",
                "SELECT FROM page_aliases",
                "INSERT INTO pages VALUES ('/a', NULL, now())",
                "INSERT INTO page_views VALUES ('/a', '2026-01-01', 1, 1, now())",
                "INSERT INTO page_views_report (views) VALUES (1)",
                "UPDATE page_views_report SET views = 0",
                "DELETE FROM page_views_report",
                "INSERT INTO report_refreshes (started_at, content_version) VALUES (now(), 1)",
                "UPDATE report_refreshes SET error = NULL",
                "DELETE FROM report_refreshes",
                "DROP TABLE page_views_report",
                "ALTER TABLE page_views_report RENAME TO mine",
                "CREATE TABLE mine (a int)",
                "CREATE TEMPORARY TABLE mine (a int)",
                "INSERT INTO seaql_migrations VALUES ('m', 1)",
                "UPDATE program_versions SET oldest_allowed = 'm'",
            ],
        ),
        (
            "wolf",
            &[
                "INSERT INTO jobs (kind, status, requested_at, pages, views) VALUES ('undo_import', 'queued', now(), 0, 0)",
                "INSERT INTO imports (id) VALUES (1)",
                "INSERT INTO import_counts (chunk) VALUES (1)",
                "TRUNCATE page_views",
                "DROP TABLE page_views",
                "INSERT INTO stale_titles (name) VALUES ('/a')",
                "INSERT INTO idempotency_keys VALUES ('a', '', now(), true)",
                "SELECT FROM import_chunks",
                "UPDATE report_refreshes SET error = NULL",
                "INSERT INTO seaql_migrations VALUES ('m', 1)",
                "UPDATE program_versions SET oldest_allowed = 'm'",
            ],
        ),
    ];
    for (service, statements) in refused_to {
        let mut connection = fixture.connect(service).await;
        for statement in statements {
            // 42501 is insufficient_privilege.
            assert_eq!(refused(&mut connection, statement).await.as_deref(), Some("42501"), "{service}: {statement}");
        }
        assert!(process::succeed(&fixture.of(service), &["migrate", "status"]).starts_with("applied "), "{service}");
        let tried = process::run(&fixture.of(service), &["migrate", "down"]);
        assert_eq!(tried.status.code(), Some(1), "{service} takes the tables away");
    }
    let owners =
        "SELECT count(*) FROM pg_class WHERE relname IN ('page_views_report', 'page_views_live', 'counted_hours')
                  AND pg_get_userbyid(relowner) = 'strict_wolf'";
    let mut connection = fixture.connect("wolf").await;
    assert_eq!(sqlx::query_scalar::<_, i64>(owners).fetch_one(&mut connection).await.unwrap(), 3);
}

/// Everything that the services do, each with its login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_works_with_its_login() {
    let fixture = Fixture::new("works").await;
    let (increments, reports, wolf) = (fixture.of("increments"), fixture.of("reports"), fixture.of("wolf"));
    let recording = Server::start(&increments, &["--services", "increments"]);
    let reading = Server::start(&reports, &["--services", "reports"]);
    let admin = fixture.admin.connect().await;
    let views = async || reading.data(REPORT, json!({})).await.unwrap()["report"]["totals"]["views"].clone();
    let record = async |number: u32| {
        let increments = [
            json!({ "page": "/a", "title": format!("Title {number}") }),
            json!({ "page": "/old", "at": "2026-01-01T10:00:00Z" }),
        ];
        let input = json!({ "increments": increments, "idempotencyKey": format!("key {number}") });
        for duplicate in [false, true] {
            let recorded = recording.data(RECORD, json!({ "input": input })).await.unwrap();
            assert_eq!(recorded["recordPageViews"]["duplicate"], duplicate);
        }
    };
    let reported = async |wanted: u32| {
        assert_eq!(report_rows(&admin).await, model::report(&counts(&admin).await));
        eventually("the report to be read", async || views().await == wanted).await;
    };

    record(1).await;
    process::succeed(&wolf, &["refresh"]);
    reported(2).await;
    for (number, kind) in [(2, "table"), (3, "materialized-view"), (4, "table"), (5, "materialized-view")] {
        record(number).await;
        if kind == "materialized-view" {
            // The report is still a table, and hours that a transaction leaves unfinished are marked again.
            let wolf = wolf.connect().await;
            Refresher::new(&wolf).merging_at_most(1).refresh(LockMode::Wait, None).await.unwrap();
            reported(2 * number).await;
        }
        process::succeed(&wolf, &["rebuild", "--as", kind]);
        reported(2 * number).await;
        process::succeed(&wolf, &["verify"]);
        // The logins can be created again, whatever the kind of the report.
        fixture.migrate();
    }
    // The schedule converts a slow view by itself, drops old hours, and continues.
    let arguments = ["--services", "wolf", "--refresh-cron", "* * * * * *", "--keep-hours", "48"];
    let limit = ["--materialized-view-limit-ms", "0"];
    let refreshing = Server::start(&wolf, &[&arguments[..], &limit].concat());
    record(6).await;
    eventually("the refresh", async || views().await == 12).await;
    let kind = "SELECT relkind::text FROM pg_class WHERE relname = 'page_views_report'";
    let mut connection = cluster::connect(&fixture.admin.url).await;
    eventually("the table", async || {
        sqlx::query_scalar::<_, String>(kind).fetch_one(&mut connection).await.unwrap() == "r"
    })
    .await;
    drop(refreshing);
    process::succeed(&wolf, &["refresh"]);
    let _again = Server::start(&wolf, &arguments);
    eventually("old hours to be dropped", async || counts(&admin).await.keys().all(|(page, ..)| page != "/old")).await;
    record(7).await;
    eventually("the merge", async || views().await == 14).await;
    process::succeed(&wolf, &["verify"]);
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/access.log.gz");
    assert!(process::succeed(&increments, &["import", "--include-bots", log]).contains("2548"));
    // The reports' login exports, and the increments' one takes counts back.
    let reports = fixture.of("reports");
    let exported = crate::export::export(&reports, &[]);
    assert!(!crate::export::read(counts::Format::Csv, &exported).is_empty());
    let file = increments.folder.path().join("counts.csv");
    std::fs::write(&file, &exported).unwrap();
    let imported = process::succeed(&increments, &["import", "--counts", file.to_str().unwrap()]);
    assert!(imported.contains("unreadable") && !imported.contains("counted  0"), "{imported}");
    // Jobs are handed over by one login and done by the other, of a view and of a table.
    let handing_over = Jobs::new(&increments.connect().await);
    let hand_over = async |task| handing_over.submit(JobRequest { task, reason: None, key: None }).await.unwrap();
    let import = sqlx::query_scalar("SELECT id FROM imports").fetch_one(&mut connection).await.unwrap();
    for kind in ["materialized-view", "table"] {
        process::succeed(&wolf, &["rebuild", "--as", kind]);
        let rename = |from: &str, to: &str| Task::RenamePage { from: from.into(), to: to.into(), keep_alias: true };
        match kind {
            "table" => drop(hand_over(Task::UndoImport { import }).await),
            _ => drop(hand_over(rename("/a", "/new")).await),
        }
        let pages = Some(PageSelection::Prefix("/presentations".to_owned()));
        let last = hand_over(Task::RemoveViews { pages, start: None, end: None }).await;
        process::succeed(&wolf, &["refresh"]);
        let ended = handing_over.find(last.job.id).await.unwrap().unwrap();
        assert_eq!(ended.status, Status::Done, "{ended:?}");
        process::succeed(&wolf, &["verify"]);
    }
}

/// A login that may not create relations can refresh the report and can't convert it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_conversion_fails_no_refresh_and_is_retried_after_the_next_one() {
    let fixture = Fixture::new("follow_up").await;
    let mut admin = fixture.connect_admin().await;
    let mark = "INSERT INTO stale_hours (date, hour) VALUES ('2026-03-01', 0)";
    // Half a second for each mark that is taken: only the first refresh is slow.
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
                CREATE TRIGGER slow AFTER DELETE ON stale_hours FOR EACH ROW EXECUTE FUNCTION wait();
                REVOKE CREATE ON SCHEMA public FROM follow_up_wolf";
    admin.execute(slow).await.unwrap();
    admin.execute(mark).await.unwrap();
    let wolf = fixture.of("wolf");
    let output = process::run(&wolf, &["refresh", "--materialized-view-limit-ms", "0"]);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && stdout.starts_with("refreshed 1 stale hours"), "{stdout} {stderr}");
    assert!(stderr.contains("what follows has failed"), "{stderr}");

    let connection = wolf.connect().await;
    let refresher = Refresher::new(&connection).converting_views_slower_than(TimeDelta::milliseconds(400));
    let kind = "SELECT relkind::text FROM pg_class WHERE relname = 'page_views_report'";
    admin.execute(mark).await.unwrap();
    for (may_create, expected) in [(false, "m"), (true, "r")] {
        if may_create {
            admin.execute("GRANT CREATE ON SCHEMA public TO follow_up_wolf").await.unwrap();
        }
        refresher.refresh(LockMode::Wait, None).await.unwrap();
        let errors = "SELECT count(*) FROM report_refreshes WHERE error IS NOT NULL";
        assert_eq!(sqlx::query_scalar::<_, i64>(errors).fetch_one(&mut admin).await.unwrap(), 0);
        assert_eq!(sqlx::query_scalar::<_, String>(kind).fetch_one(&mut admin).await.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_for_logins_are_refused_with_the_reason() {
    let (sqlite, postgres) =
        (TestDatabase::create(Rung::Sqlite).await, TestDatabase::create(Rung::MaterializedView).await);
    let passwords = |text: &str| {
        let file = postgres.folder.path().join(format!("passwords {}", text.len()));
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let file = |text: &str| vec!["--roles".to_owned(), "--role-passwords-file".to_owned(), passwords(text)];
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (database, arguments, reason) in [
        (&sqlite, words("--roles"), "an SQLite file has no logins"),
        (&postgres, words("--roles --role-prefix Me"), "a prefix is a lower-case letter"),
        (&postgres, words("--roles status"), "`migrate up` only"),
        (&postgres, words("--roles down"), "`migrate up` only"),
        (&postgres, words("--role-passwords-file x"), "with --roles only"),
        (&postgres, words("--roles --role-passwords-file nowhere"), "can't read nowhere"),
        (&postgres, file("increments secret\nreport secret"), "line 2: must be a service"),
        (&postgres, file("increments secret\nincrements secret"), "line 2: must be a service"),
        (&postgres, file("# those\n\nwolf"), "line 3: must be a service"),
    ] {
        let arguments: Vec<_> = std::iter::once("migrate").chain(arguments.iter().map(String::as_str)).collect();
        let output = process::run(database, &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(reason) && !stderr.contains("secret"), "{arguments:?}: {stderr}");
    }
}
