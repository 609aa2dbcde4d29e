//! The merge's statements for PostgreSQL.
//!
//! Their plans are prescribed. No statistics say how many rows a bucket has and how many of them change, since an hour
//! that has just begun is in none of them; and by another plan an addition of 20 ms has taken 14 s. So a plan is generic
//! and made once a merge, by the tables' present sizes.

use std::time::Instant;

use entity::{Hour, page_views_report::hour_column};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use storage::Transaction;

use super::{
    Added, MergeStatements, ROWS_READ_PER_LOOK_UP, TopViews,
    batch_size::BatchSizer,
    deltas::{BucketDelta, HourDelta, PageDeltas},
    hour_columns, look_ups_pay,
};
use crate::site_rows::Bucket;

/// Merge joins of two indexes.
const BY_MERGE: &str =
    "SET LOCAL enable_mergejoin = on; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off;";
/// Hash joins of the names with a part of a bucket, read by index.
const BY_HASH: &str =
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = on; SET LOCAL enable_nestloop = off;";
/// Nested loops that look up each name's row by index.
const BY_LOOK_UP: &str =
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = on;";

/// The statements, in one transaction.
#[derive(Debug)]
pub(super) struct Postgres<'a> {
    transaction: &'a Transaction,
    batch_sizer: BatchSizer,
}

impl<'a> Postgres<'a> {
    pub(super) async fn begin(transaction: &'a Transaction) -> Result<Self, DbErr> {
        let begun = Instant::now();
        transaction.execute_unprepared(include_str!("postgres/planner_settings.sql")).await?;
        Ok(Self { transaction, batch_sizer: BatchSizer::new(begun.elapsed()) })
    }

    /// Resets the planner's settings for later statements of the transaction.
    pub(super) async fn end(self) -> Result<(), DbErr> {
        let sql = include_str!("postgres/reset_planner_settings.sql");
        self.transaction.execute_unprepared(sql).await.map(drop)
    }

    /// Reads the deltas of at most `limit` of the hour's pages whose names come after `after`.
    async fn delta_after(&mut self, hour: Hour, after: String, limit: usize) -> Result<[PageDeltas; 2], DbErr> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = vec![hour.date().into(), hour.of_day().into(), after.into(), limit.into()];
        self.delta(include_str!("postgres/whole_hour.sql"), hour, values).await
    }

    /// Reads the deltas of the hour's pages `names`.
    async fn delta_of(&mut self, hour: Hour, names: &[String]) -> Result<[PageDeltas; 2], DbErr> {
        let values = vec![hour.date().into(), hour.of_day().into(), names.to_vec().into()];
        self.delta(include_str!("postgres/named_pages.sql"), hour, values).await
    }

    /// Reads deltas by `sql`: of existing report rows, and of new ones.
    async fn delta(&mut self, sql: &str, hour: Hour, values: Vec<Value>) -> Result<[PageDeltas; 2], DbErr> {
        let sql = sql.replace("{hour}", &hour_column(hour.of_day()));
        let begun = Instant::now();
        let row = self.transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values));
        let row = row.await?.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
        self.batch_sizer.adapt(begun.elapsed());
        let deltas = |names, views| {
            let (names, views) = (row.try_get_by_index(names)?, row.try_get_by_index(views)?);
            Ok::<_, DbErr>(PageDeltas { names, views, ..PageDeltas::default() })
        };
        Ok([deltas(0, 1)?, deltas(2, 3)?])
    }

    /// Whether the hour has so many counts that reading the `day_rows` rows of its day costs less than looking each up.
    async fn reading_pays(&self, hour: Hour, day_rows: Option<i64>) -> Result<bool, DbErr> {
        const SQL: &str =
            "SELECT count(*) FROM (SELECT FROM page_views WHERE date = $1 AND hour = $2 LIMIT $3) AS counted";
        let Some(day_rows) = day_rows else { return Ok(true) };
        let counts_min = day_rows.div_euclid(ROWS_READ_PER_LOOK_UP);
        let values = [hour.date().into(), hour.of_day().into(), counts_min.into()];
        let row = self.transaction.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, SQL, values));
        row.await?.map_or(Ok(true), |row| Ok(row.try_get_by_index::<i64>(0)? >= counts_min))
    }
}

/// The statements that add deltas to buckets, some rows at a time.
struct Portions<'a> {
    sql: String,
    buckets: &'a [Bucket],
    deltas: PageDeltas,
    top_views: TopViews,
}

impl<'a> Portions<'a> {
    fn new(sql: &str, buckets: &'a [Bucket], deltas: PageDeltas, top_views: TopViews) -> Self {
        let hours: Vec<i16> = deltas.hours.keys().copied().collect();
        let first_hour = FIRST_BUCKET + BUCKET_COLUMNS * buckets.len();
        let row = if sql.contains("excluded.") { "excluded" } else { "delta" };
        let sql = hour_columns::fill_in(sql, &hours, row, |index| format!("${}::bigint[]", first_hour + index));
        Self { sql: sql.replace("{buckets}", &placeholders(buckets.len())), buckets, deltas, top_views }
    }

    /// Returns the statement that adds to the next rows, about as many as `batch_sizer` says.
    fn next(&mut self, batch_sizer: &BatchSizer) -> Option<Statement> {
        if self.deltas.is_empty() {
            return None;
        }
        let portion = self.deltas.split_off_front(batch_sizer.rows().div_ceil(self.buckets.len()));
        let values = values(portion, self.top_views, self.buckets);
        Some(Statement::from_sql_and_values(DbBackend::Postgres, &self.sql, values))
    }
}

impl MergeStatements for Postgres<'_> {
    async fn hour_delta(
        &mut self,
        hour: Hour,
        names: Option<&[String]>,
        day_rows: Option<i64>,
        counts_max: usize,
    ) -> Result<HourDelta, DbErr> {
        let mut hour_delta = HourDelta { hour, existing: PageDeltas::default(), new: PageDeltas::default() };
        if let Some(names) = names {
            self.transaction.execute_unprepared(BY_LOOK_UP).await?;
            let mut left = names;
            while !left.is_empty() && hour_delta.counts() < counts_max {
                let portion = left.len().min(self.batch_sizer.rows()).min(counts_max - hour_delta.counts());
                let [existing, new] = self.delta_of(hour, &left[..portion]).await?;
                left = &left[portion..];
                hour_delta.existing.append(existing);
                hour_delta.new.append(new);
            }
            return Ok(hour_delta);
        }
        let reading_pays = self.reading_pays(hour, day_rows).await?;
        self.transaction.execute_unprepared(if reading_pays { BY_MERGE } else { BY_LOOK_UP }).await?;
        let mut after = String::new();
        loop {
            let limit = self.batch_sizer.rows().min(counts_max - hour_delta.counts());
            let [existing, new] = self.delta_after(hour, after, limit).await?;
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

    async fn add_to_existing(
        &mut self,
        BucketDelta { buckets, .. }: &BucketDelta,
        deltas: PageDeltas,
        top_views: TopViews,
        rows: Option<i64>,
    ) -> Result<Added, DbErr> {
        let wanted = u64::try_from(deltas.len() * buckets.len()).unwrap_or(u64::MAX);
        let (plan, sql) = if look_ups_pay(deltas.len() * buckets.len(), rows) {
            (BY_LOOK_UP, include_str!("postgres/add_to_rows.sql"))
        } else {
            (BY_HASH, include_str!("postgres/add_to_buckets.sql"))
        };
        self.transaction.execute_unprepared(plan).await?;
        let mut rows_changed = 0;
        let mut portions = Portions::new(sql, buckets, deltas, top_views);
        while let Some(statement) = portions.next(&self.batch_sizer) {
            let begun = Instant::now();
            rows_changed += self.transaction.execute_raw(statement).await?.rows_affected();
            self.batch_sizer.adapt(begun.elapsed());
        }
        Ok(Added { rows_changed, rows_missing: wanted.saturating_sub(rows_changed), ..Added::default() })
    }

    async fn add_new(
        &mut self,
        BucketDelta { buckets, .. }: &BucketDelta,
        deltas: PageDeltas,
        top_views: TopViews,
    ) -> Result<Added, DbErr> {
        self.transaction.execute_unprepared(BY_LOOK_UP).await?;
        let mut added = Added::default();
        let mut portions = Portions::new(include_str!("postgres/add_new.sql"), buckets, deltas, top_views);
        while let Some(statement) = portions.next(&self.batch_sizer) {
            let begun = Instant::now();
            let row = self.transaction.query_one_raw(statement).await?;
            self.batch_sizer.adapt(begun.elapsed());
            let row = row.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
            let number = |index| row.try_get_by_index::<i64>(index);
            added.rows_changed += u64::try_from(number(0)?).unwrap_or_default();
            added.new_in_day += number(1)?;
            added.new_in_month += number(2)?;
        }
        Ok(added)
    }
}

/// The number of the first placeholder of the buckets, and how many each has.
const FIRST_BUCKET: usize = 5;
const BUCKET_COLUMNS: usize = 2;

/// The bound values: names, their views, from how many views on rows are flagged, the columns of each bucket, and the views
/// by hour.
fn values(PageDeltas { names, views, hours }: PageDeltas, top_views: TopViews, buckets: &[Bucket]) -> Vec<Value> {
    let mut values: Vec<Value> = vec![names.into(), views.into(), top_views.day.into(), top_views.month.into()];
    for (grain, date) in buckets {
        values.extend([Value::from(grain.as_str()), (*date).into()]);
    }
    values.extend(hours.into_values().map(Value::from));
    values
}

/// The placeholders of the buckets, as rows for `VALUES` or `IN`.
fn placeholders(buckets: usize) -> String {
    let row = |bucket| {
        let first = FIRST_BUCKET + BUCKET_COLUMNS * bucket;
        format!("(${}::text, ${}::date)", first, first + 1)
    };
    (0..buckets).map(row).collect::<Vec<_>>().join(", ")
}
