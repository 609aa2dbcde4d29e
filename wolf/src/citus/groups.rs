//! The rows of groups in the merge on a Citus cluster. Pages are on the nodes beside the groups that are noted of them; their sums
//! by group and hour come to the coordinator.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use entity::{Grain, Hour};
use sea_orm::{DbErr, Value};
use storage::Transaction;

use super::{execute, query};
use crate::{groups::Groups, merge::hour_columns};

/// What a group grows by in a bucket: its views, and by hour of the day.
type Sums = BTreeMap<(Grain, NaiveDate, String), (i64, BTreeMap<i16, i64>)>;

/// Adds the changes that were found to the rows of groups. New pages get their groups. Returns the number of changed rows.
pub(super) async fn add(transaction: &Transaction) -> Result<u64, DbErr> {
    let mut groups = Groups::read(transaction).await?;
    if groups.is_empty() {
        return Ok(0);
    }
    let new = query(transaction, include_str!("new_members.sql"), []).await?;
    let new = new.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<String>, _>>()?;
    groups.of_pages(transaction, new.iter().map(String::as_str).collect()).await?;
    let mut sums = Sums::new();
    for row in query(transaction, include_str!("group_deltas.sql"), []).await? {
        let group: String = row.try_get_by_index(0)?;
        let hour = Hour::new(row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        let views: i64 = row.try_get_by_index(3)?;
        if groups.have_rows(&group, hour.date()) {
            let (sum, hours) = sums.entry((Grain::GroupDay, hour.date(), group.clone())).or_default();
            *sum += views;
            *hours.entry(hour.of_day()).or_default() += views;
        }
        let month = hour.month_start().date();
        if groups.have_rows(&group, month) {
            sums.entry((Grain::GroupMonth, month, group)).or_default().0 += views;
        }
    }
    let mut rows = 0;
    for ((grain, date, group), (views, hours)) in sums {
        let mut values: Vec<Value> = vec![grain.as_str().into(), date.into(), group.into(), views.into()];
        values.extend(hours.values().map(|views| Value::from(*views)));
        let hours: Vec<i16> = hours.into_keys().collect();
        let sql = hour_columns::fill_in(include_str!("add_to_group.sql"), &hours, "excluded", |index| {
            format!("${}", 5 + index)
        });
        rows += execute(transaction, &sql, values).await?;
    }
    Ok(rows)
}
