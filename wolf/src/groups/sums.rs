//! The rows of groups that have views: of days and of months.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use entity::{Grain, Hour, page_views_report::hour_column};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use serde_json::json;
use storage::Transaction;

use super::{Groups, GroupsByPage};

/// Returns the grain of the rows of groups beside the rows of pages of `grain`.
pub(crate) fn grain_of_groups(grain: Grain) -> Grain {
    if grain == Grain::Day { Grain::GroupDay } else { Grain::GroupMonth }
}

impl Groups {
    /// Returns the groups of a page that have rows on `date`.
    pub(crate) fn with_rows<'a>(
        &self,
        members: &'a GroupsByPage,
        page: &str,
        date: NaiveDate,
    ) -> impl Iterator<Item = &'a String> {
        members.get(page).into_iter().flatten().filter(move |group| self.have_rows(group, date))
    }
}

/// Builds rows of groups in the report, a table named `relation`, from those of its pages: of the buckets of `grain` that begin
/// on or after `start` and before `end`. There are none of the groups yet. Returns how many.
pub(super) async fn build(
    transaction: &Transaction,
    relation: &str,
    grain: Grain,
    [start, end]: [NaiveDate; 2],
    groups: &[String],
) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let (group, member_of, names): (&str, &str, Value) = match backend {
        DbBackend::Postgres => (
            "member_of.group_name",
            "CROSS JOIN LATERAL jsonb_array_elements_text(page_memberships.member_of::jsonb) AS member_of (group_name) \
             WHERE member_of.group_name = ANY($3)",
            groups.to_vec().into(),
        ),
        _ => (
            "member_of.value",
            "CROSS JOIN json_each(page_memberships.member_of) AS member_of \
             WHERE member_of.value IN (SELECT value FROM json_each($3))",
            json!(groups).to_string().into(),
        ),
    };
    let sql = include_str!("sums/build.sql")
        .replace("{relation}", relation)
        .replace("{group}", group)
        .replace("{member_of}", member_of)
        .replace("{grain}", grain.as_str())
        .replace("{grain_of_groups}", grain_of_groups(grain).as_str());
    let statement = Statement::from_sql_and_values(backend, sql, [start.into(), end.into(), names]);
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}

/// Takes the dropped views of an hour from the rows of their groups, in the report, a table: the sums of the day stay.
pub(crate) async fn drop_hour<'a>(
    transaction: &Transaction,
    hour: Hour,
    dropped: impl Iterator<Item = (&'a str, i64)>,
) -> Result<(), DbErr> {
    let mut groups = Groups::read(transaction).await?;
    if groups.is_empty() {
        return Ok(());
    }
    let dropped: Vec<_> = dropped.collect();
    let members = groups.of_pages(transaction, dropped.iter().map(|(name, _)| *name).collect()).await?;
    let mut sums: BTreeMap<&String, i64> = BTreeMap::new();
    for (name, views) in dropped {
        for group in groups.with_rows(&members, name, hour.date()) {
            *sums.entry(group).or_default() += views;
        }
    }
    if sums.is_empty() {
        return Ok(());
    }
    let backend = transaction.get_database_backend();
    let (sent, values) = match backend {
        DbBackend::Postgres => {
            let (names, views): (Vec<String>, Vec<i64>) =
                sums.into_iter().map(|(name, sum)| (name.clone(), sum)).unzip();
            let sent = "unnest($2::text[], $3::bigint[]) AS sent (name, views)";
            (sent, vec![hour.date().into(), names.into(), views.into()])
        }
        _ => {
            let rows: Vec<_> = sums.into_iter().collect();
            let sent = "(SELECT value->>0 AS name, value->>1 AS views FROM json_each($2)) AS sent";
            (sent, vec![hour.date().into(), json!(rows).to_string().into()])
        }
    };
    let sql = include_str!("sums/drop_hour.sql").replace("{sent}", sent).replace("{hour}", &hour_column(hour.of_day()));
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.map(drop)
}
