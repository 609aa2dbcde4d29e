//! Reports: what an answer costs from the report, from the counts, and from memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use hyper::body::Bytes;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::{
    cli::ReportSettings,
    dataset::Dataset,
    figures,
    load::{self, Load, Pace, quantile_ms},
    machine,
    server::Server,
    service::{self, NO_CACHE, NO_REFRESH, Place, Service},
    terminal::Progress,
};

/// How long the cache is asked before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// How many ask it at once.
const CONNECTIONS: usize = 64;
/// How often a question is asked before it is measured: plans and pages are cached.
const ASKED_BEFORE: u32 = 10;

/// A question in GraphQL and in SQL, and where the same number is in both answers.
struct Question {
    name: &'static str,
    query: String,
    /// From the counts, joined with the pages: the query that a service without a report would need.
    sql: String,
    /// The number in the service's answer.
    pointer: &'static str,
}

/// Measures every question and prints the tables.
pub(crate) async fn run(settings: &ReportSettings) -> anyhow::Result<()> {
    service::build()?;
    let mut server = Server::start().await?;
    machine::print_head(&server).await?;
    let progress = Progress::new();
    progress.part(&format!("{} rows", figures::count(settings.rows)));
    let mut dataset = Dataset::create(&mut server, settings.rows, &progress).await?;
    progress.step("makes the report a table");
    dataset.convert_to_table().await?;
    dataset.refresher.refresh(wolf::LockMode::Wait, None).await?;
    dataset.settle(&progress).await?;
    progress.print(HEAD);
    let questions = questions();
    let without_cache = [NO_REFRESH, NO_CACHE].concat();
    let cold = Service::start(&server, Place::Postgres, &dataset.url, &without_cache).await?;
    let warm = Service::start(&server, Place::Postgres, &dataset.url, &NO_REFRESH).await?;
    for question in &questions {
        progress.step(question.name);
        let row = measure(question, &mut dataset, &cold, &warm, settings).await?;
        progress.print(&row);
    }
    cold.stop()?;
    warm.stop()?;
    progress.step("drops the database");
    dataset.drop(&server).await
}

const HEAD: &str = "\n| question | from the counts: p50 ms | from the report, cold: p50 ms | p99 ms | times as fast | warm: reports/s | at half of that: p50 ms | p99 ms |\n\
| --- | --: | --: | --: | --: | --: | --: | --: |";

fn questions() -> Vec<Question> {
    let views = "SELECT coalesce(sum(views), 0)::bigint FROM page_views JOIN pages USING (name)";
    let days = |days: u32| format!("date > (now() AT TIME ZONE 'UTC')::date - {days}");
    let year = "date >= date_trunc('month', (now() AT TIME ZONE 'UTC') - interval '11 months')::date";
    let top = |since: &str| {
        format!(
            "SELECT name, title, sum(views)::bigint AS views FROM page_views JOIN pages USING (name) WHERE {since} GROUP BY name, title ORDER BY views DESC, name LIMIT 10"
        )
    };
    // The first hour of the first of 30 days in New York.
    let new_york = "(date + hour * interval '1 hour') >= ((now() AT TIME ZONE 'America/New_York')::date - 29)::timestamp AT TIME ZONE 'America/New_York' AT TIME ZONE 'UTC'";
    let pages = |zone: &str| {
        format!(
            "{{ report(filter: {{ interval: {{ period: LAST_30_DAYS }}, timeZone: \"{zone}\" }}) {{ pages(first: 10) {{ nodes {{ page title views }} }} }} }}"
        )
    };
    vec![
        Question {
            name: "site, total of 12 months",
            query: "{ report(filter: { interval: { period: LAST_12_MONTHS } }) { totals { views } } }".to_owned(),
            sql: format!("{views} WHERE {year}"),
            pointer: "/data/report/totals/views",
        },
        Question {
            name: "site, daily series of 12 months",
            query: "{ report(filter: { interval: { period: LAST_12_MONTHS } }) { series(granularity: DAY) { start views } } }".to_owned(),
            sql: format!("SELECT date, sum(views)::bigint AS views FROM page_views JOIN pages USING (name) WHERE {year} GROUP BY date ORDER BY date"),
            pointer: "",
        },
        Question {
            name: "top 10 pages of 30 days, UTC",
            query: pages("UTC"),
            sql: top(&days(30)),
            pointer: "/data/report/pages/nodes/0/views",
        },
        Question {
            name: "top 10 pages of 30 days, New York",
            query: pages("America/New_York"),
            sql: top(new_york),
            pointer: "/data/report/pages/nodes/0/views",
        },
        Question {
            name: "one page, hourly series of 7 days",
            query: "{ report(filter: { interval: { period: LAST_7_DAYS }, pages: { names: [\"/page/00042\"] } }) { series(granularity: HOUR) { start views } } }".to_owned(),
            sql: format!("SELECT date, hour, views FROM page_views JOIN pages USING (name) WHERE name = '/page/00042' AND {} ORDER BY date, hour", days(7)),
            pointer: "",
        },
    ]
}

async fn measure(
    question: &Question,
    dataset: &mut Dataset,
    cold: &Service,
    warm: &Service,
    settings: &ReportSettings,
) -> anyhow::Result<String> {
    // A question that takes a second is not asked as often as one that takes a millisecond.
    let by_sql = ask_database(question, &mut dataset.admin, settings.asked.div_ceil(10)).await?;
    let (cold, answer) = ask_service(question, cold, settings.asked).await?;
    if !question.pointer.is_empty() {
        let rows = sqlx::query(AssertSqlSafe(question.sql.clone())).fetch_all(&mut dataset.admin).await?;
        let first = rows.first().context("the database has no answer")?;
        let expected: i64 = first.try_get(first.len() - 1)?;
        let said = answer.pointer(question.pointer).and_then(Value::as_i64);
        ensure!(said == Some(expected), "{}: {said:?} from the report, {expected} from the counts", question.name);
    }
    let bodies: Arc<[Bytes]> = Arc::new([Bytes::from(json!({ "query": question.query }).to_string())]);
    let duration = Duration::from_secs(settings.seconds);
    let load = Load { address: warm.address(), connections: CONNECTIONS, pace: Pace::AtOnce };
    let most = load.run(Arc::clone(&bodies), WARM_UP, duration, || warm.usage()).await?;
    let pace = Pace::PerSecond(most.per_second() / 2.0);
    let half = Load { pace, ..load }.run(bodies, WARM_UP, duration, || warm.usage()).await?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio of microseconds")]
    let times = by_sql.value_at_quantile(0.5) as f64 / cold.value_at_quantile(0.5) as f64;
    Ok(format!(
        "| {} | {} | {} | {} | {times:.1} | {} | {} | {} |",
        question.name,
        quantile_ms(&by_sql, 0.5),
        quantile_ms(&cold, 0.5),
        quantile_ms(&cold, 0.99),
        figures::count(format!("{:.0}", most.per_second())),
        quantile_ms(&half.latency, 0.5),
        quantile_ms(&half.latency, 0.99),
    ))
}

async fn ask_database(
    question: &Question,
    connection: &mut PgConnection,
    asked: u32,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency = load::latencies()?;
    for number in 0..asked + ASKED_BEFORE.min(asked) {
        let begun = Instant::now();
        sqlx::query(AssertSqlSafe(question.sql.clone())).fetch_all(&mut *connection).await?;
        if number >= ASKED_BEFORE.min(asked) {
            latency.saturating_record(u64::try_from(begun.elapsed().as_micros())?);
        }
    }
    Ok(latency)
}

/// One request after the other, on one connection; and the last answer.
async fn ask_service(question: &Question, service: &Service, asked: u32) -> anyhow::Result<(Histogram<u64>, Value)> {
    let mut client = load::Connection::open(service.address()).await?;
    let mut latency = load::latencies()?;
    let mut answer = Value::Null;
    for number in 0..asked + ASKED_BEFORE {
        let (took, said) = client.query(&question.query).await?;
        if number >= ASKED_BEFORE {
            latency.saturating_record(u64::try_from(took.as_micros())?);
        }
        answer = said;
    }
    Ok((latency, answer))
}
