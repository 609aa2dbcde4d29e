//! `stale_titles`: marks of the pages whose title changed since the last refresh.
//!
//! A title stands on the month rows of its page alone, so a changed one costs a row a month and
//! not a row an hour.

use sea_orm::entity::prelude::*;

/// One mark: append-only for writers, deleted by the refresh that reads it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stale_titles")]
pub struct Model {
    /// Given by the database; says nothing about the order of commits.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The page whose title changed.
    pub name: String,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
