//! Aliases: views that were recorded under the old name of a page count for the new one.
//!
//! Recorders know nothing of aliases. Before an hour is merged, the counts of aliases in it move to their targets.

use std::collections::{BTreeSet, HashMap};

use entity::{Hour, page, page_alias};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use storage::{Transaction, clock::Clock};

use crate::{
    counts::{self, Bounds},
    error::{Context, WolfError},
    pages,
    recount::recount,
    sent::Bucketed,
    top_pages::TopPages,
};

/// Moves the counts of aliases in the days of `hours` to their targets, and brings the report, which is a table, to them: an
/// alias may have been merged that was recorded just before. Returns the number of rows that changed.
pub(crate) async fn resolve(
    transaction: &Transaction,
    hours: &[Hour],
    top_pages: TopPages,
    clock: &Clock,
) -> Result<u64, WolfError> {
    let days = move_counts(transaction, hours.iter().copied(), clock).await.context("move the counts of aliases")?;
    Ok(recount(transaction, &days, top_pages).await?.rows_changed)
}

/// Moves the counts of aliases in the days of `hours` to their targets. Returns the days of both that have
/// changed.
pub(crate) async fn move_counts(
    transaction: &Transaction,
    hours: impl Iterator<Item = Hour>,
    clock: &Clock,
) -> Result<BTreeSet<Bucketed>, DbErr> {
    let targets = targets(transaction).await?;
    if targets.is_empty() {
        return Ok(BTreeSet::new());
    }
    let dates: BTreeSet<_> = hours.map(Hour::date).collect();
    let days: Vec<_> =
        dates.into_iter().flat_map(|date| targets.keys().map(move |name| (date, name.clone()))).collect();
    let taken = counts::take(transaction, days.iter(), Bounds::default()).await?;
    let target = |name: &str| targets.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let hours = taken.hours.keys().map(|(hour, name)| (hour.date(), name.clone()));
    let mut changed: BTreeSet<Bucketed> = hours.chain(taken.kept.keys().cloned()).collect();
    if !changed.is_empty() {
        let now = clock.database_now(transaction).await?;
        let names: BTreeSet<_> = changed.iter().map(|(_, name)| target(name)).collect();
        changed.extend(changed.clone().into_iter().map(|(date, name)| (date, target(&name))));
        pages::insert_missing(transaction, names.into_iter().collect(), now).await?;
        counts::give(transaction, &taken, target, now).await?;
    }
    Ok(changed)
}

/// Makes `name` an alias of `to`, and all aliases of `name` too.
pub(crate) async fn point(transaction: &Transaction, name: &str, to: &str, keep: bool) -> Result<(), DbErr> {
    page_alias::Entity::update_many()
        .col_expr(page_alias::Column::Target, to.into())
        .filter(page_alias::Column::Target.eq(name))
        .exec(transaction)
        .await?;
    page_alias::Entity::delete_many().filter(page_alias::Column::Name.is_in([name, to])).exec(transaction).await?;
    if keep {
        let alias = page_alias::Model { name: name.to_owned(), target: to.to_owned() };
        page_alias::Entity::insert(page_alias::ActiveModel::from(alias)).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Returns the targets of all aliases.
pub(crate) async fn targets<C: ConnectionTrait>(db: &C) -> Result<HashMap<String, String>, DbErr> {
    let aliases = page_alias::Entity::find().all(db).await?;
    Ok(aliases.into_iter().map(|alias| (alias.name, alias.target)).collect())
}

/// Returns the target of an alias.
pub(crate) async fn target<C: ConnectionTrait>(db: &C, name: &str) -> Result<Option<String>, DbErr> {
    Ok(page_alias::Entity::find_by_id(name).one(db).await?.map(|alias| alias.target))
}

/// Removes the aliases whose name or target `is_removed`. Returns how many.
pub(crate) async fn remove(transaction: &Transaction, is_removed: impl Fn(&str) -> bool) -> Result<u64, DbErr> {
    let aliases = page_alias::Entity::find().all(transaction).await?;
    let names: Vec<_> = aliases
        .into_iter()
        .filter(|alias| is_removed(&alias.name) || is_removed(&alias.target))
        .map(|alias| alias.name)
        .collect();
    if names.is_empty() {
        return Ok(0);
    }
    page::Entity::delete_many().filter(page::Column::Name.is_in(names.clone())).exec(transaction).await?;
    let removed = page_alias::Entity::delete_many().filter(page_alias::Column::Name.is_in(names));
    Ok(removed.exec(transaction).await?.rows_affected)
}
