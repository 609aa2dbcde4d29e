//! The statements for SQLite: one JSON text each, so that one statement serves every size of batch.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::Hour;
use serde_json::json;
use sqlx::SqliteConnection;

use super::Statements;
use crate::increments::increment::{Fingerprint, IdempotencyKey, Title};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Statements for SqliteConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> Result<HashSet<String>, sqlx::Error> {
        let rows: Vec<_> =
            keys.iter().map(|(key, fingerprint)| json!([key.text, hex(fingerprint), i32::from(key.kept)])).collect();
        let claimed: Vec<String> = sqlx::query_scalar(
            "INSERT INTO idempotency_keys (key, fingerprint, recorded_at, kept, claimed_ms)
             SELECT value->>0, unhex(value->>1), ?2, value->>2, (SELECT elapsed_ms FROM refresh_clock) FROM json_each(?1)
             WHERE true -- tells the parser that ON begins the conflict clause
             ON CONFLICT (key) DO NOTHING
             RETURNING key",
        )
        .bind(json!(rows).to_string())
        .bind(now)
        .fetch_all(&mut *self)
        .await?;
        Ok(claimed.into_iter().collect())
    }

    async fn fingerprints(&mut self, keys: &[&str]) -> Result<HashMap<String, Vec<u8>>, sqlx::Error> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT key, fingerprint FROM idempotency_keys WHERE key IN (SELECT value FROM json_each(?1))",
        )
        .bind(json!(keys).to_string())
        .fetch_all(&mut *self)
        .await?;
        Ok(rows.into_iter().collect())
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let rows: Vec<_> = pages.iter().map(|(name, title)| (name, title.map(Title::as_str))).collect();
        sqlx::query_as(
            "INSERT INTO pages (name, title, first_seen_at)
             SELECT value->>0, value->>1, ?2 FROM json_each(?1)
             WHERE true -- tells the parser that ON begins the conflict clause
             ON CONFLICT (name) DO UPDATE SET title = excluded.title
             WHERE excluded.title IS NOT NULL AND pages.title IS NOT excluded.title
             RETURNING name, title IS NOT NULL",
        )
        .bind(json!(rows).to_string())
        .bind(now)
        .fetch_all(&mut *self)
        .await
    }

    async fn mark_titles(&mut self, names: &[String]) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO stale_titles (name) SELECT value FROM json_each(?1)")
            .bind(json!(names).to_string())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn add_views(&mut self, counts: &[(&str, Hour, i64)], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = counts.iter().map(|(name, hour, views)| (name, hour.date(), hour.of_day(), views)).collect();
        sqlx::query(
            "INSERT INTO page_views (name, date, hour, views, updated_at)
             SELECT value->>0, value->>1, value->>2, value->>3, ?2 FROM json_each(?1)
             WHERE true -- tells the parser that ON begins the conflict clause
             ON CONFLICT (name, date, hour)
             DO UPDATE SET views = views + excluded.views, updated_at = excluded.updated_at",
        )
        .bind(json!(rows).to_string())
        .bind(now)
        .execute(self)
        .await?;
        Ok(())
    }

    async fn mark_hours(&mut self, hours: &[Hour]) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = hours.iter().map(|hour| (hour.date(), hour.of_day())).collect();
        sqlx::query("INSERT INTO stale_hours (date, hour) SELECT value->>0, value->>1 FROM json_each(?1)")
            .bind(json!(rows).to_string())
            .execute(self)
            .await?;
        Ok(())
    }
}
