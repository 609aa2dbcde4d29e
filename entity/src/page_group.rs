//! `page_groups`: the declared groups of pages, and how far the report is with each.

use sea_orm::entity::prelude::*;

/// The most groups that a database may have.
pub const GROUPS_MAX: usize = 256;

/// The most groups that a page may be in.
pub const GROUPS_PER_PAGE_MAX: usize = 8;

/// The most bytes of a group's name.
pub const NAME_BYTES_MAX: usize = 64;

/// A declared group. Patterns are stored as a JSON list.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "page_groups")]
pub struct Model {
    /// The group's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The declared patterns; `None` when the group is to be removed.
    pub rules: Option<String>,
    /// The patterns that the report goes by; `None` before the first refresh, and once the group is being removed.
    pub effective: Option<String>,
    /// Whether the report has all sums of the group.
    pub is_complete: bool,
    /// Why the report can't have them.
    pub problem: Option<String>,
    /// The last page whose groups are brought to the rules; `None` when all are.
    pub walked_to: Option<String>,
    /// The report has the group's sums from this day on; `None` when it has none, or all.
    pub built_from: Option<Date>,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
