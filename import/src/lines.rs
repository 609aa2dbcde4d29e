//! Reads the text of a log line by line, with the hash of all that was read.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read as _},
    mem,
};

use crc32fast::Hasher;
use increments::imports::{Digest, FIRST_LINE_BYTES};
use sha2::{Digest as _, Sha256};

/// The longest line that is read, in bytes. Web servers limit a request's line and headers well below it.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1_024;
/// The number of bytes of a line's check.
const CHECK_BYTES: usize = 2;

/// Some consecutive lines of a log, and the beginning of the line behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// The lines with their ends, then the beginning of the next one. Zeros before a line are not kept, and of lines that
    /// are too long only the first [`LINE_BYTES_MAX`] bytes.
    text: Vec<u8>,
    /// The ends of the lines in `text`.
    ends: Vec<usize>,
    /// The whole lengths of the lines of which not all is kept, by their numbers in this chunk.
    condensed: BTreeMap<usize, u64>,
    /// The length of the lines in the log.
    bytes: u64,
    /// The CRC-32 of the kept text of all lines so far.
    check: Hasher,
    /// Two bytes for each line: the low half of `check` at its end.
    checks: Vec<u8>,
}

/// What tells logs apart beside their text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// The hashes of the log begin with this. Access logs have none.
    pub(crate) seed: String,
    /// Whether the lines are counts, which may have a header in place of comments.
    pub(crate) are_counts: bool,
}

impl Identity {
    /// Returns whether the line is one that many logs have.
    fn is_comment(&self, line: &[u8]) -> bool {
        if self.are_counts { counts::Parser::is_header(line) } else { line.starts_with(b"#") }
    }
}

/// A line of [`Lines`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The line with its end, or its beginning if it is too long.
    pub(crate) text: &'a [u8],
    /// Whether the line is longer than [`LINE_BYTES_MAX`].
    pub(crate) is_too_long: bool,
}

impl Lines {
    /// Returns the number of whole lines.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the length of the whole lines in the log.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the lines' checks.
    pub(crate) fn checks(&self) -> &[u8] {
        &self.checks
    }

    /// Returns the whole lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(number, (start, end))| {
            let text = self.text.get(start..*end).unwrap_or_default();
            let is_cut = text.len() == LINE_BYTES_MAX && !text.ends_with(b"\n");
            Line { text, is_too_long: is_cut && self.condensed.contains_key(&number) }
        })
    }

    /// Returns the beginning of the SHA-256 of the first line that is no comment; none if there is no such line. (All logs
    /// of a server that writes W3C extended lines begin with the same comment.)
    pub(crate) fn first_line(&self, identity: &Identity) -> Option<[u8; FIRST_LINE_BYTES]> {
        let line = self.iter().find(|line| !identity.is_comment(line.text))?;
        let digest = Sha256::new().chain_update(&identity.seed).chain_update(line.text).finalize();
        let mut beginning = [0; FIRST_LINE_BYTES];
        beginning.iter_mut().zip(digest).for_each(|(byte, of_digest)| *byte = of_digest);
        Some(beginning)
    }

    /// Returns the text of the last whole line; nothing if there is none.
    pub(crate) fn last(&self) -> &[u8] {
        let start =
            self.ends.len().checked_sub(2).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.text.get(start..self.end()).unwrap_or_default()
    }

    /// Returns the beginning of the line behind the whole ones.
    pub(crate) fn tail(&self) -> &[u8] {
        self.text.get(self.end()..).unwrap_or_default()
    }

    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Makes the tail a line, which had `bytes` bytes in the log.
    fn close_line(&mut self, bytes: u64) {
        if bytes > u64::try_from(self.tail().len()).unwrap_or(u64::MAX) {
            self.condensed.insert(self.ends.len(), bytes);
        }
        self.check.update(self.text.get(self.end()..).unwrap_or_default());
        self.note_check();
        self.bytes += bytes;
        self.ends.push(self.text.len());
    }

    /// Takes the first `count` lines away, and leaves the others and the tail.
    pub(crate) fn take(&mut self, count: usize) -> Self {
        // The next chunk is about as long as this one.
        let mut rest = Self { text: Vec::with_capacity(self.text.len()), ..Self::default() };
        let start = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or_default();
        let mut from = start;
        for (number, end) in self.ends.iter().enumerate().skip(count) {
            let text = self.text.get(from..*end).unwrap_or_default();
            rest.text.extend_from_slice(text);
            rest.close_line(
                self.condensed.get(&number).copied().unwrap_or(u64::try_from(text.len()).unwrap_or(u64::MAX)),
            );
            from = *end;
        }
        rest.text.extend_from_slice(self.tail());
        let mut taken = mem::replace(self, rest);
        taken.text.truncate(start);
        taken.ends.truncate(count);
        taken.condensed.retain(|number, _| *number < count);
        taken.bytes -= self.bytes;
        taken.checks.truncate(count * CHECK_BYTES);
        if self.len() > 0 {
            taken.check = Hasher::new();
            taken.check.update(&taken.text);
        }
        taken
    }

    /// Returns the lines' checks and numbers, without their text.
    pub(crate) fn without_text(&self) -> Self {
        Self { bytes: self.bytes, check: self.check.clone(), checks: self.checks.clone(), ..Self::default() }
    }

    /// Adds later lines behind these, for their checks and numbers only: their text is not kept.
    pub(crate) fn extend_checks(&mut self, later: &Self) {
        for line in later.iter() {
            self.check.update(line.text);
            self.note_check();
        }
        self.bytes += later.bytes;
    }

    /// Notes the check at the end of a line.
    fn note_check(&mut self) {
        let [low, high, ..] = self.check.clone().finalize().to_le_bytes();
        self.checks.extend([low, high]);
    }
}

/// The result of [`LogText::read_line`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A line was read to its end.
    Line,
    /// The place to stop at was reached, within a line.
    Stop,
    /// There is nothing more to read for now. The log's last line may lack its end.
    Nothing,
}

/// The text of a log.
pub(crate) struct LogText {
    reader: Box<dyn BufRead + Send>,
    /// The lines that were read and not taken yet.
    pub(crate) lines: Lines,
    /// The hash of all whole lines, and of what was [closed](Self::close_tail).
    digest: Sha256,
    /// The length of what `digest` is of.
    position: u64,
    /// The number of lines that were read.
    line_number: u64,
    /// Whether the present line is the rest of one that was closed.
    is_rest: bool,
    /// The present line, if not all of it is kept.
    condensed: Option<Condensed>,
    /// Whether `before_line_end` is kept.
    keeps_before_line_end: bool,
    /// The hashes of all that was read, without the end of the last line: without LF, and without CRLF.
    before_line_end: Vec<Digest>,
}

/// A line of which not all is kept: without the zeros before it, or only its beginning.
struct Condensed {
    /// The hash of the log up to the present place.
    digest: Sha256,
    /// The length of the line so far.
    bytes: u64,
    /// Whether what follows is kept. Not of a line that is too long.
    keeps_rest: bool,
}

impl LogText {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>, identity: &Identity) -> Self {
        Self {
            reader,
            lines: Lines::default(),
            digest: Sha256::new().chain_update(&identity.seed),
            position: 0,
            line_number: 0,
            is_rest: false,
            condensed: None,
            keeps_before_line_end: false,
            before_line_end: Vec::new(),
        }
    }

    /// Returns the decompressed length of the whole lines that were read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the number of whole lines that were read.
    pub(crate) fn line_number(&self) -> u64 {
        self.line_number
    }

    /// Returns the SHA-256 of the log up to [`position`](Self::position).
    pub(crate) fn digest(&self) -> Digest {
        self.digest.clone().finalize().into()
    }

    /// Returns the length of the tail in the log.
    pub(crate) fn tail_bytes(&self) -> u64 {
        let kept = u64::try_from(self.lines.tail().len()).unwrap_or(u64::MAX);
        self.condensed.as_ref().map_or(kept, |line| line.bytes)
    }

    /// Returns the SHA-256 of the log without the end of its last line, LF or CRLF, if they are kept.
    pub(crate) fn digests_without_line_end(&self) -> &[Digest] {
        &self.before_line_end
    }

    /// Sets whether [`digests_without_line_end`](Self::digests_without_line_end) are kept from the next line on.
    pub(crate) fn keep_digests_without_line_end(&mut self, keep: bool) {
        self.keeps_before_line_end = keep;
        self.before_line_end.clear();
    }

    /// Returns the SHA-256 of the log with the tail.
    pub(crate) fn digest_with_tail(&self) -> Digest {
        let digest = match &self.condensed {
            Some(line) => line.digest.clone(),
            None => self.digest.clone().chain_update(self.lines.tail()),
        };
        digest.finalize().into()
    }

    /// Reads until the end of the next line, but not beyond `stop`, a place in the log.
    ///
    /// # Errors
    /// When reading fails. Lines that were read before remain.
    pub(crate) fn read_line(&mut self, stop: Option<u64>) -> io::Result<Read> {
        loop {
            let start = self.lines.text.len();
            let limit = match &self.condensed {
                Some(line) if !line.keeps_rest => LINE_BYTES_MAX,
                // One more byte than a line may have, so that a longer one is noticed.
                _ => (LINE_BYTES_MAX + 1).saturating_sub(self.lines.tail().len()),
            };
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            let to_stop = stop.map_or(u64::MAX, |stop| stop.saturating_sub(self.position + self.tail_bytes()));
            if to_stop == 0 {
                return Ok(Read::Stop);
            }
            let mut piece = self.reader.by_ref().take(limit.min(to_stop));
            let read = piece.read_until(b'\n', &mut self.lines.text)?;
            let is_end = self.lines.text.len() > start && self.lines.text.ends_with(b"\n");
            if let Some(line) = &mut self.condensed {
                line.digest.update(self.lines.text.get(start..).unwrap_or_default());
                line.bytes += u64::try_from(read).unwrap_or(u64::MAX);
                if !line.keeps_rest {
                    self.lines.text.truncate(start);
                }
            }
            self.drop_zeros();
            if is_end {
                self.close_line();
                return Ok(Read::Line);
            }
            if read == 0 {
                return Ok(Read::Nothing);
            }
            if self.lines.tail().len() > LINE_BYTES_MAX {
                self.condense(false);
                self.lines.text.truncate(self.lines.end() + LINE_BYTES_MAX);
            }
        }
    }

    /// Drops the zeros that a line begins with. A machine that crashed leaves some in a log, and a server that goes on
    /// writing behind the end of a log that was truncated leaves as many as the log had bytes.
    fn drop_zeros(&mut self) {
        let zeros = self.lines.tail().iter().take_while(|byte| **byte == 0).count();
        if zeros > 0 {
            self.condense(true);
            let start = self.lines.end();
            drop(self.lines.text.drain(start..start + zeros));
        }
    }

    /// Notes the hash and the length of the present line before a part of it is dropped.
    fn condense(&mut self, keeps_rest: bool) {
        let bytes = self.tail_bytes();
        let tail = self.lines.tail();
        let line = self.condensed.get_or_insert_with(|| {
            let digest = self.digest.clone().chain_update(tail);
            Condensed { digest, bytes, keeps_rest }
        });
        line.keeps_rest &= keeps_rest;
    }

    fn close_line(&mut self) {
        let bytes = match self.condensed.take() {
            Some(line) => {
                self.digest = line.digest;
                line.bytes
            }
            None => {
                let tail = self.lines.tail();
                if self.keeps_before_line_end {
                    let ends = [&b"\n"[..], b"\r\n"].into_iter().filter_map(|end| tail.strip_suffix(end));
                    let digests = ends.map(|line| self.digest.clone().chain_update(line).finalize().into());
                    self.before_line_end = digests.collect();
                }
                self.digest.update(tail);
                u64::try_from(tail.len()).unwrap_or(u64::MAX)
            }
        };
        self.lines.close_line(bytes);
        self.position += bytes;
        self.line_number += u64::from(!mem::take(&mut self.is_rest));
    }

    /// Makes the tail a line, although it has no end.
    pub(crate) fn close_tail(&mut self) {
        self.close_line();
        self.is_rest = true;
    }
}

impl std::fmt::Debug for LogText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogText").field("position", &self.position).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use proptest::prelude::*;

    use super::*;

    fn text(log: &[u8]) -> LogText {
        LogText::new(Box::new(BufReader::with_capacity(7, Cursor::new(log.to_vec()))), &Identity::default())
    }

    fn read_all(text: &mut LogText) {
        while text.read_line(None).unwrap() == Read::Line {}
    }

    #[test]
    fn lines_have_the_digest_of_the_log_up_to_their_end() {
        let mut text = text(b"one\n\ntwo\nthree");
        let mut read = Vec::new();
        for line in [&b"one\n"[..], b"\n", b"two\n"] {
            read.extend_from_slice(line);
            assert_eq!(text.read_line(None).unwrap(), Read::Line);
            assert_eq!(text.lines.iter().last().unwrap().text, line);
            assert_eq!((text.position(), text.digest()), (read.len() as u64, Sha256::digest(&read).into()));
        }
        assert_eq!(text.read_line(None).unwrap(), Read::Nothing);
        assert_eq!((text.lines.tail(), text.tail_bytes()), (&b"three"[..], 5));
        assert_eq!(text.digest_with_tail(), <Digest>::from(Sha256::digest(b"one\n\ntwo\nthree")));
        text.close_tail();
        assert_eq!((text.lines.tail(), text.position()), (&b""[..], 14));
        assert_eq!(text.digest(), <Digest>::from(Sha256::digest(b"one\n\ntwo\nthree")));
    }

    #[test]
    fn reading_stops_within_a_line_and_goes_on() {
        let mut text = text(b"one\ntwo\n");
        assert_eq!(text.read_line(Some(6)).unwrap(), Read::Line);
        assert_eq!(text.read_line(Some(6)).unwrap(), Read::Stop);
        assert_eq!(text.lines.tail(), b"tw");
        assert_eq!(text.read_line(None).unwrap(), Read::Line);
        assert_eq!(text.lines.iter().last().unwrap().text, b"two\n");
    }

    #[test]
    fn too_long_line_is_hashed_and_not_kept() {
        for (bytes, is_too_long) in
            [(LINE_BYTES_MAX, false), (LINE_BYTES_MAX + 1, true), (LINE_BYTES_MAX * 3 + 5, true)]
        {
            let log = format!("a\n{}\nb\n", "x".repeat(bytes));
            let mut text = text(log.as_bytes());
            read_all(&mut text);
            let lines: Vec<_> = text.lines.iter().collect();
            assert_eq!((lines.len(), lines[1].is_too_long), (3, is_too_long), "{bytes}");
            assert!(lines[1].text.len() <= LINE_BYTES_MAX + 1 && lines[2].text == b"b\n");
            assert_eq!(text.lines.bytes(), log.len() as u64);
            assert_eq!(text.digest(), <Digest>::from(Sha256::digest(log.as_bytes())));
        }
    }

    #[test]
    fn zeros_before_a_line_are_hashed_and_not_kept() {
        for zeros in [1, 100, LINE_BYTES_MAX, LINE_BYTES_MAX * 5 + 7] {
            let log = [b"a\n", "\0".repeat(zeros).as_bytes(), b"b\0c\nd\n\0\0"].concat();
            let mut text = text(&log);
            read_all(&mut text);
            let lines: Vec<_> = text.lines.iter().map(|line| (line.text, line.is_too_long)).collect();
            assert_eq!(lines, [(&b"a\n"[..], false), (b"b\0c\n", false), (b"d\n", false)], "{zeros}");
            assert_eq!((text.position(), text.tail_bytes()), (log.len() as u64 - 2, 2));
            assert_eq!(text.digest_with_tail(), <Digest>::from(Sha256::digest(&log)));
        }
        let long = ["\0".repeat(10), "x".repeat(LINE_BYTES_MAX + 1), "\nb\n".to_owned()].concat();
        let mut text = text(long.as_bytes());
        read_all(&mut text);
        assert_eq!(text.lines.iter().map(|line| line.is_too_long).collect::<Vec<_>>(), [true, false]);
        assert_eq!(text.digest(), <Digest>::from(Sha256::digest(&long)));
    }

    proptest! {
        #[test]
        fn lines_that_are_taken_and_left_are_those_that_were_read(
            log in "([a-c]{0,4}\n){0,9}[a-c]{0,3}",
            count in 0..9_usize,
        ) {
            let mut whole = text(log.as_bytes());
            read_all(&mut whole);
            let count = count.min(whole.lines.len());
            let mut rest = whole.lines.clone();
            let taken = rest.take(count);
            let texts = |lines: &Lines| lines.iter().map(|line| line.text.to_vec()).collect::<Vec<_>>();
            prop_assert_eq!([texts(&taken), texts(&rest)].concat(), texts(&whole.lines));
            prop_assert_eq!(taken.bytes() + rest.bytes(), whole.lines.bytes());
            prop_assert_eq!(rest.tail(), whole.lines.tail());
            prop_assert!(whole.lines.checks().starts_with(taken.checks()));
            let mut joined = taken;
            joined.extend_checks(&rest);
            prop_assert_eq!(joined.checks(), whole.lines.checks());
        }
    }
}
