//! `stale_titles`: marks of the pages whose title changed since the last refresh.
//!
//! Only the month rows of a page have its title, so that a changed title costs one row per month, not one per hour.

use sea_orm::entity::prelude::*;

/// A mark. Recorders only insert marks, and the refresh that reads a mark deletes it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stale_titles")]
pub struct Model {
    /// The id that the database assigned. Ids are not in the order of commits.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The page whose title changed.
    pub name: String,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
