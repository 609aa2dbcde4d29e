//! What one client reaches that writes the same increments with plain SQL, in large groups.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use storage::clock;
use tokio::time::Instant;

use super::{WARM_UP, baseline, bodies};
use crate::{
    load::{Sent, latencies},
    server::Server,
    usage::Usage,
};

/// The increments of a transaction: as many as a commit of the service has at most.
pub(super) const GROUP: usize = 50_000;
/// As many as a commit has when 16 clients send batches of 1,000 and wait for each, for two committers. Smaller groups have more
/// rows an increment: popular pages are summed up less.
pub(super) const GROUP_OF_BATCHES: usize = 8_000;

/// Writes new pages: $1 names, $2 the present time.
const PAGES: &str = "INSERT INTO pages (name, first_seen_at) SELECT DISTINCT unnest($1::text[]), $2::timestamptz
    ON CONFLICT (name) DO NOTHING";
/// Adds the increments: $1 names, $2 the present time.
const VIEWS: &str = "INSERT INTO page_views (name, date, hour, views, updated_at)
    SELECT name, ($2 AT TIME ZONE 'UTC')::date, extract(hour FROM $2 AT TIME ZONE 'UTC'), count(*), $2
    FROM unnest($1::text[]) AS name GROUP BY name
    ON CONFLICT (name, date, hour)
    DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at";

/// Commits group after group on one connection, as prepared statements.
pub(super) async fn run(server: &Server, url: &str, duration: Duration, size: usize) -> anyhow::Result<Sent> {
    baseline::migrate(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    let mut pages = bodies::pages();
    // Drawn before, as the bodies of requests are.
    let groups: Vec<Vec<String>> =
        (0..bodies::INCREMENTS.div_ceil(size)).map(|_| pages.by_ref().take(size).collect()).collect();
    let mut latency = latencies()?;
    let begun = Instant::now();
    let (mut committed, mut before) = (0_u64, None);
    for group in groups.iter().cycle() {
        if before.is_none() && begun.elapsed() >= WARM_UP {
            before = Some((Instant::now(), Usage::now(None, server.main_process()?)?));
        }
        if before.is_some_and(|(from, _)| from.elapsed() >= duration) {
            break;
        }
        let begin = Instant::now();
        let mut transaction = connection.begin().await?;
        let now = clock::process_now();
        for statement in [PAGES, VIEWS] {
            sqlx::query(statement).bind(group).bind(now).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        committed += 1;
        if before.is_some() {
            latency.saturating_record(u64::try_from(begin.elapsed().as_micros())?);
        }
    }
    let (from, before) = before.ok_or_else(|| anyhow::anyhow!("nothing was measured"))?;
    let usage = Usage::now(None, server.main_process()?)?.since(before);
    let views: i64 = sqlx::query_scalar("SELECT sum(views)::bigint FROM page_views").fetch_one(&mut connection).await?;
    let recorded = committed * u64::try_from(size)?;
    anyhow::ensure!(u64::try_from(views)? == recorded, "{views} increments are recorded, {recorded} were committed");
    Ok(Sent { latency, refused: 0, usage, duration: from.elapsed(), acknowledged: committed, unknown: 0 })
}
