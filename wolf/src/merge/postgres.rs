//! The merge's statements for PostgreSQL.
//!
//! Their plans are prescribed. How many rows a bucket has and how many of them change stands in no statistics that can
//! be trusted, since an hour that has just begun is in none of them; and by another plan an addition of 20 ms has taken
//! 14 s. So a plan holds for all values, too, and is made once a merge: by how large the tables are by then.

use std::time::Instant;

use entity::{Hour, Transaction};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::{
    Added, Statements,
    additions::{Addition, Bucket, Deltas, Growth},
    pace::Pace,
};

/// Compiling a statement takes longer than it saves here.
const PLANNED: &str = "DISCARD PLANS; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan;
                       SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;";
const AS_USUAL: &str = "SET LOCAL jit = DEFAULT; SET LOCAL plan_cache_mode = DEFAULT;
                        SET LOCAL enable_seqscan = DEFAULT; SET LOCAL enable_sort = DEFAULT;
                        SET LOCAL enable_mergejoin = DEFAULT; SET LOCAL enable_hashjoin = DEFAULT;
                        SET LOCAL enable_nestloop = DEFAULT;";
/// Two indexes, read side by side.
const BY_MERGE: &str =
    "SET LOCAL enable_mergejoin = on; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off;";
/// The rows of a part of a bucket, read by index, against the names.
const BY_HASH: &str =
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = on; SET LOCAL enable_nestloop = off;";
/// Each name's row, looked up by index.
const BY_LOOK_UP: &str =
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = on;";

/// To look up one row of a bucket takes about as long as to read so many of them.
const ROWS_READ_PER_LOOK_UP: i64 = 8;

/// The statements, in one transaction.
#[derive(Debug)]
pub(super) struct Postgres<'a> {
    transaction: &'a Transaction,
    pace: Pace,
    /// About how many pages there are, and so how many rows a bucket may have; negative when nobody has counted yet.
    pages: i64,
}

impl<'a> Postgres<'a> {
    pub(super) async fn begin(transaction: &'a Transaction) -> Result<Self, DbErr> {
        const PAGES: &str = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('pages')";
        let begun = Instant::now();
        transaction.execute_unprepared(PLANNED).await?;
        let pace = Pace::new(begun.elapsed());
        let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, PAGES)).await?;
        Ok(Self { transaction, pace, pages: row.map_or(Ok(-1), |row| row.try_get_by_index(0))? })
    }

    /// What comes later in the transaction is planned as usual.
    pub(super) async fn end(self) -> Result<(), DbErr> {
        self.transaction.execute_unprepared(AS_USUAL).await.map(drop)
    }

    /// At most `limit` of the hour's pages whose names come after `after`: those that the report has, and new ones.
    async fn growth_after(&mut self, hour: Hour, after: String, limit: usize) -> Result<[Deltas; 2], DbErr> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values: [Value; 4] = [hour.date().into(), hour.of_day().into(), after.into(), limit.into()];
        let sql = include_str!("postgres/growth.sql");
        let begun = Instant::now();
        let row = self.transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
        let row = row.await?.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
        self.pace.adapt(begun.elapsed());
        let deltas = |names, views| {
            let (names, views) = (row.try_get_by_index(names)?, row.try_get_by_index(views)?);
            Ok::<_, DbErr>(Deltas { names, views })
        };
        Ok([deltas(0, 1)?, deltas(2, 3)?])
    }

    /// Adds to `buckets` by `sql`, some rows at a time. Returns how many rows there were.
    async fn add_by(&mut self, sql: &str, buckets: &[Bucket], deltas: Deltas) -> Result<u64, DbErr> {
        let sql = sql.replace("{buckets}", &placeholders(buckets.len()));
        let mut rows = 0;
        let mut left = deltas.into_iter();
        loop {
            let portion: Deltas = left.by_ref().take(self.pace.rows().div_ceil(buckets.len())).collect();
            if portion.is_empty() {
                return Ok(rows);
            }
            let statement = Statement::from_sql_and_values(DbBackend::Postgres, &sql, values(portion, buckets));
            let begun = Instant::now();
            rows += self.transaction.execute_raw(statement).await?.rows_affected();
            self.pace.adapt(begun.elapsed());
        }
    }
}

impl Statements for Postgres<'_> {
    async fn growth(&mut self, hour: Hour, counts_max: usize) -> Result<Growth, DbErr> {
        self.transaction.execute_unprepared(BY_MERGE).await?;
        let mut growth = Growth { hour, known: Deltas::default(), new: Deltas::default() };
        let mut after = String::new();
        loop {
            let limit = self.pace.rows().min(counts_max - growth.counts());
            let [known, new] = self.growth_after(hour, after, limit).await?;
            let counts = known.len() + new.len();
            let last = known.names.last().max(new.names.last()).cloned();
            growth.known.append(known);
            growth.new.append(new);
            match last {
                Some(last) if counts == limit && growth.counts() < counts_max => after = last,
                _ => return Ok(growth),
            }
        }
    }

    async fn add(&mut self, Addition { buckets, known, new }: Addition) -> Result<Added, DbErr> {
        let mut added = Added::default();
        if !known.is_empty() {
            let wanted = u64::try_from(known.len() * buckets.len()).unwrap_or(u64::MAX);
            let pages_max = i64::try_from(known.len()).unwrap_or(i64::MAX).saturating_mul(ROWS_READ_PER_LOOK_UP);
            let (plan, sql) = if (0..=pages_max).contains(&self.pages) {
                (BY_HASH, include_str!("postgres/add_to_buckets.sql"))
            } else {
                (BY_LOOK_UP, include_str!("postgres/add_to_rows.sql"))
            };
            self.transaction.execute_unprepared(plan).await?;
            added.rows_changed = self.add_by(sql, &buckets, known).await?;
            added.rows_missing = wanted.saturating_sub(added.rows_changed);
        }
        self.transaction.execute_unprepared(BY_LOOK_UP).await?;
        added.rows_changed += self.add_by(include_str!("postgres/add_new.sql"), &buckets, new).await?;
        Ok(added)
    }
}

/// `$1` and `$2` are the names and their views; the buckets' columns follow.
fn values(Deltas { names, views }: Deltas, buckets: &[Bucket]) -> Vec<Value> {
    let mut values: Vec<Value> = vec![names.into(), views.into()];
    for (grain, hour) in buckets {
        values.extend([Value::from(grain.as_str()), hour.date().into(), hour.of_day().into()]);
    }
    values
}

/// Rows for `VALUES` or `IN`.
fn placeholders(buckets: usize) -> String {
    let row = |bucket| {
        let first = 3 + 3 * bucket;
        format!("(${}::text, ${}::date, ${}::smallint)", first, first + 1, first + 2)
    };
    (0..buckets).map(row).collect::<Vec<_>>().join(", ")
}
