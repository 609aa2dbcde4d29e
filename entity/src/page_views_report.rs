//! `page_views_report`: the materialization of `page_views_live`, the only relation that queries read.

use sea_orm::entity::prelude::*;

/// The size of a report row's bucket.
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
    /// Returns the value in the column `grain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The relation's name.
pub const RELATION: &str = "page_views_report";

/// The `name` of rows with the whole site's sums. A page's name is never empty.
pub const SITE: &str = "";

/// The views of one page, or of the whole site, in one bucket. Only the Wolf writes the table.
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
    /// The bucket's hour of the day, 0 unless `grain` is [`Grain::Hour`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub hour: i16,
    /// The page's title, only on [`Grain::Month`] rows.
    pub title: Option<String>,
    /// The sum of the bucket's views.
    pub views: i64,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
