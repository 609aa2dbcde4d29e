//! The rows of pages: the title, and the last day on which the page was viewed.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use entity::{
    Grain, page,
    page_views_report::{self, Column as Report, PAGE_DATE},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement, Value,
};
use serde_json::json;
use storage::Transaction;

use crate::{bound_list, site_rows};

/// The most pages of one statement, so that it takes a few milliseconds.
const PAGES_PER_STATEMENT: usize = 1_000;

/// Notes that pages were viewed on a day, the last one of those that are new: inserts the rows of new pages, and brings
/// those of the others up to date, as well as the numbers of pages by last day. Returns how many rows it wrote.
pub(crate) async fn view(transaction: &Transaction, viewed: BTreeMap<String, NaiveDate>) -> Result<u64, DbErr> {
    let (mut left, mut rows) = (viewed.into_iter(), 0);
    let mut last_pages: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    loop {
        let portion: Vec<(String, NaiveDate)> = left.by_ref().take(PAGES_PER_STATEMENT).collect();
        if portion.is_empty() {
            break;
        }
        let known = last_dates(transaction, portion.iter().map(|(name, _)| name.clone()).collect()).await?;
        let later = |(name, date): &(String, NaiveDate)| known.get(name).is_none_or(|last| *last < Some(*date));
        let later: Vec<_> = portion.into_iter().filter(later).collect();
        for (name, date) in &later {
            *last_pages.entry(*date).or_default() += 1;
            if let Some(Some(before)) = known.get(name) {
                *last_pages.entry(*before).or_default() -= 1;
            }
        }
        if !later.is_empty() {
            rows += write(transaction, later).await?;
        }
    }
    if !last_pages.is_empty() {
        site_rows::add_last_pages(transaction, last_pages).await?;
    }
    Ok(rows)
}

/// Returns the last days of those of the pages `names` that have a row.
pub(crate) async fn last_dates(
    transaction: &Transaction,
    names: Vec<String>,
) -> Result<HashMap<String, Option<NaiveDate>>, DbErr> {
    let rows: Vec<(String, Option<NaiveDate>)> = page_views_report::Entity::find()
        .select_only()
        .columns([Report::Name, Report::LastDate])
        .filter(Report::Grain.eq(Grain::Page))
        .filter(Report::Date.eq(PAGE_DATE))
        .filter(Report::Name.in_subquery(bound_list::names(transaction.get_database_backend(), names)))
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(rows.into_iter().collect())
}

pub(crate) async fn write(transaction: &Transaction, rows: Vec<(String, NaiveDate)>) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let statement = if backend == DbBackend::Postgres {
        // A Citus cluster looks nothing up for the rows of a list.
        let mut titles = titles(transaction, rows.iter().map(|(name, _)| name.clone()).collect()).await?;
        let titles: Vec<String> = rows.iter().map(|(name, _)| titles.remove(name).unwrap_or_default()).collect();
        let (names, dates): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let values: [Value; 4] = [names.into(), dates.into(), PAGE_DATE.into(), titles.into()];
        Statement::from_sql_and_values(backend, include_str!("page_rows/postgres_write.sql"), values)
    } else {
        let values = [json!(rows).to_string().into(), PAGE_DATE.into()];
        Statement::from_sql_and_values(backend, include_str!("page_rows/sqlite_write.sql"), values)
    };
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}

/// Returns the titles of those of the pages `names` that have one.
async fn titles(transaction: &Transaction, names: Vec<String>) -> Result<HashMap<String, String>, DbErr> {
    let titled: Vec<(String, String)> = page::Entity::find()
        .select_only()
        .columns([page::Column::Name, page::Column::Title])
        .filter(page::Column::Title.is_not_null())
        .filter(page::Column::Name.in_subquery(bound_list::names(transaction.get_database_backend(), names)))
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(titled.into_iter().collect())
}
