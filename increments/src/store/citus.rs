//! The statements for a Citus cluster, whose tables are distributed by the page's name.
//!
//! A mark is a row beside the count that it marks: `wolf::citus::marks` says why. Few rows are sent as `VALUES`, which Citus routes
//! to their nodes one by one, for 25 µs each. Many are copied into the table of marks, which is dear to begin and cheap for each
//! row, and their nodes add them to the counts from there. Rows of `unnest` would all go through temporary tables of the
//! coordinator.

use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, Utc};
use entity::Hour;
use sqlx::{Arguments, AssertSqlSafe, Executor, PgConnection, postgres::PgArguments};

use super::{ClaimedKey, Statements, imports::StepResult};
use crate::{
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Title},
};

/// The most rows of one statement, so that planning it takes a few milliseconds.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The key of the advisory lock that one transaction at a time has which copies, and that others share: "copy" in ASCII.
const COPY_LOCK: i64 = 0x636f_7079;
/// From how many counts on these are copied.
const COPIED_MIN: usize = 128;
/// Begins a transaction that uses one connection to each node: more would each be prepared and committed.
pub(super) const BEGIN: &str =
    concat!(include_str!("postgres/begin.sql"), "; SET LOCAL citus.max_adaptive_executor_pool_size = 1");

/// The connection to the coordinator of a cluster whose tables are distributed.
#[derive(Debug)]
pub(super) struct Distributed<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) cluster: Cluster,
}

/// What is known of a cluster.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Whether many counts are copied: on the coordinator, by a login that may read the marks that it has copied.
    copies: bool,
}

impl Cluster {
    /// Returns what is known of the cluster, if the database has the extension.
    pub(super) async fn find(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        const SQL: &str =
            "SELECT has_table_privilege('stale_pages', 'SELECT') FROM pg_extension WHERE extname = 'citus'";
        let found = sqlx::query_scalar(SQL).persistent(false).fetch_optional(connection).await?;
        Ok(found.map(|copies| Self { copies }))
    }

    /// What is known on a worker. Adding what was copied would go to all nodes from there.
    pub(super) fn of_worker() -> Self {
        Self { copies: false }
    }
}

impl Distributed<'_> {
    /// Whether these counts are copied.
    fn copies(&self, counts: &[(&str, Hour, i64)]) -> bool {
        self.cluster.copies && counts.len() >= COPIED_MIN
    }

    /// Copies `counts` as marks, and adds them from there.
    async fn copy(&mut self, counts: &[(&str, Hour, i64)], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        // The nodes add them side by side, so two of these transactions could each wait for the other on another node.
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(COPY_LOCK).execute(&mut *self.connection).await?;
        // 64 random bits: no other transaction between two refreshes has the same ones.
        let batch = RandomState::new().hash_one(now).cast_signed();
        let mut copy =
            self.connection.copy_in_raw("COPY stale_pages (name, date, hour, views, batch) FROM STDIN").await?;
        for portion in counts.chunks(ROWS_PER_STATEMENT) {
            copy.send(copied(portion, batch).into_bytes()).await?;
        }
        copy.finish().await?;
        let add = sqlx::query(include_str!("citus/add_copied.sql")).persistent(false).bind(batch).bind(now);
        add.execute(&mut *self.connection).await.map(drop)
    }

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
                returned.extend(query.fetch_all(&mut *self.connection).await?);
            } else {
                changed += self.connection.execute(query).await?.rows_affected();
            }
        }
        Ok((returned, changed))
    }
}

/// The lines of `counts` in the text format of COPY: <https://www.postgresql.org/docs/15/sql-copy.html>.
fn copied(counts: &[(&str, Hour, i64)], batch: i64) -> String {
    let mut lines = String::new();
    for (name, hour, views) in counts {
        for character in name.chars() {
            match character {
                '\\' => lines.push_str("\\\\"),
                '\n' => lines.push_str("\\n"),
                '\r' => lines.push_str("\\r"),
                '\t' => lines.push_str("\\t"),
                other => lines.push(other),
            }
        }
        lines.push_str(&format!("\t{}\t{}\t{views}\t{batch}\n", hour.date(), hour.of_day()));
    }
    lines
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
        in_parts: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        self.connection.claim_keys(keys, in_parts, now).await
    }

    async fn claimed(&mut self, ids: &[(&str, &str)]) -> Result<Vec<ClaimedKey>, sqlx::Error> {
        self.connection.claimed(ids).await
    }

    async fn claim_parts(&mut self, parts: &[(i64, &str)]) -> Result<Vec<(i64, String)>, sqlx::Error> {
        let sql =
            ["INSERT INTO counted_parts (claim, name)", "ON CONFLICT (claim, name) DO NOTHING RETURNING claim, name"];
        let bind = |arguments: &mut PgArguments, (claim, name): &(i64, &str)| {
            arguments.add(*claim)?;
            arguments.add(*name)
        };
        let (rows, _) = self.execute(sql, parts, bind).await?;
        rows.iter().map(sqlx::FromRow::from_row).collect()
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
        if self.copies(counts) {
            // What is copied are the marks.
            return self.copy(counts, now).await;
        }
        if self.cluster.copies {
            let lock = sqlx::query("SELECT pg_advisory_xact_lock_shared($1)").bind(COPY_LOCK);
            lock.execute(&mut *self.connection).await?;
        }
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
        self.execute(sql, counts, bind).await?;
        let bind = |arguments: &mut PgArguments, (name, hour, _): &(&str, Hour, i64)| {
            arguments.add(*name)?;
            arguments.add(hour.date())?;
            arguments.add(hour.of_day())
        };
        self.execute(["INSERT INTO stale_pages (name, date, hour)", ""], counts, bind).await.map(drop)
    }

    async fn take_import_step(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<StepResult, sqlx::Error> {
        self.connection.take_import_step(step, now).await
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

    #[test]
    fn copied_names_keep_every_character() {
        let hour = Hour::containing(DateTime::UNIX_EPOCH);
        let lines = copied(&[("/a\\.\\N", hour, 2), ("/\t\n\rü", hour.plus(1), 3)], -7);
        assert_eq!(lines, "/a\\\\.\\\\N\t1970-01-01\t0\t2\t-7\n/\\t\\n\\rü\t1970-01-01\t1\t3\t-7\n");
    }
}
