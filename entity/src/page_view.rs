//! `page_views`: the counts as they are recorded, one row per page and hour.

use sea_orm::entity::prelude::*;

/// The views of one page in one hour (UTC).
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "page_views")]
pub struct Model {
    /// The page's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The hour's date in UTC.
    #[sea_orm(primary_key, auto_increment = false)]
    pub date: Date,
    /// The hour of the day, 0 to 23.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour: i16,
    /// How often the page was viewed in that hour.
    pub views: i64,
    /// When the row last changed.
    pub updated_at: DateTimeUtc,
}

/// None: a page is joined by its name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
