//! The merge's statements for SQLite.

use entity::Hour;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde_json::json;
use storage::Transaction;

use super::{
    Added, MergeStatements,
    deltas::{BucketDelta, HourDelta, PageDeltas},
};

const HOUR_DELTA: &str = include_str!("sqlite/hour_delta.sql");
const ADD: &str = include_str!("sqlite/add.sql");

/// The statements, in one transaction.
#[derive(Debug)]
pub(super) struct Sqlite<'a>(pub(super) &'a Transaction);

impl MergeStatements for Sqlite<'_> {
    async fn hour_delta(&mut self, hour: Hour, counts_max: usize) -> Result<HourDelta, DbErr> {
        let counts_max = i64::try_from(counts_max).unwrap_or(i64::MAX);
        let values = [hour.date().into(), hour.of_day().into(), counts_max.into()];
        let row = self.0.query_one_raw(Statement::from_sql_and_values(DbBackend::Sqlite, HOUR_DELTA, values)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
        let rows: String = row.try_get_by_index(0)?;
        let rows: Vec<(String, i64, i64)> =
            serde_json::from_str(&rows).map_err(|error| DbErr::Json(error.to_string()))?;
        let mut hour_delta = HourDelta { hour, existing: PageDeltas::default(), new: PageDeltas::default() };
        for (name, views, existing) in rows {
            if existing == 1 { &mut hour_delta.existing } else { &mut hour_delta.new }.push(name, views);
        }
        Ok(hour_delta)
    }

    /// Adds to existing and to new rows by one statement: looking up a row in memory costs little.
    async fn add(&mut self, BucketDelta { buckets, existing, new }: BucketDelta) -> Result<Added, DbErr> {
        let buckets: Vec<_> =
            buckets.iter().map(|(grain, hour)| (grain.as_str(), hour.date(), hour.of_day())).collect();
        // Sorted as the key is.
        let mut deltas: Vec<_> = existing.iter().chain(new.iter()).collect();
        deltas.sort_unstable();
        let values = [json!(buckets).to_string().into(), json!(deltas).to_string().into()];
        let done = self.0.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, ADD, values)).await?;
        Ok(Added { rows_changed: done.rows_affected(), rows_missing: 0 })
    }
}
