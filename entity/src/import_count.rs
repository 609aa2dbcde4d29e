//! `import_counts`: what each import counted of each chunk.

use sea_orm::entity::prelude::*;

/// What an import counted of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "import_counts")]
pub struct Model {
    /// The chunk's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub chunk: i64,
    /// The import's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub import: i64,
    /// The sum of the views.
    pub views: i64,
    /// A line for each page and hour, compressed with zlib: the hours since 1970, the views and the page, separated by
    /// tabs.
    pub counted: Vec<u8>,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
