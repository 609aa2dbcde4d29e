//! Brings the report to groups that were declared, changed or removed since.
//!
//! In a report that is a table this is done in portions, each a transaction of its own that leaves the report right: first the
//! rows of these groups are deleted, from the oldest day on, then all pages are brought to the patterns, and then the rows are
//! built, from the newest day on. `page_groups` notes how far this is, so that a process that is killed loses at most a
//! portion. A materialized view, and a report that is rebuilt, is brought to all groups in one transaction.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use entity::{
    Grain, Hour,
    page_group::{Column, Entity, Model},
    page_membership,
    page_views_report::{PAGE_DATE, RELATION, SITE_INDEX, indexed_by},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Statement,
    sea_query::{Expr, ExprTrait},
};
use storage::Transaction;

use super::{
    BUILDING, Groups, delete_rows, delete_rows_of_day,
    memberships::{self, pages_after},
    sums, write_rows,
};
use crate::report_kind::ReportKind;

/// How many pages are brought to the patterns in one transaction.
const PAGES_PER_PORTION: usize = 1_000;
/// How long a transaction may delete or build rows: it ends after the day that it is at then.
const PORTION_MAX: Duration = Duration::from_millis(100);
/// How long a refresh may be followed by building rows of groups; the rest is done after the next refreshes.
const AFTER_REFRESH_MAX: Duration = Duration::from_secs(5);
/// How many pages are given groups at a time for a materialized view: each time, all counts are looked through.
const NEW_PAGES_PER_LOOK: usize = 50_000;
/// How often the pages are looked for that were counted meanwhile, and a materialized view is refreshed again.
pub(crate) const VIEW_TRIES_MAX: u32 = 3;
/// The day from which on no rows are built yet.
const NOTHING_BUILT: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap();

/// A day before all that have views.
const NO_DATE: NaiveDate = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();

/// How long rows of groups may be deleted or built.
#[derive(Copy, Clone, Debug)]
pub(crate) struct BuildingTime {
    /// In one transaction, which has one day at least.
    pub(crate) portion_max: Duration,
    /// After one refresh.
    pub(crate) after_refresh_max: Duration,
}

impl Default for BuildingTime {
    fn default() -> Self {
        Self { portion_max: PORTION_MAX, after_refresh_max: AFTER_REFRESH_MAX }
    }
}

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
pub(crate) async fn next_portion(transaction: &Transaction, portion_max: Duration) -> Result<Portion, DbErr> {
    let is_removed = Column::Rules.is_null().and(Column::Effective.is_not_null().or(Column::WalkedTo.is_null()));
    let changed = Entity::find().filter(is_removed.or(is_changed())).one(transaction).await?;
    if changed.is_some() {
        return begin(transaction, portion_max).await;
    }
    let walked = Entity::find().filter(Column::WalkedTo.is_not_null()).all(transaction).await?;
    if let Some(walked_to) = walked.into_iter().filter_map(|row| row.walked_to).min() {
        return walk(transaction, &walked_to).await;
    }
    build_days(transaction, portion_max).await
}

/// Deletes the next rows of all groups that are removed, changed or unfinished. Once there are none, begins to build them anew.
async fn begin(transaction: &Transaction, portion_max: Duration) -> Result<Portion, DbErr> {
    let is_unfinished = Column::IsComplete.eq(false);
    let begun =
        Entity::find().filter(Column::Rules.is_null().or(is_changed()).or(is_unfinished)).all(transaction).await?;
    if let Some(portion) = delete_days(transaction, &begun, portion_max).await? {
        return Ok(portion);
    }
    let names: Vec<String> = begun.iter().map(|row| row.name.clone()).collect();
    delete_rows(transaction, &[Grain::Group], &names).await?;
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
    write_rows(transaction, &building).await?;
    Ok(Portion::Seen)
}

/// Deletes rows of `groups` from the oldest day on, and notes from which day on they are left. Returns `None` once there are
/// none.
async fn delete_days(
    transaction: &Transaction,
    groups: &[Model],
    portion_max: Duration,
) -> Result<Option<Portion>, DbErr> {
    let begun = Instant::now();
    let has_rows = |row: &&Model| row.is_complete || row.built_from.is_some();
    let groups: Vec<_> = groups.iter().filter(has_rows).collect();
    let names = groups.iter().map(|row| row.name.as_str());
    let mut deleted_to = groups.iter().map(|row| row.built_from.unwrap_or(NO_DATE)).min().unwrap_or(NOTHING_BUILT);
    while let Some(date) = date_with_views(transaction, Next::From(deleted_to)).await? {
        delete_rows_of_day(transaction, date, names.clone()).await?;
        deleted_to = date.succ_opt().unwrap_or(NaiveDate::MAX);
        if begun.elapsed() >= portion_max {
            let has_older = Column::IsComplete.eq(true).or(Column::BuiltFrom.lt(deleted_to));
            Entity::update_many()
                .col_expr(Column::IsComplete, false.into())
                .col_expr(Column::BuiltFrom, deleted_to.into())
                .filter(Column::Name.is_in(names).and(has_older))
                .exec(transaction)
                .await?;
            let complete = groups.iter().filter(|row| row.is_complete);
            let incomplete: Vec<_> = complete.map(|row| (row.name.clone(), Some(BUILDING.to_owned()))).collect();
            write_rows(transaction, &incomplete).await?;
            return Ok(Some(if incomplete.is_empty() { Portion::Unseen } else { Portion::Seen }));
        }
    }
    Ok(None)
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
async fn build_days(transaction: &Transaction, portion_max: Duration) -> Result<Portion, DbErr> {
    let begun = Instant::now();
    let groups = Groups::read(transaction).await?;
    let Some(mut built_from) = groups.rows.iter().filter_map(|row| row.built_from).max() else {
        return Ok(Portion::Nothing);
    };
    while let Some(date) = date_with_views(transaction, Next::Before(built_from)).await? {
        let next = date.succ_opt().unwrap_or(NaiveDate::MAX);
        // A group whose declaration was changed back while its rows were deleted has newer rows left.
        let mut lack_it = groups.unfinished();
        lack_it.retain(|group| !groups.have_rows(group, date));
        for grain in [Grain::Day, Grain::Month] {
            sums::build(transaction, RELATION, grain, [date, next], &lack_it).await?;
        }
        built_from = date;
        if begun.elapsed() >= portion_max {
            let built = Entity::update_many().col_expr(Column::BuiltFrom, built_from.into());
            built.filter(Column::BuiltFrom.gt(built_from)).exec(transaction).await?;
            return Ok(Portion::Unseen);
        }
    }
    Entity::update_many()
        .col_expr(Column::IsComplete, true.into())
        .col_expr(Column::BuiltFrom, Expr::value(Option::<NaiveDate>::None))
        .filter(Column::BuiltFrom.is_not_null())
        .exec(transaction)
        .await?;
    let complete: Vec<_> = groups.unfinished().into_iter().map(|name| (name, None)).collect();
    write_rows(transaction, &complete).await?;
    Ok(Portion::Seen)
}

/// Which day is looked for.
#[derive(Copy, Clone, Debug)]
enum Next {
    /// The last one before.
    Before(NaiveDate),
    /// The first one from then on.
    From(NaiveDate),
}

/// Returns the next day on which a day or a month begins that has views.
async fn date_with_views(transaction: &Transaction, next: Next) -> Result<Option<NaiveDate>, DbErr> {
    let backend = transaction.get_database_backend();
    let report = format!("{}{}", RELATION, indexed_by(backend, SITE_INDEX));
    let (choose, condition, date) = match next {
        Next::Before(date) => ("max", "date < $1", date),
        Next::From(date) => ("min", "date >= $1", date),
    };
    let of_grain = |grain: Grain| {
        let grain = grain.as_str();
        format!("SELECT {choose}(date) AS date FROM {report} WHERE grain = '{grain}' AND name = '' AND {condition}")
    };
    let [days, months] = [of_grain(Grain::Day), of_grain(Grain::Month)];
    let sql = format!("SELECT {choose}(date) FROM ({days} UNION ALL {months}) AS next");
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
