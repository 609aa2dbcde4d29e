//! The chunk that a run has written last. It grows while it has room, so that a log that is followed has few chunks.

use entity::Counted;
use increments::imports::{Digest, FIRST_LINE_BYTES, NewChunk, OpenLine};

use super::{CHUNK_BYTES_MAX, CHUNK_LINES_MAX, Place};
use crate::{
    lines::{Identity, Lines},
    random,
};

/// The last chunk of a log.
#[derive(Debug)]
pub(super) struct Tip {
    id: i64,
    parent: i64,
    first_line: [u8; FIRST_LINE_BYTES],
    ordinal: usize,
    bytes: u64,
    count: usize,
    /// The lines' checks; only the text of the first lines is kept with them.
    lines: Lines,
    counted: Counted,
    /// The digest up to the end of what was written of the chunk; none before it is written.
    digest_before: Option<Digest>,
}

impl Tip {
    /// Returns a chunk of `lines` behind `place`. `ordinal` is the number of other chunks there with the same first line.
    pub(super) fn new(place: &Place, lines: &Lines, identity: &Identity, counted: Counted, ordinal: usize) -> Self {
        Self {
            id: random::id(),
            parent: place.chunk,
            // A full chunk of directives has none.
            first_line: lines.first_line(identity).unwrap_or_default(),
            ordinal,
            bytes: lines.bytes(),
            count: lines.len(),
            lines: lines.without_text(),
            counted,
            digest_before: None,
        }
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// Returns the number of lines, and the length in bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.count, self.bytes)
    }

    pub(super) fn has_room(&self) -> bool {
        self.count < CHUNK_LINES_MAX && self.bytes < CHUNK_BYTES_MAX
    }

    /// Adds lines, and what was counted of them.
    pub(super) fn grow(mut self, lines: &Lines, counted: &Counted) -> Self {
        self.bytes += lines.bytes();
        self.count += lines.len();
        self.lines.extend_checks(lines);
        self.counted.add_all(counted);
        self
    }

    /// Returns all that was counted of the chunk.
    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    pub(super) fn digest_before(&self) -> Option<Digest> {
        self.digest_before
    }

    /// Returns the chunk as it is to be stored, with the digest up to its end.
    pub(super) fn chunk(&self, digest: Digest, open_line: OpenLine) -> NewChunk {
        NewChunk {
            id: self.id,
            parent: self.parent,
            first_line: self.first_line,
            ordinal: i32::try_from(self.ordinal).unwrap_or(i32::MAX),
            bytes: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            lines: i64::try_from(self.count).unwrap_or(i64::MAX),
            digest,
            line_checks: self.lines.checks().to_vec(),
            open_line,
            counts_known: true,
        }
    }

    /// Returns the chunk after it was written with this digest.
    pub(super) fn written(self, digest: Digest) -> Self {
        Self { digest_before: Some(digest), ..self }
    }
}
