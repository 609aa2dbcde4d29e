//! `pages`: what is known of a page besides its counts.

use sea_orm::entity::prelude::*;

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pages")]
pub struct Model {
    /// The page's name, 1 to 1,024 bytes: its only key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The title last recorded, if one ever was.
    pub title: Option<String>,
    /// When the page was first recorded.
    pub first_seen_at: DateTimeUtc,
}

/// None: a page is joined by its name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
