//! The merge's statements for PostgreSQL.
//!
//! Their plans are prescribed. No statistics say how many rows a bucket has and how many of them change, since an hour
//! that has just begun is in none of them; and by another plan an addition of 20 ms has taken 14 s. So a plan is generic
//! and made once a merge, by the tables' present sizes.

use std::time::Instant;

use entity::Hour;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use storage::Transaction;

use super::{
    Added, MergeStatements,
    batch_size::BatchSizer,
    deltas::{Bucket, BucketDelta, HourDelta, PageDeltas},
};

/// Merge joins of two indexes.
const BY_MERGE: &str =
    "SET LOCAL enable_mergejoin = on; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off;";
/// Hash joins of the names with a part of a bucket, read by index.
const BY_HASH: &str =
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = on; SET LOCAL enable_nestloop = off;";
/// Nested loops that look up each name's row by index.
const BY_LOOK_UP: &str =
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = on;";

/// Looking up one row of a bucket takes about as long as reading so many of them.
const ROWS_READ_PER_LOOK_UP: i64 = 8;

/// The statements, in one transaction.
#[derive(Debug)]
pub(super) struct Postgres<'a> {
    transaction: &'a Transaction,
    batch_sizer: BatchSizer,
    /// About the number of pages, and so of rows of a bucket; negative before the first statistics.
    pages: i64,
}

impl<'a> Postgres<'a> {
    pub(super) async fn begin(transaction: &'a Transaction) -> Result<Self, DbErr> {
        const PAGES: &str = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('pages')";
        let begun = Instant::now();
        transaction.execute_unprepared(include_str!("postgres/planner_settings.sql")).await?;
        let batch_sizer = BatchSizer::new(begun.elapsed());
        let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, PAGES)).await?;
        Ok(Self { transaction, batch_sizer, pages: row.map_or(Ok(-1), |row| row.try_get_by_index(0))? })
    }

    /// Resets the planner's settings for later statements of the transaction.
    pub(super) async fn end(self) -> Result<(), DbErr> {
        let sql = include_str!("postgres/reset_planner_settings.sql");
        self.transaction.execute_unprepared(sql).await.map(drop)
    }

    /// Reads the deltas of at most `limit` of the hour's pages whose names come after `after`: of existing report rows, and
    /// of new ones.
    async fn hour_delta_after(&mut self, hour: Hour, after: String, limit: usize) -> Result<[PageDeltas; 2], DbErr> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values: [Value; 4] = [hour.date().into(), hour.of_day().into(), after.into(), limit.into()];
        let sql = include_str!("postgres/hour_delta.sql");
        let begun = Instant::now();
        let row = self.transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
        let row = row.await?.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
        self.batch_sizer.adapt(begun.elapsed());
        let deltas = |names, views| {
            let (names, views) = (row.try_get_by_index(names)?, row.try_get_by_index(views)?);
            Ok::<_, DbErr>(PageDeltas { names, views })
        };
        Ok([deltas(0, 1)?, deltas(2, 3)?])
    }

    /// Adds `deltas` to `buckets` by `sql`, some rows at a time. Returns the number of written rows.
    async fn add_by(&mut self, sql: &str, buckets: &[Bucket], deltas: PageDeltas) -> Result<u64, DbErr> {
        let sql = sql.replace("{buckets}", &placeholders(buckets.len()));
        let mut rows = 0;
        let mut left = deltas.into_iter();
        loop {
            let portion: PageDeltas = left.by_ref().take(self.batch_sizer.rows().div_ceil(buckets.len())).collect();
            if portion.is_empty() {
                return Ok(rows);
            }
            let statement = Statement::from_sql_and_values(DbBackend::Postgres, &sql, values(portion, buckets));
            let begun = Instant::now();
            rows += self.transaction.execute_raw(statement).await?.rows_affected();
            self.batch_sizer.adapt(begun.elapsed());
        }
    }
}

impl MergeStatements for Postgres<'_> {
    async fn hour_delta(&mut self, hour: Hour, counts_max: usize) -> Result<HourDelta, DbErr> {
        self.transaction.execute_unprepared(BY_MERGE).await?;
        let mut hour_delta = HourDelta { hour, existing: PageDeltas::default(), new: PageDeltas::default() };
        let mut after = String::new();
        loop {
            let limit = self.batch_sizer.rows().min(counts_max - hour_delta.counts());
            let [existing, new] = self.hour_delta_after(hour, after, limit).await?;
            let counts = existing.len() + new.len();
            let last = existing.names.last().max(new.names.last()).cloned();
            hour_delta.existing.append(existing);
            hour_delta.new.append(new);
            match last {
                Some(last) if counts == limit && hour_delta.counts() < counts_max => after = last,
                _ => return Ok(hour_delta),
            }
        }
    }

    async fn add(&mut self, BucketDelta { buckets, existing, new }: BucketDelta) -> Result<Added, DbErr> {
        let mut added = Added::default();
        if !existing.is_empty() {
            let wanted = u64::try_from(existing.len() * buckets.len()).unwrap_or(u64::MAX);
            let pages_max = i64::try_from(existing.len()).unwrap_or(i64::MAX).saturating_mul(ROWS_READ_PER_LOOK_UP);
            let (plan, sql) = if (0..=pages_max).contains(&self.pages) {
                (BY_HASH, include_str!("postgres/add_to_buckets.sql"))
            } else {
                (BY_LOOK_UP, include_str!("postgres/add_to_rows.sql"))
            };
            self.transaction.execute_unprepared(plan).await?;
            added.rows_changed = self.add_by(sql, &buckets, existing).await?;
            added.rows_missing = wanted.saturating_sub(added.rows_changed);
        }
        self.transaction.execute_unprepared(BY_LOOK_UP).await?;
        added.rows_changed += self.add_by(include_str!("postgres/add_new.sql"), &buckets, new).await?;
        Ok(added)
    }
}

/// The bound values: names, their views, and then the columns of each bucket.
fn values(PageDeltas { names, views }: PageDeltas, buckets: &[Bucket]) -> Vec<Value> {
    let mut values: Vec<Value> = vec![names.into(), views.into()];
    for (grain, hour) in buckets {
        values.extend([Value::from(grain.as_str()), hour.date().into(), hour.of_day().into()]);
    }
    values
}

/// The placeholders of the buckets, as rows for `VALUES` or `IN`.
fn placeholders(buckets: usize) -> String {
    let row = |bucket| {
        let first = 3 + 3 * bucket;
        format!("(${}::text, ${}::date, ${}::smallint)", first, first + 1, first + 2)
    };
    (0..buckets).map(row).collect::<Vec<_>>().join(", ")
}
