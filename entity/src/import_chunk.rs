//! `import_chunks`: the chunks of imported logs, by which a log is known again.

use sea_orm::entity::prelude::*;

/// Some consecutive lines of a log. The first chunks of all logs are the roots of trees, in which logs that are equal
/// up to the end of a chunk share their chunks.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "import_chunks")]
pub struct Model {
    /// A random number, chosen by the run that wrote the row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The id of the chunk before this one; 0 for the first chunk of a log.
    pub parent: i64,
    /// The first 16 bytes of the SHA-256 of the chunk's first line.
    pub first_line: Vec<u8>,
    /// The number, from 0, among chunks with the same parent and first line.
    pub ordinal: i32,
    /// The decompressed length of the chunk, in bytes.
    pub bytes: i64,
    /// The number of the chunk's lines, empty ones included.
    pub lines: i64,
    /// The SHA-256 of the decompressed log up to the end of the chunk, 32 bytes.
    pub digest: Vec<u8>,
    /// Two bytes for each line: the low half of the CRC-32 of the chunk up to the end of the line, little-endian.
    pub line_checks: Vec<u8>,
    /// Whether the chunk ends within a line: 0 no, 1 and that line was counted or left out, 2 and it was not.
    pub open_line: i16,
    /// Whether `import_counts` has all that was counted of the chunk.
    pub counts_known: bool,
    /// Whether another chunk follows, so that this one does not grow any more.
    pub sealed: bool,
    /// How often lines of the chunk that had been left out were counted afterwards.
    pub revision: i32,
}

/// The table has no declared relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
