//! The groups of each page, in their table and in the report.

use std::collections::HashMap;

use chrono::NaiveDate;
use entity::{
    Grain, page_membership,
    page_views_report::{self, Column as Report, PAGE_DATE},
};
use sea_orm::{
    ActiveEnum, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Statement,
    sea_query::OnConflict,
};
use serde_json::json;
use storage::Transaction;

use super::{GroupsByPage, patterns};
use crate::{bound_list, report_kind::ReportKind};

/// The most pages of one statement, so that it takes a few milliseconds.
const PAGES_PER_STATEMENT: usize = 1_000;

/// Returns the groups of those of the pages `names` that have any noted, or that they have none.
pub(super) async fn read(transaction: &Transaction, names: &[String]) -> Result<GroupsByPage, DbErr> {
    let mut found = HashMap::with_capacity(names.len());
    for portion in names.chunks(PAGES_PER_STATEMENT) {
        let names = bound_list::names(transaction.get_database_backend(), portion.to_vec());
        let noted = page_membership::Entity::find().filter(page_membership::Column::Name.in_subquery(names));
        for page_membership::Model { name, member_of } in noted.all(transaction).await? {
            found.insert(name, patterns(&member_of)?);
        }
    }
    Ok(found)
}

/// Writes the groups of pages, in the report too if that is a table: there a page without groups has no row.
pub(super) async fn write(
    transaction: &Transaction,
    pages: &[(String, Vec<String>)],
    kind: ReportKind,
) -> Result<(), DbErr> {
    for portion in pages.chunks(PAGES_PER_STATEMENT) {
        let rows = portion.iter().map(|(name, groups)| page_membership::ActiveModel {
            name: Set(name.clone()),
            member_of: Set(json!(groups).to_string()),
        });
        let conflict = OnConflict::column(page_membership::Column::Name)
            .update_column(page_membership::Column::MemberOf)
            .to_owned();
        page_membership::Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(transaction).await?;
        if kind == ReportKind::Table {
            let (members, others): (Vec<_>, Vec<_>) = portion.iter().partition(|(_, groups)| !groups.is_empty());
            let members = members.iter().map(|(name, groups)| (name.as_str(), Some(json!(groups).to_string())));
            write_titles(transaction, Grain::Member, members).await?;
            delete_from_report(transaction, others.iter().map(|(name, _)| name.clone()).collect()).await?;
        }
    }
    Ok(())
}

/// Writes rows of the report that are of no time.
pub(super) async fn write_titles<'a>(
    transaction: &Transaction,
    grain: Grain,
    rows: impl Iterator<Item = (&'a str, Option<String>)>,
) -> Result<(), DbErr> {
    let rows: Vec<_> = rows
        .map(|(name, title)| page_views_report::ActiveModel {
            grain: Set(grain),
            date: Set(PAGE_DATE),
            name: Set(name.to_owned()),
            views: Set(0),
            title: Set(title),
            ..Default::default()
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let conflict =
        OnConflict::columns([Report::Grain, Report::Date, Report::Name]).update_column(Report::Title).to_owned();
    page_views_report::Entity::insert_many(rows)
        .on_conflict(conflict)
        .exec_without_returning(transaction)
        .await
        .map(drop)
}

/// Deletes the rows of the report with the groups of pages.
async fn delete_from_report(transaction: &Transaction, names: Vec<String>) -> Result<(), DbErr> {
    if names.is_empty() {
        return Ok(());
    }
    page_views_report::Entity::delete_many()
        .filter(Report::Grain.eq(Grain::Member))
        .filter(Report::Date.eq(PAGE_DATE))
        .filter(Report::Name.in_subquery(bound_list::names(transaction.get_database_backend(), names)))
        .exec(transaction)
        .await
        .map(drop)
}

/// Deletes the groups of pages, not in the report.
pub(crate) async fn delete(transaction: &Transaction, names: &[String]) -> Result<(), DbErr> {
    for portion in names.chunks(PAGES_PER_STATEMENT) {
        let names = bound_list::names(transaction.get_database_backend(), portion.to_vec());
        let delete = page_membership::Entity::delete_many();
        delete.filter(page_membership::Column::Name.in_subquery(names)).exec(transaction).await?;
    }
    Ok(())
}

/// Returns the names of at most `limit` pages of the report, a table named `relation`, that come after `after`, in order.
pub(super) async fn pages_after(
    transaction: &Transaction,
    relation: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, DbErr> {
    let backend = transaction.get_database_backend();
    let sql = format!(
        "SELECT name FROM {relation} WHERE grain = '{}' AND date = $1 AND name > $2 ORDER BY name LIMIT {limit}",
        Grain::Page.to_value()
    );
    let date: NaiveDate = PAGE_DATE;
    let statement = Statement::from_sql_and_values(backend, sql, [date.into(), after.into()]);
    let rows = transaction.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
