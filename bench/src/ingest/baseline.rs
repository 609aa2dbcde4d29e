//! The straightforward service's work for the database, without the service: one transaction an increment.

use std::sync::Arc;

use entity::Hour;
use sqlx::{Connection, PgConnection};
use storage::{Database, clock};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Plan, WARM_UP, bodies};
use crate::{
    dataset::service_settings,
    load::{Sent, latencies},
    server::Server,
    usage::Usage,
};

type Pages = Arc<Mutex<Box<dyn Iterator<Item = String> + Send>>>;

/// Sessions that each commit one increment after the other, as prepared statements.
pub(super) async fn run(server: &Server, url: &str, plan: &Plan) -> anyhow::Result<Sent> {
    let mut admin = PgConnection::connect(url).await?;
    migrate(url).await?;
    let pages: Pages = Arc::new(Mutex::new(bodies::pages()));
    let begin = Instant::now();
    let (counted_from, end) = (begin + WARM_UP, begin + WARM_UP + plan.duration);
    let mut sessions = JoinSet::new();
    for _ in 0..plan.connections {
        sessions.spawn(session(url.to_owned(), Arc::clone(&pages), counted_from, end));
    }
    sleep_until(counted_from).await;
    let before = Usage::now(None, server.main_process()?)?;
    sleep_until(end).await;
    let usage = Usage::now(None, server.main_process()?)?.since(before);
    let mut latency = latencies()?;
    let mut committed = 0;
    for session in sessions.join_all().await {
        let (all, latencies_us) = session?;
        committed += all;
        latencies_us.into_iter().for_each(|us| latency.saturating_record(us));
    }
    let views: i64 = sqlx::query_scalar("SELECT sum(views)::bigint FROM page_views").fetch_one(&mut admin).await?;
    anyhow::ensure!(views == committed, "{views} increments are recorded, {committed} were committed");
    let acknowledged = u64::try_from(committed)?;
    Ok(Sent { latency, refused: 0, usage, duration: plan.duration, acknowledged, unknown: 0 })
}

/// Makes the tables.
pub(super) async fn migrate(url: &str) -> anyhow::Result<()> {
    let database = Database::connect(&service_settings(url, &[])?.database).await?;
    database.migrate(migration::up).await?;
    Ok(database.close().await?)
}

/// How many were committed, and how long each took of those that are measured.
async fn session(url: String, pages: Pages, counted_from: Instant, end: Instant) -> anyhow::Result<(i64, Vec<u64>)> {
    let mut connection = PgConnection::connect(&url).await?;
    let (mut committed, mut latencies_us) = (0, Vec::new());
    loop {
        let begin = Instant::now();
        let Some(page) = pages.lock().await.next().filter(|_| begin < end) else {
            return Ok((committed, latencies_us));
        };
        commit(&mut connection, &page).await?;
        committed += 1;
        if begin >= counted_from {
            latencies_us.push(u64::try_from(begin.elapsed().as_micros())?);
        }
    }
}

async fn commit(connection: &mut PgConnection, page: &str) -> anyhow::Result<()> {
    let now = clock::process_now();
    let hour = Hour::containing(now);
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO pages (name, first_seen_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(page)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO page_views (name, date, hour, views, updated_at) VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (name, date, hour)
         DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at",
    )
    .bind(page)
    .bind(hour.date())
    .bind(hour.of_day())
    .bind(now)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("INSERT INTO stale_hours (date, hour) VALUES ($1, $2)")
        .bind(hour.date())
        .bind(hour.of_day())
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}
