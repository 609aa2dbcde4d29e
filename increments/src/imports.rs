//! What was imported from access logs: how far each log was read, and what was counted of it.
//!
//! A log is known again by its content. What was read of it is a sequence of chunks of lines, each stored with the hash
//! of the whole log up to its end, in the same transaction as its counts. Chunks are a tree: logs that are equal up to
//! the end of a chunk share the chunks up to there, and a chunk that is new belongs to exactly one place in the tree. So
//! two imports of a log at the same time can't both count a line: one of them finds the place taken
//! ([`RecordError::ImportedMeanwhile`](crate::RecordError::ImportedMeanwhile)) and has to look again.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use entity::{idempotency_key, import, import_chunk, import_count};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use storage::Database;

/// The prefix of the keys by which earlier programs knew what they had imported. Clients' keys must not have it.
pub(crate) const IMPORT_PREFIX: &str = "import:";
/// The number of bytes of a SHA-256.
pub const DIGEST_BYTES: usize = 32;
/// The number of bytes of [`NewChunk::first_line`].
pub const FIRST_LINE_BYTES: usize = 16;

/// The SHA-256 of a log up to some place.
pub type Digest = [u8; DIGEST_BYTES];

/// The id of no chunk: the parent of the first chunk of a log.
pub const NO_CHUNK: i64 = 0;

/// A run of the import over one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRun {
    /// A random number above 0.
    pub id: i64,
    /// When the run began.
    pub began_at: DateTime<Utc>,
    /// The name of the log's file.
    pub source: String,
    /// The rules by which lines count, as options of the command line.
    pub rules: String,
    /// The version of the program.
    pub program: String,
}

/// Numbers of lines by their results.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedLines {
    /// All lines that were looked at.
    pub lines: i64,
    /// Lines that count as page views.
    pub counted: i64,
    /// Lines that were left out.
    pub left_out: i64,
    /// Lines that can't be read.
    pub unreadable: i64,
}

/// The state of the line that a chunk ends in.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OpenLine {
    /// The chunk ends with a whole line.
    #[default]
    None,
    /// The chunk ends within a line, which has been counted or left out already.
    Judged,
    /// The chunk ends within a line, which is to be judged when it is whole.
    Unjudged,
}

impl OpenLine {
    /// Returns the value in the database.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Judged => 1,
            Self::Unjudged => 2,
        }
    }

    fn from_code(code: i16) -> Self {
        match code {
            0 => Self::None,
            1 => Self::Judged,
            _ => Self::Unjudged,
        }
    }
}

/// A chunk as it is to be stored: see `entity::import_chunk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChunk {
    /// A random number above 0.
    pub id: i64,
    /// The chunk before, or [`NO_CHUNK`].
    pub parent: i64,
    /// The beginning of the SHA-256 of the chunk's first line that is no comment.
    pub first_line: [u8; FIRST_LINE_BYTES],
    /// The number of other chunks with the same parent and first line.
    pub ordinal: i32,
    /// The decompressed length.
    pub bytes: i64,
    /// The number of lines.
    pub lines: i64,
    /// The SHA-256 of the log up to the end of the chunk.
    pub digest: Digest,
    /// Two bytes for each line.
    pub line_checks: Vec<u8>,
    /// Whether the chunk ends within a line.
    pub open_line: OpenLine,
    /// Whether all that was counted of the chunk is stored.
    pub counts_known: bool,
}

/// A change of the chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkChange {
    /// A chunk is added behind its parent, which ends with `parent_digest`; none at the beginning of a log.
    Inserted {
        /// The digest of the parent.
        parent_digest: Option<Digest>,
        /// The chunk.
        chunk: NewChunk,
    },
    /// The chunk that this run inserted last has grown.
    Grown {
        /// Its digest before.
        digest_before: Digest,
        /// The chunk as it is now.
        chunk: NewChunk,
    },
    /// Lines of a chunk that had been left out are counted.
    Revised {
        /// The chunk's id.
        id: i64,
        /// The chunk's digest.
        digest: Digest,
        /// The chunk's revision before.
        revision: i32,
    },
}

impl ChunkChange {
    /// Returns the id of the chunk.
    pub(crate) fn chunk_id(&self) -> i64 {
        match self {
            Self::Inserted { chunk, .. } | Self::Grown { chunk, .. } => chunk.id,
            Self::Revised { id, .. } => *id,
        }
    }
}

/// What an import has counted of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkCounts {
    /// The sum of the views.
    pub views: i64,
    /// The views by page and hour: see `entity::import_count`.
    pub counted: Vec<u8>,
}

/// A step of an import: a change of the chunks that is written together with the counts, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportStep {
    /// The run.
    pub run: ImportRun,
    /// The change of the chunks.
    pub change: ChunkChange,
    /// The lines that this step adds to the run.
    pub lines: ImportedLines,
    /// All that this run has counted of the chunk; none if that is unknown.
    pub counts: Option<ChunkCounts>,
}

/// A stored chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownChunk {
    /// The chunk's id.
    pub id: i64,
    /// The decompressed length.
    pub bytes: u64,
    /// The number of lines.
    pub lines: u64,
    /// The SHA-256 of the log up to the end of the chunk.
    pub digest: Vec<u8>,
    /// Two bytes for each line.
    pub line_checks: Vec<u8>,
    /// Whether the chunk ends within a line.
    pub open_line: OpenLine,
    /// Whether all that was counted is stored.
    pub counts_known: bool,
    /// How often the chunk was revised.
    pub revision: i32,
}

impl From<import_chunk::Model> for KnownChunk {
    fn from(row: import_chunk::Model) -> Self {
        Self {
            id: row.id,
            bytes: row.bytes.unsigned_abs(),
            lines: row.lines.unsigned_abs(),
            digest: row.digest,
            line_checks: row.line_checks,
            open_line: OpenLine::from_code(row.open_line),
            counts_known: row.counts_known,
            revision: row.revision,
        }
    }
}

/// Reads what was imported.
#[derive(Clone, Debug)]
pub struct ImportLog {
    database: Database,
}

impl ImportLog {
    /// Returns the reader of what was imported into `database`.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// Returns the chunks that follow `parent` and begin with this line, the shortest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn chunks_after(
        &self,
        parent: i64,
        first_line: &[u8; FIRST_LINE_BYTES],
    ) -> Result<Vec<KnownChunk>, DbErr> {
        let chunks = import_chunk::Entity::find()
            .filter(import_chunk::Column::Parent.eq(parent))
            .filter(import_chunk::Column::FirstLine.eq(first_line.to_vec()))
            .order_by_asc(import_chunk::Column::Bytes)
            .all(&self.database.readers);
        Ok(chunks.await?.into_iter().map(KnownChunk::from).collect())
    }

    /// Returns what was counted of a chunk, by import.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn counts_of(&self, chunk: i64) -> Result<Vec<import_count::Model>, DbErr> {
        let counts = import_count::Entity::find().filter(import_count::Column::Chunk.eq(chunk));
        counts.all(&self.database.readers).await
    }

    /// Returns the views that imports have counted of a chunk, those of `run` left out.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn views_of(&self, chunk: i64, run: i64) -> Result<i64, DbErr> {
        let sum = Expr::col(import_count::Column::Views).sum().cast_as("bigint");
        let views = import_count::Entity::find()
            .select_only()
            .expr_as(sum, "views")
            .filter(import_count::Column::Chunk.eq(chunk))
            .filter(import_count::Column::Import.ne(run))
            .into_tuple::<Option<i64>>()
            .one(&self.database.readers);
        Ok(views.await?.flatten().unwrap_or_default())
    }

    /// Returns the views that an import has counted and that are known to be its own.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn views_by(&self, import: i64) -> Result<i64, DbErr> {
        let sum = Expr::col(import_count::Column::Views).sum().cast_as("bigint");
        let views = import_count::Entity::find()
            .select_only()
            .expr_as(sum, "views")
            .filter(import_count::Column::Import.eq(import))
            .into_tuple::<Option<i64>>()
            .one(&self.database.readers);
        Ok(views.await?.flatten().unwrap_or_default())
    }

    /// Returns the imports, oldest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn imports(&self) -> Result<Vec<import::Model>, DbErr> {
        let imports = import::Entity::find().order_by_asc(import::Column::BeganAt).order_by_asc(import::Column::Id);
        imports.all(&self.database.readers).await
    }

    /// Returns the chunks that were imported by programs from before the table of chunks: the numbers of the chunks,
    /// each with the SHA-256 of the log up to its end.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn earlier_chunks(&self) -> Result<HashSet<(u64, Digest)>, DbErr> {
        let keys = idempotency_key::Entity::find()
            .select_only()
            .column(idempotency_key::Column::Key)
            .filter(Expr::col(idempotency_key::Column::Kept))
            .into_tuple::<String>()
            .all(&self.database.readers);
        Ok(keys.await?.iter().filter_map(|key| earlier_chunk(key)).collect())
    }
}

/// Reads the key of a chunk that an earlier program has imported: `import:`, the SHA-256 in hexadecimal, `:` and the
/// chunk's number from 0.
fn earlier_chunk(key: &str) -> Option<(u64, Digest)> {
    let (digest, number) = key.strip_prefix(IMPORT_PREFIX)?.split_once(':')?;
    let digest = hex::decode(digest).ok()?.try_into().ok()?;
    Some((number.parse().ok()?, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_an_earlier_import_has_the_digest_and_the_number() {
        let key = format!("import:{}:12", "0a".repeat(DIGEST_BYTES));
        assert_eq!(earlier_chunk(&key), Some((12, [0x0a; DIGEST_BYTES])));
        for wrong in ["", "import:", "import:0a:1", &key[7..], &format!("{key}x")] {
            assert_eq!(earlier_chunk(wrong), None, "{wrong}");
        }
    }
}
