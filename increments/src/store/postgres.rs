//! The statements for PostgreSQL. Rows are sent as arrays, so that the SQL text does not depend on their number.
//!
//! Statements that join the sent rows with a table are not kept as prepared statements: a plan made while the table was
//! small would read the whole table even when it has grown.

use chrono::{DateTime, NaiveDate, Utc};
use entity::Hour;
use sea_orm::{
    Value,
    sea_query::{Asterisk, Expr, Func, PostgresQueryBuilder, Query},
};
use sea_query_sqlx::SqlxBinder;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    ClaimedKey, MARKED_NAMES_MAX, Statements,
    imports::{self, StepResult},
    keys::select_claimed,
};
use crate::{
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Title},
};

/// Returns the columns `date` and `hour` of `hours`.
pub(super) fn columns(hours: impl Iterator<Item = Hour> + Clone) -> (Vec<NaiveDate>, Vec<i16>) {
    (hours.clone().map(Hour::date).collect(), hours.map(Hour::of_day).collect())
}

impl Statements for PgConnection {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        in_parts: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        sqlx::query_as(include_str!("postgres/claim_keys.sql"))
            .persistent(false)
            .bind(keys.iter().map(|(key, _)| key.text.as_str()).collect::<Vec<_>>())
            .bind(keys.iter().map(|(key, _)| key.client.id()).collect::<Vec<_>>())
            .bind(keys.iter().map(|(key, _)| key.client.former_id()).collect::<Vec<_>>())
            .bind(keys.iter().map(|(_, fingerprint)| fingerprint.as_slice()).collect::<Vec<_>>())
            .bind(now)
            .bind(in_parts)
            .fetch_all(&mut *self)
            .await
    }

    async fn claimed(&mut self, ids: &[(&str, &str)]) -> Result<Vec<ClaimedKey>, sqlx::Error> {
        let (keys, clients): (Vec<_>, Vec<_>) =
            ids.iter().map(|(key, client)| ((*key).to_owned(), (*client).to_owned())).unzip();
        let arrays = [Value::from(keys), clients.into()].map(Expr::val);
        let ids = Query::select().column(Asterisk).from_function(Func::cust("unnest").args(arrays), "ids").take();
        let (sql, values) = select_claimed(ids, Expr::cust("claim")).build_sqlx(PostgresQueryBuilder);
        sqlx::query_as_with(AssertSqlSafe(sql), values).persistent(false).fetch_all(&mut *self).await
    }

    async fn claim_parts(&mut self, _parts: &[(i64, &str)]) -> Result<Vec<(i64, String)>, sqlx::Error> {
        Err(sqlx::Error::Protocol("only a Citus cluster counts parts of requests".to_owned()))
    }

    async fn insert_pages(&mut self, pages: &[(&str, Option<&Title>)], now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let insert = sqlx::query(include_str!("postgres/insert_pages.sql"))
            .bind(pages.iter().map(|(name, _)| *name).collect::<Vec<_>>())
            .bind(pages.iter().map(|(_, title)| title.map(Title::as_str)).collect::<Vec<_>>())
            .bind(now);
        Ok(insert.execute(self).await?.rows_affected())
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        sqlx::query_as(include_str!("postgres/write_pages.sql"))
            .bind(pages.iter().map(|(name, _)| *name).collect::<Vec<_>>())
            .bind(pages.iter().map(|(_, title)| title.map(Title::as_str)).collect::<Vec<_>>())
            .bind(now)
            .fetch_all(&mut *self)
            .await
    }

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(include_str!("postgres/write_first_titles.sql"))
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
        sqlx::query(include_str!("postgres/add_views.sql"))
            .bind(counts.iter().map(|count| count.0).collect::<Vec<_>>())
            .bind(dates)
            .bind(hours)
            .bind(counts.iter().map(|count| count.2).collect::<Vec<_>>())
            .bind(now)
            .bind(counts.len() <= MARKED_NAMES_MAX)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn take_import_step(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<StepResult, sqlx::Error> {
        imports::take_on_postgres(self, step, now).await
    }
}
