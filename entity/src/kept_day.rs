//! `kept_days`: the daily sums of hourly rows that were dropped for their age.

use sea_orm::entity::prelude::*;

/// The views of one page in one day, without those that are still in `page_views`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "kept_days")]
pub struct Model {
    /// The page's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The day in UTC.
    #[sea_orm(primary_key, auto_increment = false)]
    pub date: Date,
    /// The sum of the dropped rows.
    pub views: i64,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
