//! `stale_hours`: marks of the hours whose counts changed since the last refresh.

use sea_orm::entity::prelude::*;

/// One mark: append-only for writers, deleted by the refresh that reads it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stale_hours")]
pub struct Model {
    /// Given by the database; says nothing about the order of commits.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The stale hour's date in UTC.
    pub date: Date,
    /// The stale hour of the day, 0 to 23.
    pub hour: i16,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
