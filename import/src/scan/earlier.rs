//! Logs that programs imported before there was a table of chunks. They kept the digest of a log after every 10,000
//! lines and at its end, as idempotency keys.

use increments::imports::Digest;

use super::CHUNK_LINES_MAX;
use crate::{known::EarlierDigests, lines::LogText};

/// Looks for the chunks of earlier programs in a log.
#[derive(Debug)]
pub(super) struct EarlierChunks {
    digests: EarlierDigests,
    /// The number of the chunk that comes next.
    number: u64,
    /// The number of its lines that are known without this, in chunks of this program.
    before: usize,
    /// The last place in the next chunk that is the end of an earlier chunk.
    found: Option<TakenChunk>,
    is_over: bool,
}

/// A chunk that an earlier program has imported.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct TakenChunk {
    /// The number of its lines; the last one may lack its end.
    pub(super) lines: usize,
    /// The digest of the log up to its end.
    pub(super) digest: Digest,
    /// Whether it ends within its last line.
    pub(super) is_open: bool,
}

impl EarlierChunks {
    pub(super) fn new(digests: EarlierDigests) -> Self {
        Self { digests, number: 0, before: 0, found: None, is_over: false }
    }

    /// Takes notice of lines that are known as a chunk of this program.
    pub(super) fn pass(&mut self, lines: usize) {
        self.found = None;
        self.before += lines;
        self.number += u64::try_from(self.before.div_euclid(CHUNK_LINES_MAX)).unwrap_or(u64::MAX);
        self.before = self.before.rem_euclid(CHUNK_LINES_MAX);
    }

    /// Returns whether the next lines may be those of an earlier chunk.
    pub(super) fn is_under_way(&self) -> bool {
        !self.is_over && self.digests.contains_key(&self.number)
    }

    /// Looks whether an earlier chunk ends where `text` has been read to; `is_end` says that there is no more to read.
    /// Returns the longest such chunk when all lines that it could have are read, or none if there is none.
    pub(super) fn look(&mut self, text: &mut LogText, is_end: bool) -> Option<TakenChunk> {
        if !self.is_under_way() {
            return None;
        }
        let digests = &self.digests[&self.number];
        let is_earlier = |digest: &Digest| digests.contains(digest);
        let (lines, digest) = (text.lines.len(), text.digest());
        // An earlier program may have read the last line before it had its end.
        if lines > 0 && (is_earlier(&digest) || text.digests_without_line_end().iter().any(is_earlier)) {
            self.found = Some(TakenChunk { lines, digest, is_open: false });
        }
        // A chunk is found by its first line, so it needs a whole one.
        if is_end && lines > 0 && text.tail_bytes() > 0 && is_earlier(&text.digest_with_tail()) {
            self.found = Some(TakenChunk { lines: lines + 1, digest: text.digest_with_tail(), is_open: true });
        }
        if self.before + lines < CHUNK_LINES_MAX && !is_end {
            return None;
        }
        let found = self.found.take();
        self.is_over = found.is_none_or(|found| self.before + found.lines < CHUNK_LINES_MAX);
        (self.number, self.before) = (self.number + 1, 0);
        if found.is_some_and(|found| found.is_open) {
            text.close_tail();
        }
        found
    }
}

/// Returns whether the beginning of a line in the combined format is a whole line in the common format. Earlier programs
/// took it for one.
pub(super) fn ends_with_size(line: &[u8]) -> bool {
    let mut words = line.trim_ascii().rsplit(u8::is_ascii_whitespace);
    let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let is_size = words.next().is_some_and(|size| size == b"-" || is_number(size));
    let is_status = words.next().is_some_and(|status| status.len() == 3 && is_number(status));
    is_size && is_status && words.next().is_some_and(|request| request.ends_with(b"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_that_is_cut_behind_its_size_is_one_of_the_common_format() {
        let line = br#"h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 15 "-" "Mozilla/5.0""#;
        let whole: Vec<_> = (0..=line.len()).filter(|end| ends_with_size(&line[..*end])).collect();
        let size = line.windows(4).position(|text| text == b" 15 ").unwrap() + 1;
        assert_eq!(whole, [size + 1, size + 2, size + 3]);
    }
}
