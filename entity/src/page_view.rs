//! `page_views`: the recorded counts, one row per page and hour.

use chrono::TimeDelta;
use sea_orm::entity::prelude::*;

/// How far the time of a view may be ahead of the clock of the process that records it.
pub const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

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
    /// The number of views of the page in the hour.
    pub views: i64,
    /// When the row last changed.
    pub updated_at: DateTimeUtc,
}

/// The table has no declared relations. It refers to a page by its name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
