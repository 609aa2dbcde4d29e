//! Reads a log in chunks, each of which is recorded with its own idempotency key.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::rules::{Rules, Verdict};
use super::summary::ImportStats;
use access_logs::{Format, LineError, Parser};
use entity::AHEAD_MAX;

/// The number of lines of a chunk, including empty ones. It equals the most increments of a request.
pub(crate) const LINES_PER_CHUNK: u64 = 10_000;
/// The longest line that is read, in bytes. Apache and nginx limit a request's line and headers well below it.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1_024;

/// The page views of some consecutive lines of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The idempotency key: `import:`, the SHA-256 in hex of the decompressed log up to the end of this chunk, `:`, and
    /// the chunk's number from 0. It does not depend on the log's name or compression, nor on the rules, so that a log
    /// that is imported twice counts once.
    pub key: String,
    /// The views by page and by the start of the hour. Empty if no line counted.
    pub views: BTreeMap<(String, DateTime<Utc>), i64>,
    /// The results of the chunk's lines. Line numbers are those in the whole log.
    pub stats: ImportStats,
    /// The decompressed length of the chunk.
    pub bytes: u64,
}

/// An iterator over the chunks of a log, each of [`LINES_PER_CHUNK`] lines except for the last one.
///
/// If reading fails, the iterator returns the error in place of the incomplete chunk, and ends. The incomplete chunk is
/// not recorded: its key would differ from that of the complete chunk, so its lines would count again later.
pub struct Chunks<R> {
    log: R,
    parser: Parser,
    rules: Rules,
    now: DateTime<Utc>,
    /// The hash of everything read so far.
    digest: Sha256,
    /// The current line, or the part of it that was read last.
    line: Vec<u8>,
    line_number: u64,
    chunk_number: u64,
    ended: bool,
}

impl<R> std::fmt::Debug for Chunks<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chunks").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The kind of the line in [`Chunks::line`].
enum Line {
    Whole,
    TooLong,
}

impl<R: BufRead> Chunks<R> {
    /// Returns the chunks of the decompressed `log`. Lines from more than five minutes after `now` count as unreadable.
    pub fn new(log: R, rules: Rules, now: DateTime<Utc>) -> Self {
        let parser = Parser::new(Format::Combined);
        let (digest, line) = (Sha256::new(), Vec::new());
        Self { log, parser, rules, now, digest, line, line_number: 0, chunk_number: 0, ended: false }
    }

    fn read_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut chunk = Chunk { key: String::new(), views: BTreeMap::new(), stats: ImportStats::default(), bytes: 0 };
        for _ in 0..LINES_PER_CHUNK {
            let Some(line) = self.read_line(&mut chunk.bytes)? else { break };
            self.count_line(&line, &mut chunk);
        }
        if chunk.bytes == 0 {
            return Ok(None);
        }
        chunk.key = self.key();
        self.chunk_number += 1;
        Ok(Some(chunk))
    }

    /// Reads the next line and adds its length to `bytes`. Returns `None` at the end of the log.
    fn read_line(&mut self, bytes: &mut u64) -> io::Result<Option<Line>> {
        let mut is_end = self.read_piece(bytes)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.line_number += 1;
        if is_end {
            return Ok(Some(Line::Whole));
        }
        while !is_end {
            is_end = self.read_piece(bytes)?;
        }
        Ok(Some(Line::TooLong))
    }

    /// Reads up to the end of the line, but at most [`LINE_BYTES_MAX`] and its line end. Returns whether the end of the
    /// line was reached.
    fn read_piece(&mut self, bytes: &mut u64) -> io::Result<bool> {
        self.line.clear();
        // One more byte for the line end.
        let bytes_max = LINE_BYTES_MAX + 1;
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let read = self.log.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        self.digest.update(&self.line);
        *bytes += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read < bytes_max || self.line.ends_with(b"\n"))
    }

    fn count_line(&mut self, line: &Line, chunk: &mut Chunk) {
        let parsed = match line {
            Line::TooLong => Err(LineError::TooLong { bytes_max: LINE_BYTES_MAX }),
            Line::Whole => match self.parser.parse(&self.line) {
                Ok(None) => return,
                Ok(Some(line)) if line.time.signed_duration_since(self.now) > AHEAD_MAX => Err(LineError::TooLate),
                Ok(Some(line)) => Ok(line),
                Err(error) => Err(error),
            },
        };
        match parsed.as_ref().map(|line| self.rules.judge(line)) {
            Ok(Verdict::Counted { page, hour }) => {
                *chunk.views.entry((page.to_owned(), hour)).or_default() += 1;
                chunk.stats.count_page_view();
            }
            Ok(Verdict::LeftOut(reason)) => chunk.stats.count_left_out(reason),
            Err(error) => chunk.stats.count_unreadable(self.line_number, error.clone()),
        }
    }

    fn key(&self) -> String {
        let hex = hex::encode(self.digest.clone().finalize());
        format!("import:{hex}:{}", self.chunk_number)
    }
}

impl<R: BufRead> Iterator for Chunks<R> {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let chunk = self.read_chunk().transpose();
        self.ended = !matches!(chunk, Some(Ok(_)));
        chunk
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::super::rules::LeftOut;
    use super::*;

    const LINE: &str = "h - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1\n";

    fn chunks_of(log: impl BufRead, rules: Rules) -> Vec<io::Result<Chunk>> {
        Chunks::new(log, rules, "2026-01-01T00:00:00Z".parse().unwrap()).collect()
    }

    fn chunks(log: &[u8]) -> Vec<Chunk> {
        chunks_of(log, Rules::default()).into_iter().map(Result::unwrap).collect()
    }

    fn sha256_key(text: &[u8], number: usize) -> String {
        let hex = hex::encode(Sha256::digest(text));
        format!("import:{hex}:{number}")
    }

    /// A reader that fails after its text, like a truncated file.
    struct Broken<'a>(&'a [u8]);

    impl io::Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => Ok(bytes),
            }
        }
    }

    #[test]
    fn chunk_sums_views_by_page_and_hour() {
        let log = [LINE, LINE, &LINE.replace(":10:05", ":11:00"), "\n", &LINE.replace("/a", "/b?c"), "x\n"].concat();
        let read = chunks(log.as_bytes());
        let views: Vec<_> =
            read[0].views.iter().map(|((page, hour), views)| (page.as_str(), hour.timestamp(), *views)).collect();
        let ten = 1_431_856_800;
        assert_eq!(views, [("/a", ten, 2), ("/a", ten + 3_600, 1), ("/b", ten, 1)]);
        assert_eq!((read[0].stats.lines, read[0].stats.counted, read[0].stats.unreadable), (5, 4, 1));
        assert_eq!(read[0].stats.unreadable_first, [(6, LineError::NoTime)]);
    }

    #[test]
    fn chunks_end_after_ten_thousand_lines_and_none_is_empty() {
        let lines = usize::try_from(LINES_PER_CHUNK).unwrap();
        for (count, expected) in [(0, vec![]), (lines, vec![10_000]), (lines * 2 + 1, vec![10_000, 10_000, 1])] {
            let log = LINE.repeat(count);
            let read = chunks(log.as_bytes());
            assert_eq!(read.iter().map(|chunk| chunk.stats.lines).collect::<Vec<_>>(), expected);
            for (number, chunk) in read.iter().enumerate() {
                let end = (LINE.len() * lines * (number + 1)).min(log.len());
                assert_eq!(chunk.key, sha256_key(&log.as_bytes()[..end], number));
            }
        }
    }

    #[test]
    fn truncated_log_gives_its_complete_chunks_and_then_the_error() {
        let log = LINE.repeat(10_005);
        let read = chunks_of(BufReader::new(Broken(log.as_bytes())), Rules::default());
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].as_ref().unwrap().stats.lines, LINES_PER_CHUNK);
        assert_eq!(read[1].as_ref().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn too_long_line_is_skipped_without_being_buffered() {
        for (bytes, too_long) in [(LINE_BYTES_MAX, false), (LINE_BYTES_MAX + 1, true), (LINE_BYTES_MAX * 3 + 5, true)] {
            for end in ["", "\n"] {
                let log = format!("{LINE}{}{end}", "x".repeat(bytes));
                let mut reader = Chunks::new(log.as_bytes(), Rules::default(), DateTime::UNIX_EPOCH);
                let chunk = reader.next().unwrap().unwrap();
                let error = if too_long { LineError::TooLong { bytes_max: LINE_BYTES_MAX } } else { LineError::NoTime };
                assert_eq!(chunk.stats.unreadable_first.last(), Some(&(2, error)), "{bytes}");
                assert_eq!(chunk.stats.lines, 2);
                assert_eq!(chunk.key, sha256_key(log.as_bytes(), 0));
                assert!(reader.line.capacity() <= 2 * LINE_BYTES_MAX + 2);
            }
        }
        let log = format!("{}\n{LINE}", "x".repeat(LINE_BYTES_MAX * 2 + 2));
        assert_eq!(chunks(log.as_bytes())[0].stats.counted, 1);
    }

    #[test]
    fn key_does_not_depend_on_the_rules() {
        let log = LINE.replace("/a", "/a.png");
        let all = chunks_of(log.as_bytes(), Rules { include_assets: true, include_bots: true }).remove(0).unwrap();
        let few = chunks(log.as_bytes()).remove(0);
        assert_eq!(few.stats.left_out, BTreeMap::from([(LeftOut::Asset, 1)]));
        assert_eq!((all.stats.counted, all.key), (1, few.key));
    }

    proptest! {
        #[test]
        fn chunk_does_not_depend_on_how_the_log_is_read(
            log in prop::collection::vec(prop_oneof![Just(LINE), Just("\r\n"), Just("x"), Just("\n")], 0..40),
            bytes in 1..100_usize,
        ) {
            let log = log.concat();
            let pieces = BufReader::with_capacity(bytes, log.as_bytes());
            let read: Vec<_> = chunks_of(pieces, Rules::default()).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(&read, &chunks(log.as_bytes()));
            prop_assert_eq!(read.iter().map(|chunk| chunk.bytes).sum::<u64>(), u64::try_from(log.len()).unwrap());
        }
    }
}
