//! The statements for SQLite. Rows are sent as one JSON text, so that the SQL text does not depend on their number.

use chrono::{DateTime, Utc};
use entity::Hour;
use sea_orm::sea_query::{Expr, Func, Query, SqliteQueryBuilder};
use sea_query_sqlx::SqlxBinder;
use serde::{Serialize, Serializer};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{
    ClaimedKey, MARKED_NAMES_MAX, Statements,
    imports::{self, StepResult},
    keys::select_claimed,
};
use crate::{
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Title},
};

/// A JSON object of the names and values of an iterator.
struct JsonObject<I>(I);

impl<I: Iterator<Item = (K, V)> + Clone, K: Serialize, V: Serialize> Serialize for JsonObject<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

/// Returns `value` as JSON.
fn json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

impl Statements for SqliteConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        _in_parts: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        let rows = keys
            .iter()
            .map(|(key, fingerprint)| (&key.text, key.client.id(), key.client.former_id(), hex::encode(fingerprint)));
        sqlx::query_as(include_str!("sqlite/claim_keys.sql"))
            .bind(json(&rows.collect::<Vec<_>>())?)
            .bind(now)
            .fetch_all(&mut *self)
            .await
    }

    async fn claimed(&mut self, ids: &[(&str, &str)]) -> Result<Vec<ClaimedKey>, sqlx::Error> {
        let columns = ["value->>0", "value->>1"].map(Expr::cust);
        let list = Func::cust("json_each").arg(json(&ids)?);
        let ids = Query::select().exprs(columns).from_function(list, "ids").take();
        let (sql, values) = select_claimed(ids, Expr::cust("NULL")).build_sqlx(SqliteQueryBuilder);
        sqlx::query_as_with(AssertSqlSafe(sql), values).fetch_all(&mut *self).await
    }

    async fn claim_parts(&mut self, _parts: &[(i64, &str)]) -> Result<Vec<(i64, String)>, sqlx::Error> {
        Err(sqlx::Error::Protocol("only a Citus cluster counts parts of requests".to_owned()))
    }

    async fn insert_pages(&mut self, pages: &[(&str, Option<&Title>)], now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let rows = JsonObject(pages.iter().map(|(name, title)| (*name, title.map(Title::as_str))));
        let insert = sqlx::query(include_str!("sqlite/insert_pages.sql")).bind(json(&rows)?).bind(now);
        Ok(insert.execute(self).await?.rows_affected())
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let rows: Vec<_> = pages.iter().map(|(name, title)| (name, title.map(Title::as_str))).collect();
        sqlx::query_as(include_str!("sqlite/write_pages.sql")).bind(json(&rows)?).bind(now).fetch_all(&mut *self).await
    }

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        let rows: Vec<_> = titles.iter().map(|(name, title)| (name, title.as_str())).collect();
        sqlx::query_scalar(include_str!("sqlite/write_first_titles.sql")).bind(json(&rows)?).fetch_all(&mut *self).await
    }

    async fn mark_titles(&mut self, names: &[String]) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO stale_titles (name) SELECT value FROM json_each(?1)")
            .bind(json(&names)?)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn add_views(&mut self, counts: &[(&str, Hour, i64)], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        // By hour, so that SQLite parses each name and number once, and each hour's date once.
        let hours = counts.chunk_by(|one, next| one.1 == next.1).filter_map(|counts| {
            let hour = counts.first()?.1;
            let views = JsonObject(counts.iter().map(|(name, _, views)| (*name, *views)));
            Some((format!("{} {}", hour.date(), hour.of_day()), views))
        });
        let rows = json(&JsonObject(hours))?;
        sqlx::query(include_str!("sqlite/add_views.sql")).bind(rows).bind(now).execute(&mut *self).await?;
        mark_counts(self, counts).await
    }

    async fn take_import_step(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<StepResult, sqlx::Error> {
        imports::take_on_sqlite(self, step, now).await
    }
}

/// Marks the counts stale.
async fn mark_counts(connection: &mut SqliteConnection, counts: &[(&str, Hour, i64)]) -> Result<(), sqlx::Error> {
    let names_pages = counts.len() <= MARKED_NAMES_MAX;
    let rows = counts.chunk_by(|one, next| one.1 == next.1).filter_map(|counts| {
        let hour = counts.first()?.1;
        let names = names_pages.then(|| counts.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        Some((hour.date(), hour.of_day(), names))
    });
    sqlx::query(include_str!("sqlite/mark_counts.sql"))
        .bind(json(&rows.collect::<Vec<_>>())?)
        .execute(connection)
        .await?;
    Ok(())
}
