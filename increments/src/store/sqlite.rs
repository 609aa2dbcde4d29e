//! The statements for SQLite. Rows are sent as one JSON text, so that the SQL text does not depend on their number.

use chrono::{DateTime, Utc};
use entity::Hour;
use serde_json::json;
use sqlx::SqliteConnection;

use super::Statements;
use crate::increment::{Fingerprint, IdempotencyKey, Title};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Statements for SqliteConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        let row = |(key, fingerprint): &(&IdempotencyKey, Fingerprint)| {
            json!([key.text, key.client.id(), key.client.former_id(), hex(fingerprint), i32::from(key.kept)])
        };
        sqlx::query_as(
            "WITH sent AS (
                 SELECT value->>0 AS key, value->>1 AS client, value->>2 AS former, unhex(value->>3) AS fingerprint,
                        value->>4 AS kept
                 FROM json_each(?1)
             )
             INSERT INTO idempotency_keys (key, client, fingerprint, recorded_at, kept, claimed_ms)
             SELECT key, client, fingerprint, ?2, kept, (SELECT elapsed_ms FROM refresh_clock) FROM sent
             WHERE NOT EXISTS (
                 SELECT 1 FROM idempotency_keys AS earlier
                 WHERE earlier.key = sent.key AND earlier.client IN ('', sent.former) AND earlier.client <> sent.client
                   AND earlier.fingerprint = sent.fingerprint
             )
             ON CONFLICT (key, client) DO NOTHING
             RETURNING key, client",
        )
        .bind(json!(keys.iter().map(row).collect::<Vec<_>>()).to_string())
        .bind(now)
        .fetch_all(&mut *self)
        .await
    }

    async fn fingerprints(&mut self, ids: &[(&str, &str)]) -> Result<Vec<(String, String, Vec<u8>)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT key, client, fingerprint FROM idempotency_keys
             WHERE (key, client) IN (SELECT value->>0, value->>1 FROM json_each(?1))",
        )
        .bind(json!(ids).to_string())
        .fetch_all(&mut *self)
        .await
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

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        let rows: Vec<_> = titles.iter().map(|(name, title)| (name, title.as_str())).collect();
        sqlx::query_scalar(
            "UPDATE pages SET title = sent.title
             FROM (SELECT value->>0 AS name, value->>1 AS title FROM json_each(?1)) AS sent
             WHERE pages.name = sent.name AND pages.title IS NULL
             RETURNING name",
        )
        .bind(json!(rows).to_string())
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
