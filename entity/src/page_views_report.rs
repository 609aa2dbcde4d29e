//! `page_views_report`: the materialization of `page_views_live`, the only relation that queries read.

use sea_orm::entity::prelude::*;

/// The size of one report row's bucket.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Grain {
    /// One hour: `(date, hour)`.
    #[sea_orm(string_value = "hour")]
    Hour,
    /// One day: `(date, 0)`.
    #[sea_orm(string_value = "day")]
    Day,
    /// One month: `(the month's first day, 0)`.
    #[sea_orm(string_value = "month")]
    Month,
}

impl Grain {
    /// The word in the column `grain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The name under which the whole site's sums stand; a page's name is never empty.
pub const SITE: &str = "";

/// The views of one page, or of the whole site, in one bucket. Read-only: the Wolf alone writes it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "page_views_report")]
pub struct Model {
    /// The bucket's size.
    #[sea_orm(primary_key, auto_increment = false)]
    pub grain: Grain,
    /// The page's name, or [`SITE`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The bucket's first day in UTC.
    #[sea_orm(primary_key, auto_increment = false)]
    pub date: Date,
    /// The bucket's hour of the day, 0 but for [`Grain::Hour`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour: i16,
    /// The page's title, on its [`Grain::Month`] rows alone.
    pub title: Option<String>,
    /// The sum.
    pub views: i64,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
