//! The statements for PostgreSQL: arrays, so that one text serves every size of batch.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use entity::Hour;
use sqlx::PgConnection;

use super::Statements;
use crate::increments::increment::{Fingerprint, IdempotencyKey, Title};

fn columns(hours: impl Iterator<Item = Hour> + Clone) -> (Vec<NaiveDate>, Vec<i16>) {
    (hours.clone().map(Hour::date).collect(), hours.map(Hour::of_day).collect())
}

impl Statements for PgConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> Result<HashSet<String>, sqlx::Error> {
        let claimed: Vec<String> = sqlx::query_scalar(
            "INSERT INTO idempotency_keys (key, fingerprint, recorded_at, kept, claimed_ms)
             SELECT key, fingerprint, $4, kept, (SELECT elapsed_ms FROM refresh_clock) FROM unnest($1::text[], $2::bytea[], $3::boolean[]) AS sent (key, fingerprint, kept)
             ON CONFLICT (key) DO NOTHING
             RETURNING key",
        )
        .bind(keys.iter().map(|(key, _)| key.text.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, fingerprint)| fingerprint.as_slice()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(key, _)| key.kept).collect::<Vec<_>>())
        .bind(now)
        .fetch_all(&mut *self)
        .await?;
        Ok(claimed.into_iter().collect())
    }

    async fn fingerprints(&mut self, keys: &[&str]) -> Result<HashMap<String, Vec<u8>>, sqlx::Error> {
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT key, fingerprint FROM idempotency_keys WHERE key = ANY($1)")
                .bind(keys)
                .fetch_all(&mut *self)
                .await?;
        Ok(rows.into_iter().collect())
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
