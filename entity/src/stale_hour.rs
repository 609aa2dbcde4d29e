//! `stale_hours`: marks of the hours whose counts changed since the last refresh.

use sea_orm::entity::prelude::*;

/// A mark. Recorders only insert marks, and the refresh that reads a mark deletes it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stale_hours")]
pub struct Model {
    /// The id that the database assigned. Ids are not in the order of commits.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The stale hour's date in UTC.
    pub date: Date,
    /// The stale hour's number in its day, 0 to 23.
    pub hour: i16,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
