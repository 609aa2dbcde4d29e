//! The merge's statements for SQLite.

use entity::{Hour, Transaction};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use serde_json::json;

use super::{
    Added, Statements,
    additions::{Addition, Deltas, Growth},
};

const GROWTH: &str = include_str!("sqlite/growth.sql");
const ADD: &str = include_str!("sqlite/add.sql");

/// The statements, in one transaction.
#[derive(Debug)]
pub(super) struct Sqlite<'a>(pub(super) &'a Transaction);

impl Statements for Sqlite<'_> {
    async fn growth(&mut self, hour: Hour, counts_max: usize) -> Result<Growth, DbErr> {
        let counts_max = i64::try_from(counts_max).unwrap_or(i64::MAX);
        let values = [hour.date().into(), hour.of_day().into(), counts_max.into()];
        let row = self.0.query_one_raw(Statement::from_sql_and_values(DbBackend::Sqlite, GROWTH, values)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("an aggregate".to_owned()))?;
        let rows: String = row.try_get_by_index(0)?;
        let rows: Vec<(String, i64, i64)> =
            serde_json::from_str(&rows).map_err(|error| DbErr::Json(error.to_string()))?;
        let mut growth = Growth { hour, known: Deltas::default(), new: Deltas::default() };
        for (name, views, known) in rows {
            if known == 1 { &mut growth.known } else { &mut growth.new }.push(name, views);
        }
        Ok(growth)
    }

    /// What is in memory is soon looked up: known rows and new ones are added to alike.
    async fn add(&mut self, Addition { buckets, known, new }: Addition) -> Result<Added, DbErr> {
        let buckets: Vec<_> =
            buckets.iter().map(|(grain, hour)| (grain.as_str(), hour.date(), hour.of_day())).collect();
        // In the order of the key.
        let mut deltas: Vec<_> = known.iter().chain(new.iter()).collect();
        deltas.sort_unstable();
        let values = [json!(buckets).to_string().into(), json!(deltas).to_string().into()];
        let done = self.0.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, ADD, values)).await?;
        Ok(Added { rows_changed: done.rows_affected(), rows_missing: 0 })
    }
}
