//! `pages`: the pages, with their titles.

use sea_orm::entity::prelude::*;

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pages")]
pub struct Model {
    /// The page's name, 1 to 1,024 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The page's title, if one was recorded.
    pub title: Option<String>,
    /// When the page was first recorded.
    pub first_seen_at: DateTimeUtc,
}

/// The table has no declared relations. Other tables refer to a page by its name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
