//! What a scan looks up in the database. Scans run on threads that may block.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use entity::Counted;
use increments::imports::{Digest, FIRST_LINE_BYTES, ImportLog, KnownChunk};
use sea_orm::DbErr;
use tokio::runtime::Handle;

use crate::ImportError;

/// The digests of the chunks that programs from before the table of chunks imported, by the chunks' numbers.
pub(crate) type EarlierDigests = Arc<HashMap<u64, HashSet<Digest>>>;

/// What was imported before, as far as scans ask for it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    log: ImportLog,
    runtime: Handle,
    earlier: EarlierDigests,
}

impl Known {
    /// Reads what programs from before the table of chunks have imported. Has to be called on the runtime.
    ///
    /// # Errors
    /// When the database can't be read.
    pub(crate) async fn load(log: ImportLog) -> Result<Self, DbErr> {
        let mut earlier: HashMap<_, HashSet<_>> = HashMap::new();
        for (number, digest) in log.earlier_chunks().await? {
            earlier.entry(number).or_default().insert(digest);
        }
        Ok(Self { log, runtime: Handle::current(), earlier: Arc::new(earlier) })
    }

    /// Returns the chunks of earlier programs.
    pub(crate) fn earlier(&self) -> EarlierDigests {
        Arc::clone(&self.earlier)
    }

    /// Returns the chunks that may follow `parent`, by their first line.
    pub(crate) fn chunks_after(
        &self,
        parent: i64,
        first_line: &[u8; FIRST_LINE_BYTES],
    ) -> Result<Vec<KnownChunk>, ImportError> {
        Ok(self.runtime.block_on(self.log.chunks_after(parent, first_line))?)
    }

    /// Returns the number of views that other runs than `run` have counted of a chunk.
    pub(crate) fn views_of(&self, chunk: i64, run: i64) -> Result<u64, ImportError> {
        Ok(self.runtime.block_on(self.log.views_of(chunk, run))?.unsigned_abs())
    }

    /// Returns all that was counted of a chunk.
    pub(crate) fn counts_of(&self, chunk: i64) -> Result<Counted, ImportError> {
        let mut sum = Counted::default();
        for counts in self.runtime.block_on(self.log.counts_of(chunk))? {
            sum.add_all(&Counted::decode(&counts.counted)?);
        }
        Ok(sum)
    }
}
