//! The merge's statements for SQLite.

use entity::{Grain, Hour, page_views_report::hour_column};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use serde_json::json;
use storage::Transaction;

use super::{
    Added, MergeStatements, TopViews,
    deltas::{BucketDelta, HourDelta, PageDeltas},
    hour_columns,
};

const ADD: &str = include_str!("sqlite/add.sql");
/// The place of the first hour in a sent row, behind the name and the views.
const FIRST_HOUR: usize = 2;

/// The statements, in one transaction.
#[derive(Debug)]
pub(super) struct Sqlite<'a>(pub(super) &'a Transaction);

impl MergeStatements for Sqlite<'_> {
    async fn hour_delta(
        &mut self,
        hour: Hour,
        names: Option<&[String]>,
        _day_rows: Option<i64>,
        counts_max: usize,
    ) -> Result<HourDelta, DbErr> {
        let sql = match names {
            Some(_) => include_str!("sqlite/named_pages.sql"),
            None => include_str!("sqlite/whole_hour.sql"),
        };
        let sql = sql.replace("{hour}", &hour_column(hour.of_day()));
        let counts_max = i64::try_from(counts_max).unwrap_or(i64::MAX);
        let names = names.map(|names| Value::from(json!(names).to_string()));
        let values = [hour.date().into(), hour.of_day().into(), counts_max.into()].into_iter().chain(names);
        let row = self.0.query_one_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
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

    async fn add_to_existing(
        &mut self,
        bucket_delta: &BucketDelta,
        deltas: PageDeltas,
        top_views: TopViews,
        _rows: Option<i64>,
    ) -> Result<Added, DbErr> {
        let done = self.0.execute_raw(statement(ADD, bucket_delta, &deltas, top_views)).await?;
        Ok(Added { rows_changed: done.rows_affected(), ..Added::default() })
    }

    async fn add_new(
        &mut self,
        bucket_delta: &BucketDelta,
        deltas: PageDeltas,
        top_views: TopViews,
    ) -> Result<Added, DbErr> {
        let sql = format!("{ADD} RETURNING grain, name, views");
        let rows = self.0.query_all_raw(statement(&sql, bucket_delta, &deltas, top_views)).await?;
        let mut added = Added { rows_changed: u64::try_from(rows.len()).unwrap_or(u64::MAX), ..Added::default() };
        for row in rows {
            let (grain, name): (Grain, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let sent = deltas.names.binary_search(&name).ok().and_then(|index| deltas.views.get(index));
            // No row has 0 views, so one that was there has more than it grew by.
            let is_new = sent == Some(&row.try_get_by_index(2)?);
            if is_new && !name.is_empty() {
                *(if grain == Grain::Day { &mut added.new_in_day } else { &mut added.new_in_month }) += 1;
            }
        }
        Ok(added)
    }
}

fn statement(sql: &str, bucket_delta: &BucketDelta, deltas: &PageDeltas, top_views: TopViews) -> Statement {
    let hours: Vec<i16> = deltas.hours.keys().copied().collect();
    let sql = hour_columns::fill_in(sql, &hours, "excluded", |index| format!("value->>{}", FIRST_HOUR + index));
    let buckets: Vec<_> = bucket_delta.buckets.iter().map(|(grain, date)| (grain.as_str(), date)).collect();
    let rows = deltas.names.iter().zip(&deltas.views).enumerate().map(|(index, (name, views))| {
        let mut row = vec![json!(name), json!(views)];
        row.extend(deltas.hours.values().map(|views| json!(views.get(index))));
        row
    });
    let rows = json!(rows.collect::<Vec<_>>()).to_string();
    let values: [Value; 4] =
        [json!(buckets).to_string().into(), rows.into(), top_views.day.into(), top_views.month.into()];
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}
