//! `page_memberships`: the groups of each page of the report. Empty while no groups are declared.

use sea_orm::entity::prelude::*;

/// The groups of one page.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "page_memberships")]
pub struct Model {
    /// The page's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The names of its groups in order, as a JSON list.
    pub member_of: String,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
