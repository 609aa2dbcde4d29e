//! Brings the report to groups that were declared, changed or removed since.
//!
//! In a report that is a table this is done in portions, each a transaction of its own that leaves the report right: first the
//! rows of these groups are deleted, then all pages are brought to the patterns, and then the rows are built, from the newest
//! day on. What is done is noted in `page_groups`, so that a process that is killed loses at most a portion. A materialized
//! view, and a report that is rebuilt, is brought to all groups in one transaction.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use entity::{
    Grain, Hour,
    page_group::{Column, Entity},
    page_membership,
    page_views_report::{PAGE_DATE, RELATION, SITE_INDEX, indexed_by},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Statement,
    sea_query::{Expr, ExprTrait},
};
use storage::Transaction;

use super::{
    BUILDING, Groups, delete_rows,
    memberships::{self, pages_after},
    sums, write_rows,
};
use crate::report_kind::ReportKind;

/// How many pages are brought to the patterns in one transaction.
const PAGES_PER_PORTION: usize = 1_000;
/// How long a transaction may build rows: it ends after the day that it is at then.
const PORTION_MAX: Duration = Duration::from_millis(250);
/// How many pages are given groups at a time for a materialized view: each time, all counts are looked through.
const NEW_PAGES_PER_LOOK: usize = 50_000;
/// How often the pages are looked for that were counted meanwhile, and a materialized view is refreshed again.
pub(crate) const VIEW_TRIES_MAX: u32 = 3;
/// The day from which on no rows are built yet.
const NOTHING_BUILT: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap();

/// What a portion did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    /// There was nothing to do.
    Nothing,
    /// Readers see no difference yet.
    Unseen,
    /// Readers see a difference.
    Seen,
}

/// Returns whether the report has to be brought to some group.
pub(crate) async fn is_due<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    let is_unfinished = Column::IsComplete.eq(false).and(Column::Problem.is_null());
    let due = Column::Rules.is_null().or(is_changed()).or(is_unfinished);
    Ok(Entity::find().filter(due).one(db).await?.is_some())
}

/// The condition that a group is declared otherwise than the report has it.
fn is_changed() -> Expr {
    let differs = Expr::col(Column::Rules).ne(Expr::col(Column::Effective));
    Column::Rules.is_not_null().and(Column::Effective.is_null().or(differs))
}

/// Does the next portion for a report that is a table.
pub(crate) async fn next_portion(transaction: &Transaction) -> Result<Portion, DbErr> {
    let is_removed = Column::Rules.is_null().and(Column::Effective.is_not_null());
    let changed = Entity::find().filter(is_removed.or(is_changed())).one(transaction).await?;
    if changed.is_some() {
        begin(transaction).await?;
        return Ok(Portion::Seen);
    }
    let walked = Entity::find().filter(Column::WalkedTo.is_not_null()).all(transaction).await?;
    if let Some(walked_to) = walked.into_iter().filter_map(|row| row.walked_to).min() {
        return walk(transaction, &walked_to).await;
    }
    build_days(transaction).await
}

/// Deletes the rows of all groups that are removed, changed or unfinished, and begins to build them anew.
async fn begin(transaction: &Transaction) -> Result<(), DbErr> {
    let is_unfinished = Column::IsComplete.eq(false);
    let begun =
        Entity::find().filter(Column::Rules.is_null().or(is_changed()).or(is_unfinished)).all(transaction).await?;
    let names: Vec<String> = begun.iter().map(|row| row.name.clone()).collect();
    delete_rows(transaction, &names).await?;
    let none = Expr::value(Option::<String>::None);
    Entity::update_many()
        .col_expr(Column::Effective, Expr::col(Column::Rules))
        .col_expr(Column::IsComplete, false.into())
        .col_expr(Column::Problem, none)
        .col_expr(Column::WalkedTo, "".into())
        .col_expr(Column::BuiltFrom, Expr::value(Option::<NaiveDate>::None))
        .filter(Column::Name.is_in(names))
        .exec(transaction)
        .await?;
    let building = begun.into_iter().filter(|row| row.rules.is_some());
    let building: Vec<_> = building.map(|row| (row.name, Some(BUILDING.to_owned()))).collect();
    write_rows(transaction, &building).await
}

/// Brings the next pages after `walked_to` to the patterns.
async fn walk(transaction: &Transaction, walked_to: &str) -> Result<Portion, DbErr> {
    let names = pages_after(transaction, RELATION, walked_to, PAGES_PER_PORTION).await?;
    let (is_last, last) = (names.len() < PAGES_PER_PORTION, names.last().cloned());
    let mut groups = Groups::read(transaction).await?;
    let given_up_before = groups.given_up();
    let mut wrong = groups.wrong_of(transaction, names.clone()).await?;
    // The groups that a page has too many of have to be noted again.
    for name in names {
        if !groups.of_page(&name)?.too_many.is_empty() && !wrong.contains(&name) {
            wrong.push(name);
        }
    }
    groups.assign(transaction, wrong, ReportKind::Table).await?;
    // A group that is given up has no rows any more, and it may have been complete.
    let portion = if groups.given_up() == given_up_before { Portion::Unseen } else { Portion::Seen };
    let walking = Column::WalkedTo.is_not_null();
    if let Some(last) = last.filter(|_| !is_last) {
        Entity::update_many().col_expr(Column::WalkedTo, last.into()).filter(walking).exec(transaction).await?;
        return Ok(portion);
    }
    Entity::delete_many().filter(Column::Rules.is_null()).exec(transaction).await?;
    if Entity::find().one(transaction).await?.is_none() {
        page_membership::Entity::delete_many().exec(transaction).await?;
    }
    Entity::update_many()
        .col_expr(Column::WalkedTo, Expr::value(Option::<String>::None))
        .col_expr(Column::BuiltFrom, NOTHING_BUILT.into())
        .filter(walking)
        .exec(transaction)
        .await?;
    // A group that is unfinished for a problem has its row with the reason already.
    Entity::update_many()
        .col_expr(Column::BuiltFrom, Expr::value(Option::<NaiveDate>::None))
        .filter(Column::Problem.is_not_null())
        .exec(transaction)
        .await?;
    Ok(portion)
}

impl Groups {
    /// Returns how many groups can't be complete.
    fn given_up(&self) -> usize {
        self.rows.iter().filter(|row| row.problem.is_some()).count()
    }

    /// Returns those of the pages `names` that are in other groups than the patterns say.
    async fn wrong_of(&self, transaction: &Transaction, names: Vec<String>) -> Result<Vec<String>, DbErr> {
        let known = memberships::read(transaction, &names).await?;
        let mut wrong = Vec::new();
        for name in names {
            if known.get(&name) != Some(&self.of_page(&name)?.groups) {
                wrong.push(name);
            }
        }
        Ok(wrong)
    }
}

/// Builds the rows of the unfinished groups on the next days, from the newest one on.
async fn build_days(transaction: &Transaction) -> Result<Portion, DbErr> {
    let begun = Instant::now();
    let groups = Groups::read(transaction).await?;
    let unfinished = groups.unfinished();
    let Some(mut built_from) = groups.rows.iter().filter_map(|row| row.built_from).max() else {
        return Ok(Portion::Nothing);
    };
    while let Some(date) = date_before(transaction, built_from).await? {
        let next = date.succ_opt().unwrap_or(NaiveDate::MAX);
        for grain in [Grain::Day, Grain::Month] {
            sums::build(transaction, RELATION, grain, [date, next], &unfinished).await?;
        }
        built_from = date;
        if begun.elapsed() > PORTION_MAX {
            let built = Entity::update_many().col_expr(Column::BuiltFrom, built_from.into());
            built.filter(Column::BuiltFrom.is_not_null()).exec(transaction).await?;
            return Ok(Portion::Unseen);
        }
    }
    Entity::update_many()
        .col_expr(Column::IsComplete, true.into())
        .col_expr(Column::BuiltFrom, Expr::value(Option::<NaiveDate>::None))
        .filter(Column::BuiltFrom.is_not_null())
        .exec(transaction)
        .await?;
    let complete: Vec<_> = unfinished.into_iter().map(|name| (name, None)).collect();
    write_rows(transaction, &complete).await?;
    Ok(Portion::Seen)
}

/// Returns the last day before `date` on which a day or a month begins that has views.
async fn date_before(transaction: &Transaction, date: NaiveDate) -> Result<Option<NaiveDate>, DbErr> {
    let backend = transaction.get_database_backend();
    let report = format!("{}{}", RELATION, indexed_by(backend, SITE_INDEX));
    let last = |grain: Grain| {
        format!("SELECT max(date) AS date FROM {report} WHERE grain = '{}' AND name = '' AND date < $1", grain.as_str())
    };
    let sql = format!("SELECT max(date) FROM ({} UNION ALL {}) AS last", last(Grain::Day), last(Grain::Month));
    let row = transaction.query_one_raw(Statement::from_sql_and_values(backend, sql, [date.into()])).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// Brings the groups of all pages to what is declared, for a report that is built anew in the same transaction: every group is
/// complete then, unless a page would be in too many.
async fn declare_all(transaction: &Transaction) -> Result<Groups, DbErr> {
    Entity::delete_many().filter(Column::Rules.is_null()).exec(transaction).await?;
    Entity::update_many()
        .col_expr(Column::Effective, Expr::col(Column::Rules))
        .col_expr(Column::IsComplete, true.into())
        .col_expr(Column::Problem, Expr::value(Option::<String>::None))
        .col_expr(Column::WalkedTo, Expr::value(Option::<String>::None))
        .col_expr(Column::BuiltFrom, Expr::value(Option::<NaiveDate>::None))
        .exec(transaction)
        .await?;
    page_membership::Entity::delete_many().exec(transaction).await?;
    Groups::read(transaction).await
}

/// Builds all rows of groups in `relation`, a new report that is a table and has the rows of its pages and of the site. Returns
/// how many.
pub(crate) async fn fill(transaction: &Transaction, relation: &str) -> Result<u64, DbErr> {
    let mut groups = declare_all(transaction).await?;
    if groups.is_empty() {
        return Ok(0);
    }
    let mut after = String::new();
    loop {
        let names = pages_after(transaction, relation, &after, PAGES_PER_PORTION).await?;
        let Some(last) = names.last() else { break };
        after.clone_from(last);
        // Not in the report yet: all its rows that are of no time follow.
        groups.assign(transaction, names, ReportKind::MaterializedView).await?;
    }
    let backend = transaction.get_database_backend();
    let sql = include_str!("build/fill.sql").replace("{relation}", relation);
    let statement = Statement::from_sql_and_values(backend, sql, [PAGE_DATE.into()]);
    let mut rows = transaction.execute_raw(statement).await?.rows_affected();
    let complete: Vec<_> = groups.rows.iter().filter(|row| row.is_complete).map(|row| row.name.clone()).collect();
    let months = format!("SELECT date FROM {relation} WHERE grain = 'month' AND name = '' ORDER BY date");
    for row in transaction.query_all_raw(Statement::from_string(backend, months)).await? {
        let month = Hour::new(row.try_get_by_index(0)?, 0);
        let bounds = [month.date(), month.next_month_start().date()];
        for grain in [Grain::Day, Grain::Month] {
            rows += sums::build(transaction, relation, grain, bounds, &complete).await?;
        }
    }
    Ok(rows)
}

/// Prepares the groups for a materialized view that is created or refreshed next in the same transaction: brings all pages to
/// what is declared if that has changed or the view is built anew, and gives new pages their groups.
pub(crate) async fn prepare_view(transaction: &Transaction, is_new: bool) -> Result<(), DbErr> {
    let mut groups = match is_new || is_due(transaction).await? {
        true => declare_all(transaction).await?,
        false => Groups::read(transaction).await?,
    };
    if groups.is_empty() {
        return Ok(());
    }
    loop {
        let names = without_groups(transaction, NEW_PAGES_PER_LOOK).await?;
        let is_last = names.len() < NEW_PAGES_PER_LOOK;
        groups.assign(transaction, names, ReportKind::MaterializedView).await?;
        if is_last {
            return Ok(());
        }
    }
}

/// Returns whether the materialized view, just refreshed, has a page that was counted after it was prepared.
pub(crate) async fn view_lacks_pages(transaction: &Transaction) -> Result<bool, DbErr> {
    // Every other reason is one that a refresh does not end.
    const SQL: &str = "SELECT 1 FROM page_views_report WHERE grain = 'group' AND title = $1 LIMIT 1";
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), SQL, [BUILDING.into()]);
    Ok(transaction.query_one_raw(statement).await?.is_some())
}

/// Returns at most `limit` pages that are counted and have no groups noted, nor that they have none.
async fn without_groups(transaction: &Transaction, limit: usize) -> Result<Vec<String>, DbErr> {
    let sql = format!("{} LIMIT {limit}", include_str!("build/without_groups.sql").trim_end());
    let rows = transaction.query_all_raw(Statement::from_string(transaction.get_database_backend(), sql)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Returns the pages of the report that are in other groups than the patterns say. While pages are brought to new patterns,
/// nothing is known of that.
pub(crate) async fn pages_in_other_groups(transaction: &Transaction) -> Result<Vec<String>, DbErr> {
    let groups = Groups::read(transaction).await?;
    let is_walking = Entity::find().filter(Column::WalkedTo.is_not_null()).one(transaction).await?.is_some();
    let (mut wrong, mut after) = (Vec::new(), String::new());
    while !groups.is_empty() && !is_walking {
        let names = pages_after(transaction, RELATION, &after, PAGES_PER_PORTION).await?;
        let Some(last) = names.last() else { break };
        after.clone_from(last);
        wrong.extend(groups.wrong_of(transaction, names).await?);
    }
    Ok(wrong)
}
