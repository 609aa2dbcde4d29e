//! `page_aliases`: the names whose views count for another page.

use sea_orm::entity::prelude::*;

/// The most aliases that a database may have. The Wolf looks each of them up in every hour that it merges.
pub const ALIASES_MAX: u64 = 1_000;

/// One alias. Its target is no alias.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "page_aliases")]
pub struct Model {
    /// The name that views may still come by.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The page that they count for.
    pub target: String,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
