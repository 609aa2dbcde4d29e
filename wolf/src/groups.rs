//! Groups: pages that are chosen by declared patterns, and whose sums the report has in rows of their own.
//!
//! `page_groups` has what is declared and how far the report is with it, `page_memberships` the groups of each page of the
//! report. A page gets its groups in the transaction that brings its first row into the report, and every change of a page's
//! rows changes those of its groups in the same transaction. So the sum of a group is the sum of its pages for every reader.
//!
//! A group that is new or changed has no rows until [`build`] has brought all pages to its patterns. From then on its rows are
//! built from the newest day on, and those that are built are kept up to date as others are.

pub(crate) mod build;
pub(crate) mod definitions;
pub(crate) mod memberships;
pub(crate) mod sums;

use std::{
    collections::{BTreeSet, HashMap},
    sync::OnceLock,
};

use chrono::NaiveDate;
use entity::{
    Grain,
    page_group::{Column, Entity, GROUPS_PER_PAGE_MAX, Model},
    page_views_report::{self, Column as Report},
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr};
use storage::Transaction;

use self::definitions::{GroupMatcher, GroupsOfPage};
use crate::report_kind::ReportKind;

/// Why a group has no sums yet, as readers are told.
pub(crate) const BUILDING: &str = "it is being built";

/// The grains of the rows that a group has.
const GRAINS: [Grain; 3] = [Grain::GroupDay, Grain::GroupMonth, Grain::Group];

/// The groups of each of some pages.
pub(crate) type GroupsByPage = HashMap<String, Vec<String>>;

/// The groups that the report goes by.
#[derive(Debug)]
pub(crate) struct Groups {
    /// In the order of their names.
    rows: Vec<Model>,
    matcher: OnceLock<GroupMatcher>,
}

impl Groups {
    /// Reads the groups.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C) -> Result<Self, DbErr> {
        let rows = Entity::find().filter(Column::Effective.is_not_null()).order_by_asc(Column::Name).all(db).await?;
        Ok(Self { rows, matcher: OnceLock::new() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns whether the report has the rows of `group` on `date`, or would have them if there were views.
    pub(crate) fn have_rows(&self, group: &str, date: NaiveDate) -> bool {
        let found = self.rows.iter().find(|row| row.name == group && row.problem.is_none());
        found.is_some_and(|row| row.is_complete || row.built_from.is_some_and(|from| date >= from))
    }

    /// Returns the names of the groups that have been begun to be built, and have no problem.
    fn unfinished(&self) -> Vec<String> {
        let unfinished = self.rows.iter().filter(|row| !row.is_complete && row.problem.is_none());
        unfinished.map(|row| row.name.clone()).collect()
    }

    /// Returns the groups that the page `name` has to be in.
    fn of_page(&self, name: &str) -> Result<GroupsOfPage, DbErr> {
        if let Some(matcher) = self.matcher.get() {
            return Ok(matcher.groups_of(name));
        }
        let mut groups = Vec::new();
        for row in &self.rows {
            groups.push((row.name.as_str(), patterns(row.effective.as_deref().unwrap_or("[]"))?));
        }
        let matcher = GroupMatcher::new(groups.iter().map(|(name, patterns)| (*name, patterns.as_slice())));
        let matcher = matcher.map_err(|error| DbErr::Custom(format!("the pattern of a group: {error}")))?;
        Ok(self.matcher.get_or_init(|| matcher).groups_of(name))
    }

    /// Returns the groups of the pages `names`, which are or will be in the report, a table. New pages get theirs.
    pub(crate) async fn of_pages(
        &mut self,
        transaction: &Transaction,
        names: BTreeSet<&str>,
    ) -> Result<GroupsByPage, DbErr> {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut known = memberships::read(transaction, &names).await?;
        let new: Vec<String> = names.into_iter().filter(|name| !known.contains_key(name)).collect();
        let new = self.assign(transaction, new, ReportKind::Table).await?;
        known.extend(new);
        Ok(known)
    }

    /// Gives the pages `names` their groups, in the report too if that is a table. A group that would be the ninth of one of
    /// them can't be complete from then on.
    async fn assign(
        &mut self,
        transaction: &Transaction,
        names: Vec<String>,
        kind: ReportKind,
    ) -> Result<Vec<(String, Vec<String>)>, DbErr> {
        let (mut assigned, mut given_up) = (Vec::with_capacity(names.len()), BTreeSet::new());
        for name in names {
            let GroupsOfPage { groups, too_many } = self.of_page(&name)?;
            given_up.extend(too_many);
            assigned.push((name, groups));
        }
        memberships::write(transaction, &assigned, kind).await?;
        for group in given_up {
            self.give_up(transaction, &group, kind).await?;
        }
        Ok(assigned)
    }

    /// Notes that a group can't be complete, and deletes its rows.
    async fn give_up(&mut self, transaction: &Transaction, group: &str, kind: ReportKind) -> Result<(), DbErr> {
        let Some(row) = self.rows.iter_mut().find(|row| row.name == group && row.problem.is_none()) else {
            return Ok(());
        };
        // Without the page's name, which may have to be forgotten.
        let problem = format!("a page would be in more than {GROUPS_PER_PAGE_MAX} groups");
        Entity::update_many()
            .col_expr(Column::IsComplete, false.into())
            .col_expr(Column::BuiltFrom, Expr::value(Option::<NaiveDate>::None))
            .col_expr(Column::Problem, problem.as_str().into())
            .filter(Column::Name.eq(group))
            .exec(transaction)
            .await?;
        (row.is_complete, row.built_from) = (false, None);
        if kind == ReportKind::Table {
            delete_rows(transaction, &GRAINS, &[group.to_owned()]).await?;
            write_rows(transaction, &[(group.to_owned(), Some(problem.clone()))]).await?;
        }
        row.problem = Some(problem);
        Ok(())
    }
}

/// Reads patterns as they are stored.
pub(crate) fn patterns(stored: &str) -> Result<Vec<String>, DbErr> {
    serde_json::from_str(stored).map_err(|error| DbErr::Json(error.to_string()))
}

/// Deletes all rows of groups of the `grains` from the report, a table.
async fn delete_rows(transaction: &Transaction, grains: &[Grain], groups: &[String]) -> Result<(), DbErr> {
    for grain in grains {
        page_views_report::Entity::delete_many()
            .filter(Report::Grain.eq(*grain))
            .filter(Report::Name.is_in(groups.iter().map(String::as_str)))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Deletes the rows of groups whose day or month begins on `date` from the report, a table.
async fn delete_rows_of_day<'a>(
    transaction: &Transaction,
    date: NaiveDate,
    groups: impl Iterator<Item = &'a str>,
) -> Result<(), DbErr> {
    page_views_report::Entity::delete_many()
        .filter(Report::Grain.is_in([Grain::GroupDay, Grain::GroupMonth]))
        .filter(Report::Date.eq(date))
        .filter(Report::Name.is_in(groups))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Writes the rows of groups into the report, a table, each with the reason why its sums are not complete.
async fn write_rows(transaction: &Transaction, groups: &[(String, Option<String>)]) -> Result<(), DbErr> {
    let rows = groups.iter().map(|(name, reason)| (name.as_str(), reason.clone()));
    memberships::write_titles(transaction, Grain::Group, rows).await
}
