//! The statements for PostgreSQL. Rows are sent as arrays, so that the SQL text does not depend on their number.
//!
//! Statements that join the sent rows with a table are not kept as prepared statements: a plan made while the table was
//! small would read the whole table even when it has grown.

use chrono::{DateTime, NaiveDate, Utc};
use entity::Hour;
use sqlx::PgConnection;

use super::Statements;
use crate::increment::{Fingerprint, IdempotencyKey, Title};

/// Returns the columns `date` and `hour` of `hours`.
fn columns(hours: impl Iterator<Item = Hour> + Clone) -> (Vec<NaiveDate>, Vec<i16>) {
    (hours.clone().map(Hour::date).collect(), hours.map(Hour::of_day).collect())
}

impl Statements for PgConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        sqlx::query_as(
            "INSERT INTO idempotency_keys (key, client, fingerprint, recorded_at, kept, claimed_ms)
             SELECT key, client, fingerprint, $6, kept, (SELECT elapsed_ms FROM refresh_clock)
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::boolean[]) AS sent (key, client, former, fingerprint, kept)
             WHERE NOT EXISTS (
                 SELECT FROM idempotency_keys AS earlier
                 WHERE earlier.key = sent.key AND earlier.client IN ('', sent.former) AND earlier.client <> sent.client
                   AND earlier.fingerprint = sent.fingerprint
             )
             ON CONFLICT (key, client) DO NOTHING
             RETURNING key, client",
        )
        .persistent(false)
        .bind(keys.iter().map(|(key, _)| key.text.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(key, _)| key.client.id()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(key, _)| key.client.former_id()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, fingerprint)| fingerprint.as_slice()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(key, _)| key.kept).collect::<Vec<_>>())
        .bind(now)
        .fetch_all(&mut *self)
        .await
    }

    async fn fingerprints(&mut self, ids: &[(&str, &str)]) -> Result<Vec<(String, String, Vec<u8>)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT key, client, fingerprint FROM idempotency_keys
             WHERE (key, client) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        )
        .persistent(false)
        .bind(ids.iter().map(|(key, _)| *key).collect::<Vec<_>>())
        .bind(ids.iter().map(|(_, client)| *client).collect::<Vec<_>>())
        .fetch_all(&mut *self)
        .await
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        sqlx::query_as(
            "INSERT INTO pages (name, title, first_seen_at)
             SELECT name, title, $3 FROM unnest($1::text[], $2::text[]) AS sent (name, title)
             ON CONFLICT (name) DO UPDATE SET title = excluded.title
             WHERE excluded.title IS NOT NULL AND pages.title IS DISTINCT FROM excluded.title
             RETURNING name, title IS NOT NULL",
        )
        .bind(pages.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        .bind(pages.iter().map(|(_, title)| title.map(Title::as_str)).collect::<Vec<_>>())
        .bind(now)
        .fetch_all(&mut *self)
        .await
    }

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "UPDATE pages SET title = sent.title FROM unnest($1::text[], $2::text[]) AS sent (name, title)
             WHERE pages.name = sent.name AND pages.title IS NULL
             RETURNING pages.name",
        )
        .persistent(false)
        .bind(titles.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        .bind(titles.iter().map(|(_, title)| title.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *self)
        .await
    }

    async fn mark_titles(&mut self, names: &[String]) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO stale_titles (name) SELECT unnest($1::text[])").bind(names).execute(self).await?;
        Ok(())
    }

    async fn add_views(&mut self, counts: &[(&str, Hour, i64)], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let (dates, hours) = columns(counts.iter().map(|count| count.1));
        sqlx::query(
            "INSERT INTO page_views (name, date, hour, views, updated_at)
             SELECT name, date, hour, views, $5
             FROM unnest($1::text[], $2::date[], $3::smallint[], $4::bigint[]) AS sent (name, date, hour, views)
             ON CONFLICT (name, date, hour)
             DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at",
        )
        .bind(counts.iter().map(|count| count.0).collect::<Vec<_>>())
        .bind(dates)
        .bind(hours)
        .bind(counts.iter().map(|count| count.2).collect::<Vec<_>>())
        .bind(now)
        .execute(self)
        .await?;
        Ok(())
    }

    async fn mark_hours(&mut self, hours: &[Hour]) -> Result<(), sqlx::Error> {
        let (dates, hours) = columns(hours.iter().copied());
        sqlx::query("INSERT INTO stale_hours (date, hour) SELECT * FROM unnest($1::date[], $2::smallint[])")
            .bind(dates)
            .bind(hours)
            .execute(self)
            .await?;
        Ok(())
    }
}
