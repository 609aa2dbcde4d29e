//! The declared groups: written by operators, read by the Wolf.

use std::collections::BTreeMap;

use entity::page_group::{self, Column, Entity};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};
use serde_json::json;
use storage::Database;

use crate::{
    error::{Context, WolfError},
    groups::{
        BUILDING,
        definitions::{GroupDefinitions, GroupsOfPage},
        patterns,
    },
    pages,
    refresh::RefreshLock,
};

/// How many pages are looked through at a time.
const PAGES_PER_LOOK: u64 = 1_000;
/// What fails when a statement does.
const DECLARE: &str = "declare groups";

/// What groups come to on the pages that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPreview {
    /// The number of pages of each group.
    pub pages: BTreeMap<String, u64>,
    /// The first page that would be in too many groups, and all of these.
    pub too_many: Option<(String, Vec<String>)>,
}

/// How many groups a declaration has changed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredGroups {
    /// Groups that are new.
    pub added: u64,
    /// Groups whose patterns are other ones.
    pub changed: u64,
    /// Groups that are removed.
    pub removed: u64,
    /// Groups that stay as they are.
    pub unchanged: u64,
}

/// A declared group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredGroup {
    /// Its name.
    pub name: String,
    /// Its patterns; none when it is to be removed.
    pub patterns: Vec<String>,
    /// Why the report does not have its sums by these patterns; `None` if it has.
    pub pending: Option<String>,
}

/// Returns what `definitions` come to on the pages that were recorded.
///
/// # Errors
/// [`WolfError::Database`].
pub async fn preview_groups(database: &Database, definitions: &GroupDefinitions) -> Result<GroupPreview, WolfError> {
    let matcher = definitions.matcher().map_err(|error| DbErr::Custom(error.to_string())).context(DECLARE)?;
    let none = |name: &String| (name.clone(), 0);
    let mut preview = GroupPreview { pages: definitions.patterns().keys().map(none).collect(), too_many: None };
    let mut last = String::new();
    loop {
        let names = pages::after(&database.background, &last, PAGES_PER_LOOK).await.context("look for pages")?;
        let Some((name, _)) = names.last() else { return Ok(preview) };
        last.clone_from(name);
        for (name, _) in names {
            let GroupsOfPage { groups, too_many } = matcher.groups_of(&name);
            for group in groups.iter().chain(&too_many) {
                preview.pages.entry(group.clone()).and_modify(|pages| *pages += 1);
            }
            if preview.too_many.is_none() && !too_many.is_empty() {
                preview.too_many = Some((name, groups.into_iter().chain(too_many).collect()));
            }
        }
    }
}

/// Declares `definitions` in place of all groups. The next refreshes bring the report to them.
///
/// # Errors
/// [`WolfError::Database`], and then nothing has changed.
pub async fn declare_groups(database: &Database, definitions: &GroupDefinitions) -> Result<DeclaredGroups, WolfError> {
    let transaction = RefreshLock::new(database).begin().await.context(DECLARE)?;
    let before = Entity::find().all(&transaction).await.context(DECLARE)?;
    let before: BTreeMap<String, Option<String>> = before.into_iter().map(|row| (row.name, row.rules)).collect();
    let mut declared = DeclaredGroups::default();
    let mut rows = Vec::new();
    for (name, patterns) in definitions.patterns() {
        let rules = json!(patterns).to_string();
        match before.get(name) {
            Some(Some(before)) if *before == rules => {
                declared.unchanged += 1;
                continue;
            }
            Some(Some(_)) => declared.changed += 1,
            _ => declared.added += 1,
        }
        let (name, rules) = (Set(name.clone()), Set(Some(rules)));
        rows.push(page_group::ActiveModel { name, rules, is_complete: Set(false), ..Default::default() });
    }
    if !rows.is_empty() {
        let conflict = OnConflict::column(Column::Name).update_column(Column::Rules).to_owned();
        let insert = Entity::insert_many(rows).on_conflict(conflict);
        insert.exec_without_returning(&transaction).await.context(DECLARE)?;
    }
    let is_removed =
        |(name, rules): &(&String, &Option<String>)| rules.is_some() && !definitions.patterns().contains_key(*name);
    let removed: Vec<_> = before.iter().filter(is_removed).map(|(name, _)| name.clone()).collect();
    declared.removed = u64::try_from(removed.len()).unwrap_or(u64::MAX);
    if !removed.is_empty() {
        let remove = Entity::update_many().col_expr(Column::Rules, Expr::value(None::<String>));
        remove.filter(Column::Name.is_in(removed)).exec(&transaction).await.context(DECLARE)?;
    }
    transaction.commit().await.context(DECLARE)?;
    Ok(declared)
}

/// Returns the declared groups by name, with those that are to be removed.
///
/// # Errors
/// [`WolfError::Database`].
pub async fn list_groups(database: &Database) -> Result<Vec<DeclaredGroup>, WolfError> {
    let rows = Entity::find().order_by_asc(Column::Name).all(&database.background).await.context("list the groups")?;
    let group = |row: page_group::Model| {
        let pending = match &row.rules {
            None => Some("it is being removed".to_owned()),
            rules if *rules != row.effective => Some("it waits for the next refresh".to_owned()),
            _ if row.problem.is_some() => row.problem,
            _ => (!row.is_complete).then(|| BUILDING.to_owned()),
        };
        let patterns = row.rules.as_deref().map_or(Ok(Vec::new()), patterns)?;
        Ok(DeclaredGroup { name: row.name, patterns, pending })
    };
    rows.into_iter().map(group).collect::<Result<_, DbErr>>().context("list the groups")
}
