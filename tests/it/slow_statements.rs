//! What the log says of statements that take long: of the Wolf's own, which are long by nature, no warning.

use sqlx::Executor;

use crate::{
    app::{Rung, TestDatabase},
    cluster, process,
};

/// Makes every insert into the report take longer than the second from which the driver calls a statement slow.
const SLOW_POSTGRES: &str = "
    CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.1); RETURN NULL; END';
    CREATE TRIGGER take_long BEFORE INSERT ON page_views_report EXECUTE FUNCTION take_long()";
/// The same on SQLite, which has no function that waits.
const SLOW_SQLITE: &str = "
    CREATE TRIGGER take_long BEFORE INSERT ON page_views_report WHEN NEW.grain = 'month' AND NEW.name = '' BEGIN
        SELECT count(*) FROM (WITH RECURSIVE numbers(number) AS
            (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 20000000) SELECT number FROM numbers);
    END";

/// Returns the lines of the log about slow statements.
fn slow_lines(output: &std::process::Output) -> Vec<String> {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    log.lines().filter(|line| line.contains("slow statement")).map(str::to_owned).collect()
}

async fn long_statements_of_the_wolf_are_no_warnings(rung: Rung, slow: &'static str) {
    let database = TestDatabase::create(rung).await;
    let connection = database.migrate().await;
    match rung {
        Rung::Sqlite => drop(connection.writers.get_sqlite_connection_pool().execute(slow).await.unwrap()),
        _ => drop(cluster::connect(&database.url).await.execute(sqlx::raw_sql(slow)).await.unwrap()),
    }
    let log = "h - - [17/May/2015:10:05:03 +0200] \"GET /a HTTP/1.1\" 200 1\n";
    std::fs::write(database.folder.path().join("access.log"), log).unwrap();
    process::succeed(&database, &["import", "access.log"]);

    let lines = slow_lines(&process::run(&database, &["refresh", "--log", "info,sqlx=debug"]));
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("DEBUG")), "{lines:?}");
    let lines = slow_lines(&process::run(&database, &["rebuild"]));
    assert!(lines.is_empty(), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_statements_of_the_wolf_are_no_warnings_on_postgres() {
    long_statements_of_the_wolf_are_no_warnings(Rung::Table, SLOW_POSTGRES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_statements_of_the_wolf_are_no_warnings_on_sqlite() {
    long_statements_of_the_wolf_are_no_warnings(Rung::Sqlite, SLOW_SQLITE).await;
}
