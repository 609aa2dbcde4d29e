//! The statements for SQLite. Rows are sent as one JSON text, so that the SQL text does not depend on their number.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::Hour;
use sea_orm::sea_query::{Expr, Func, Query, SqliteQueryBuilder};
use sea_query_sqlx::SqlxBinder;
use serde_json::json;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{
    Statements,
    imports::{self, StepResult},
    select_fingerprints,
};
use crate::{
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Title},
};

impl Statements for SqliteConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        let row = |(key, fingerprint): &(&IdempotencyKey, Fingerprint)| {
            json!([key.text, key.client.id(), key.client.former_id(), hex::encode(fingerprint)])
        };
        sqlx::query_as(include_str!("sqlite/claim_keys.sql"))
            .bind(json!(keys.iter().map(row).collect::<Vec<_>>()).to_string())
            .bind(now)
            .fetch_all(&mut *self)
            .await
    }

    async fn fingerprints(&mut self, ids: &[(&str, &str)]) -> Result<Vec<(String, String, Vec<u8>)>, sqlx::Error> {
        let columns = ["value->>0", "value->>1"].map(Expr::cust);
        let list = Func::cust("json_each").arg(json!(ids).to_string());
        let ids = Query::select().exprs(columns).from_function(list, "ids").take();
        let (sql, values) = select_fingerprints(ids).build_sqlx(SqliteQueryBuilder);
        sqlx::query_as_with(AssertSqlSafe(sql), values).fetch_all(&mut *self).await
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let rows: Vec<_> = pages.iter().map(|(name, title)| (name, title.map(Title::as_str))).collect();
        sqlx::query_as(include_str!("sqlite/write_pages.sql"))
            .bind(json!(rows).to_string())
            .bind(now)
            .fetch_all(&mut *self)
            .await
    }

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        let rows: Vec<_> = titles.iter().map(|(name, title)| (name, title.as_str())).collect();
        sqlx::query_scalar(include_str!("sqlite/write_first_titles.sql"))
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
        sqlx::query(include_str!("sqlite/add_views.sql")).bind(json!(rows).to_string()).bind(now).execute(self).await?;
        Ok(())
    }

    async fn mark_counts(&mut self, counts: &[(&str, Hour, i64)]) -> Result<(), sqlx::Error> {
        let mut names: BTreeMap<Hour, Vec<&str>> = BTreeMap::new();
        counts.iter().for_each(|(name, hour, _)| names.entry(*hour).or_default().push(name));
        for (hour, names) in names {
            sqlx::query("INSERT INTO stale_hours (date, hour, names) VALUES (?1, ?2, ?3)")
                .bind(hour.date())
                .bind(hour.of_day())
                .bind(json!(names).to_string())
                .execute(&mut *self)
                .await?;
        }
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

    async fn take_import_step(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<StepResult, sqlx::Error> {
        imports::take_on_sqlite(self, step, now).await
    }
}
