//! The statements for a Citus cluster, whose tables are distributed by the page's name.
//!
//! Rows are sent as `VALUES`, which Citus routes to their nodes one by one. Rows of `unnest` would all go through temporary
//! tables of the coordinator. A mark is a row beside the count that it marks: `wolf::citus::marks` says why.

use chrono::{DateTime, Utc};
use entity::Hour;
use sqlx::{Arguments, AssertSqlSafe, Executor, PgConnection, postgres::PgArguments};

use super::{Statements, imports::StepResult};
use crate::{
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Title},
};

/// The most rows of one statement, so that planning it takes a few milliseconds.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The connection to the coordinator of a cluster whose tables are distributed.
#[derive(Debug)]
pub(super) struct Distributed<'a>(pub(super) &'a mut PgConnection);

/// Returns whether the database has the extension.
pub(super) async fn is_installed(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";
    sqlx::query_scalar(SQL).persistent(false).fetch_one(connection).await
}

impl Distributed<'_> {
    /// Executes `before`, the `VALUES` of `rows` and `after`, some rows at a time. `bind` adds the values of a row. Returns the
    /// rows that `after` returns, or how many rows were changed if it returns none.
    async fn execute<T: Sync>(
        &mut self,
        [before, after]: [&str; 2],
        rows: &[T],
        bind: impl Fn(&mut PgArguments, &T) -> Result<(), sqlx::error::BoxDynError> + Send,
    ) -> Result<(Vec<sqlx::postgres::PgRow>, u64), sqlx::Error> {
        let (mut returned, mut changed) = (Vec::new(), 0);
        for portion in rows.chunks(ROWS_PER_STATEMENT) {
            let mut arguments = PgArguments::default();
            for row in portion {
                bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
            }
            let sql = format!("{before} VALUES {} {after}", placeholders(portion.len(), arguments.len()));
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false);
            if after.contains("RETURNING") {
                returned.extend(query.fetch_all(&mut *self.0).await?);
            } else {
                changed += self.0.execute(query).await?.rows_affected();
            }
        }
        Ok((returned, changed))
    }
}

/// The placeholders of so many rows, which have so many values in all.
fn placeholders(rows: usize, values: usize) -> String {
    let columns = values.checked_div(rows).unwrap_or_default();
    let row = |row: usize| {
        let numbers: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", numbers.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

impl Statements for Distributed<'_> {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        self.0.claim_keys(keys, now).await
    }

    async fn fingerprints(&mut self, ids: &[(&str, &str)]) -> Result<Vec<(String, String, Vec<u8>)>, sqlx::Error> {
        self.0.fingerprints(ids).await
    }

    async fn insert_pages(&mut self, pages: &[(&str, Option<&Title>)], now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let sql = ["INSERT INTO pages (name, title, first_seen_at)", "ON CONFLICT (name) DO NOTHING"];
        Ok(self.execute(sql, pages, |arguments, page| bind_page(arguments, *page, now)).await?.1)
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        let sql = [
            "INSERT INTO pages (name, title, first_seen_at)",
            "ON CONFLICT (name) DO UPDATE SET title = excluded.title
             WHERE excluded.title IS NOT NULL AND pages.title IS DISTINCT FROM excluded.title
             RETURNING name, title IS NOT NULL",
        ];
        let (rows, _) = self.execute(sql, pages, |arguments, page| bind_page(arguments, *page, now)).await?;
        rows.iter().map(sqlx::FromRow::from_row).collect()
    }

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        // The pages are there, so each row conflicts. An UPDATE could not be routed row by row.
        let sql = [
            "INSERT INTO pages (name, title, first_seen_at)",
            "ON CONFLICT (name) DO UPDATE SET title = excluded.title WHERE pages.title IS NULL RETURNING name",
        ];
        let bind = |arguments: &mut PgArguments, (name, title): &(&str, &Title)| {
            bind_page(arguments, (name, Some(title)), DateTime::UNIX_EPOCH)
        };
        let (rows, _) = self.execute(sql, titles, bind).await?;
        rows.iter().map(|row| sqlx::Row::try_get(row, 0)).collect()
    }

    async fn mark_titles(&mut self, names: &[String]) -> Result<(), sqlx::Error> {
        let bind = |arguments: &mut PgArguments, name: &String| arguments.add(name);
        self.execute(["INSERT INTO stale_pages (name)", ""], names, bind).await.map(drop)
    }

    async fn add_views(&mut self, counts: &[(&str, Hour, i64)], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let sql = [
            "INSERT INTO page_views (name, date, hour, views, updated_at)",
            "ON CONFLICT (name, date, hour)
             DO UPDATE SET views = page_views.views + excluded.views, updated_at = excluded.updated_at",
        ];
        let bind = |arguments: &mut PgArguments, (name, hour, views): &(&str, Hour, i64)| {
            arguments.add(*name)?;
            arguments.add(hour.date())?;
            arguments.add(hour.of_day())?;
            arguments.add(*views)?;
            arguments.add(now)
        };
        self.execute(sql, counts, bind).await.map(drop)
    }

    async fn mark_counts(&mut self, counts: &[(&str, Hour, i64)], _hours: &[Hour]) -> Result<(), sqlx::Error> {
        let bind = |arguments: &mut PgArguments, (name, hour, _): &(&str, Hour, i64)| {
            arguments.add(*name)?;
            arguments.add(hour.date())?;
            arguments.add(hour.of_day())
        };
        self.execute(["INSERT INTO stale_pages (name, date, hour)", ""], counts, bind).await.map(drop)
    }

    async fn take_import_step(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<StepResult, sqlx::Error> {
        self.0.take_import_step(step, now).await
    }
}

fn bind_page(
    arguments: &mut PgArguments,
    (name, title): (&str, Option<&Title>),
    now: DateTime<Utc>,
) -> Result<(), sqlx::error::BoxDynError> {
    arguments.add(name)?;
    arguments.add(title.map(Title::as_str))?;
    arguments.add(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_row_by_row() {
        assert_eq!(placeholders(2, 6), "($1, $2, $3), ($4, $5, $6)");
    }
}
