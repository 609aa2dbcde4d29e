//! Reads a log, finds the part of it that was imported before, and prepares the rest for recording.
//!
//! The log is followed through the tree of known chunks ([`increments::imports`]): as long as one of the chunks that
//! come next ends with the digest that the log has at the same place, the lines up to there are known. Behind the last
//! known chunk the lines are new, unless the log ends within a chunk that begins with them: then it is a shorter copy of
//! a known log.

mod earlier;
mod tip;

use std::{collections::HashSet, io, sync::Arc};

use access_logs::{Parser, SAMPLE_BYTES_MAX, detect};
use chrono::{DateTime, Utc};
use entity::Counted;
use increments::{
    Increment, PageName, Title, ValidationError, Views,
    imports::{
        ChunkChange, ChunkCounts, Digest, ImportRun, ImportStep, ImportedLines, KnownChunk, NO_CHUNK, NewChunk,
        OpenLine,
    },
};

use storage::clock;

use self::{
    earlier::{EarlierChunks, TakenChunk},
    tip::Tip,
};
use crate::{
    ImportError,
    known::Known,
    line_parser::{LineParser, judge_count},
    lines::{Identity, Line, Lines, LogText, Read},
    rules::{Rules, Verdict},
    summary::{ImportStats, KnownLines},
};

/// The most lines of a chunk. It equals the most increments of a request.
pub(crate) const CHUNK_LINES_MAX: usize = 10_000;
/// A chunk ends with the line that makes it as long as this.
pub(crate) const CHUNK_BYTES_MAX: u64 = 8 * 1_024 * 1_024;

/// What a scan needs to know besides the log.
#[derive(Clone, Debug)]
pub(crate) struct ScanSettings {
    pub(crate) run: ImportRun,
    pub(crate) rules: Arc<Rules>,
    pub(crate) known: Known,
    /// The ids of the chunks that this run has recorded.
    pub(crate) own: HashSet<i64>,
    /// Whether lines of known chunks that were left out are judged again.
    pub(crate) again: bool,
}

/// Lines that are to be recorded.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The page views.
    pub(crate) increments: Vec<Increment>,
    /// The change of what is known of the log.
    pub(crate) step: ImportStep,
    /// The results of the lines.
    pub(crate) stats: ImportStats,
}

impl Chunk {
    /// Returns whether the lines were counted by a program from before the table of chunks.
    pub(crate) fn is_of_an_earlier_program(&self) -> bool {
        self.step.counts.is_none()
    }
}

/// The place behind the last chunk of the log that is known or prepared.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The chunk's id; [`NO_CHUNK`] at the beginning of the log.
    chunk: i64,
    /// The chunk's digest; none at the beginning of the log.
    digest: Option<Digest>,
    open_line: OpenLine,
    /// The beginning of the line that the chunk ends in, if that is still to be judged.
    unjudged: Vec<u8>,
}

/// A log that is being read.
#[derive(Debug)]
pub(crate) struct Scan {
    settings: ScanSettings,
    text: LogText,
    parser: Option<LineParser>,
    identity: Identity,
    /// The beginning of the log, until its format is known.
    sample: Vec<u8>,
    place: Place,
    /// The chunks that may come next.
    candidates: Vec<KnownChunk>,
    /// Whether the candidates have been looked up.
    is_looked_up: bool,
    /// Where the text's lines begin in the log.
    start: u64,
    tip: Option<Tip>,
    earlier: EarlierChunks,
    /// Why the log can't be read on.
    failed: Option<io::Error>,
    /// The lines that were known so far.
    pub(crate) known: KnownLines,
}

impl Scan {
    pub(crate) fn new(text: LogText, parser: Option<LineParser>, identity: Identity, settings: ScanSettings) -> Self {
        let earlier = EarlierChunks::new(settings.known.earlier());
        Self {
            parser,
            identity,
            settings,
            text,
            sample: Vec::new(),
            place: Place { chunk: NO_CHUNK, ..Place::default() },
            candidates: Vec::new(),
            is_looked_up: false,
            start: 0,
            tip: None,
            earlier,
            failed: None,
            known: KnownLines::default(),
        }
    }

    /// Returns whether the last line has no end and is not known to be the beginning of a line that was counted.
    pub(crate) fn has_open_line(&self) -> bool {
        !self.tail().is_empty() && !self.is_within_known_chunk()
    }

    /// Returns the beginning of the last line, which has no end yet.
    fn tail(&self) -> &[u8] {
        self.text.lines.tail()
    }

    /// Reads on, until a chunk is to be recorded. Returns none when there is nothing more to read.
    ///
    /// `is_complete` says that nothing will be appended to the log any more.
    ///
    /// # Errors
    /// When the log or the database can't be read, or the log's format is not known.
    pub(crate) fn next_chunk(&mut self, is_complete: bool) -> Result<Option<Chunk>, ImportError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error.into());
            }
            self.text.keep_digests_without_line_end(self.earlier.is_under_way());
            let read = match self.text.read_line(self.next_end()) {
                Ok(read) => read,
                // What was read before a file is damaged or cut off counts.
                Err(error) => {
                    self.failed = Some(error);
                    Read::Nothing
                }
            };
            if read == Read::Line {
                self.extend_sample();
                self.look_up_candidates()?;
            }
            if let Some(known) = self.take_known_chunk() {
                if let Some(chunk) = self.pass(known)? {
                    return Ok(Some(chunk));
                }
                continue;
            }
            if read == Read::Stop {
                continue;
            }
            let is_end = read == Read::Nothing;
            let is_complete = is_complete && self.failed.is_none();
            if self.tip.is_none()
                && let Some(taken) = self.earlier.look(&mut self.text, is_end)
            {
                return self.take_over(taken).map(Some);
            }
            // No known chunk has more lines than a new one.
            let may_be_known = self.text.lines.len() < CHUNK_LINES_MAX
                && (self.next_end().is_some() || (self.tip.is_none() && self.earlier.is_under_way()));
            if !is_end && (may_be_known || !self.is_full()) {
                continue;
            }
            let has_nothing = self.text.lines.len() == 0 && self.tail().is_empty();
            if !(is_end && (self.is_within_known_chunk() || has_nothing))
                && let Some(chunk) = self.prepare(is_end, is_complete)?
            {
                return Ok(Some(chunk));
            }
            if is_end && self.failed.is_none() {
                return Ok(None);
            }
        }
    }

    /// Returns the next place in the log where a known chunk may end.
    fn next_end(&self) -> Option<u64> {
        let read = self.text.position() + self.text.tail_bytes();
        self.candidates.iter().map(|chunk| self.start + chunk.bytes).filter(|end| *end > read).min()
    }

    /// Adds the lines that wait to those that are known, when nothing more is to be read: the log is a shorter copy.
    pub(crate) fn finish_known(&mut self) {
        if self.is_within_known_chunk() {
            self.known.lines += count(self.text.lines.len());
            self.known.of_a_longer_log += count(self.text.lines.len());
        }
    }

    fn is_full(&self) -> bool {
        let tip = self.tip.as_ref().filter(|tip| self.may_grow(tip)).map_or((0, 0), Tip::size);
        tip.0 + self.text.lines.len() >= CHUNK_LINES_MAX || tip.1 + self.text.lines.bytes() >= CHUNK_BYTES_MAX
    }

    /// Returns whether lines may be added to the last chunk. The rest of a line that it ends in needs a chunk of its own,
    /// since its checks are those of whole lines.
    fn may_grow(&self, tip: &Tip) -> bool {
        tip.has_room() && self.place.open_line == OpenLine::None
    }

    fn extend_sample(&mut self) {
        if self.parser.is_none() && self.sample.len() < SAMPLE_BYTES_MAX {
            self.sample.extend_from_slice(self.text.lines.last());
        }
    }

    /// Looks up the chunks that may come next, once their first line has been read.
    fn look_up_candidates(&mut self) -> Result<(), ImportError> {
        // Nothing follows a chunk of this run yet.
        if self.is_looked_up || self.tip.is_some() {
            return Ok(());
        }
        if let Some(first_line) = self.text.lines.first_line(&self.identity) {
            self.candidates = self.settings.known.chunks_after(self.place.chunk, &first_line)?;
            self.is_looked_up = true;
        }
        Ok(())
    }

    fn forget_candidates(&mut self) {
        (self.candidates, self.is_looked_up) = (Vec::new(), false);
    }

    /// Returns the candidate that ends at the present place with the same digest. It may end within a line, which is
    /// closed there.
    fn take_known_chunk(&mut self) -> Option<KnownChunk> {
        let read = self.text.position() + self.text.tail_bytes();
        let mut ending = self.candidates.iter().filter(|chunk| self.start + chunk.bytes == read).peekable();
        ending.peek()?;
        let digest = self.text.digest_with_tail();
        let found = ending.find(|chunk| chunk.digest == digest)?.clone();
        if self.text.tail_bytes() > 0 {
            self.text.close_tail();
        }
        Some(found)
    }

    /// Returns whether the log ends within a known chunk: all lines since the last known chunk are its first ones.
    fn is_within_known_chunk(&self) -> bool {
        let lines = &self.text.lines;
        let is_beginning = |chunk: &KnownChunk| {
            chunk.bytes > lines.bytes() && chunk.line_checks.starts_with(lines.checks()) && lines.len() > 0
        };
        self.candidates.iter().any(is_beginning)
    }

    /// Passes a chunk that was imported before. Returns a chunk if some of its lines are to be counted after all.
    fn pass(&mut self, known: KnownChunk) -> Result<Option<Chunk>, ImportError> {
        let lines = self.text.lines.take(self.text.lines.len());
        self.start = self.text.position();
        self.forget_candidates();
        let digest: Option<Digest> = known.digest.as_slice().try_into().ok();
        let unjudged = match known.open_line {
            OpenLine::Unjudged => lines.last().to_vec(),
            OpenLine::None | OpenLine::Judged => Vec::new(),
        };
        let before =
            std::mem::replace(&mut self.place, Place { chunk: known.id, digest, open_line: known.open_line, unjudged });
        // The rest of a line that the chunk before ends in is no line of its own.
        let whole_lines = lines.len() - usize::from(before.open_line != OpenLine::None);
        self.earlier.pass(whole_lines);
        let is_own = self.settings.own.contains(&known.id);
        if !is_own {
            let whole_lines = count(whole_lines);
            self.known.lines += whole_lines;
            self.known.views += self.settings.known.views_of(known.id, self.settings.run.id)?;
            self.known.uncertain += if known.counts_known { 0 } else { whole_lines };
        }
        if self.settings.again && known.counts_known && !is_own {
            return self.judge_again(&known, &lines, &before);
        }
        self.skip(&lines)?;
        Ok(None)
    }

    /// Lets the parser take notice of directives in lines that are known.
    fn skip(&mut self, lines: &Lines) -> Result<(), ImportError> {
        self.find_format(false)?;
        if let Some(parser) = &mut self.parser {
            lines.iter().for_each(|line| parser.skip(line.text));
        }
        Ok(())
    }

    /// Counts the lines of a known chunk that had been left out and count now.
    fn judge_again(&mut self, known: &KnownChunk, lines: &Lines, before: &Place) -> Result<Option<Chunk>, ImportError> {
        self.find_format(true)?;
        // The time of the run's beginning: a second look of the same run finds nothing more.
        let (now_counted, _) = self.judge(lines, before, self.settings.run.began_at);
        let then_counted = self.settings.known.counts_of(known.id)?;
        let (more, less) = now_counted.minus(&then_counted);
        self.known.would_be_left_out += less.unsigned_abs();
        if more.views() == 0 {
            return Ok(None);
        }
        self.known.lines = self.known.lines.saturating_sub(more.views().unsigned_abs());
        let counted = more.views().unsigned_abs();
        let stats = ImportStats { lines: counted, counted, ..ImportStats::default() };
        let change = ChunkChange::Revised {
            id: known.id,
            digest: known.digest.as_slice().try_into().unwrap_or_default(),
            revision: known.revision,
        };
        self.chunk(change, &more, &more, stats).map(Some)
    }

    /// Decides on the format, if that is not known yet. Without `now`, more lines are waited for while none can be read.
    fn find_format(&mut self, now: bool) -> Result<(), ImportError> {
        if self.parser.is_some() {
            return Ok(());
        }
        match detect(&self.sample) {
            Ok(Some(format)) => {
                self.parser = Some(LineParser::Log(Parser::new(format)));
                self.sample = Vec::new();
                Ok(())
            }
            Err(unknown) if now || self.sample.len() >= SAMPLE_BYTES_MAX => Err(ImportError::Format(unknown)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Judges the lines. The first one belongs to a line that `before` ends in, if it does.
    fn judge(&mut self, lines: &Lines, before: &Place, now: DateTime<Utc>) -> (Counted, ImportStats) {
        let (mut counted, mut stats) = (Counted::default(), ImportStats::default());
        let Some(parser) = &mut self.parser else { return (counted, stats) };
        let first_number = self.text.line_number() - count(lines.len()) + 1;
        for (index, line) in lines.iter().enumerate() {
            let joined;
            let line = match (index, before.open_line) {
                (0, OpenLine::Judged) => continue,
                (0, OpenLine::Unjudged) => {
                    joined = [&before.unjudged, line.text].concat();
                    Line { text: &joined, is_too_long: line.is_too_long }
                }
                _ => line,
            };
            let parser = match parser {
                LineParser::Log(parser) => parser,
                LineParser::Counts(parser) => {
                    match judge_count(parser, line, now) {
                        None => {}
                        Some(Ok(Ok(valid))) => {
                            counted.add(&valid.page, valid.hour, valid.views);
                            if let Some(title) = valid.title {
                                counted.add_title(&valid.page, title);
                            }
                            stats.count_views(valid.views, valid.is_day);
                            stats.last_at = stats.last_at.max(Some(valid.hour.start()));
                        }
                        Some(Ok(Err(reason))) => stats.count_left_out(reason, line.text),
                        Some(Err(error)) => stats.count_unreadable(first_number + count(index), error, line.text),
                    }
                    continue;
                }
            };
            match self.settings.rules.judge_line(parser, line, now) {
                None => {}
                Some(Ok((time, Verdict::Counted { page, hour }))) => {
                    counted.add(&page, hour, 1);
                    stats.count_page_view();
                    stats.last_at = stats.last_at.max(Some(time));
                }
                Some(Ok((_, Verdict::LeftOut(reason)))) => stats.count_left_out(reason, line.text),
                Some(Err(error)) => stats.count_unreadable(first_number + count(index), error.into(), line.text),
            }
        }
        (counted, stats)
    }

    /// Prepares the lines that were read for recording. Returns none while the log's format is unknown, and while there
    /// is no line that can be judged.
    fn prepare(&mut self, is_end: bool, is_complete: bool) -> Result<Option<Chunk>, ImportError> {
        let is_complete = is_end && is_complete;
        if self.parser.is_none() {
            if is_complete {
                self.sample.extend_from_slice(self.text.lines.tail());
            }
            self.find_format(is_complete || !is_end)?;
        }
        let Some(parser) = &self.parser else { return Ok(None) };
        // A chunk is found by its first line, so a new one needs a whole line.
        let has_first_line = self.text.lines.first_line(&self.identity).is_some() || self.is_full();
        if !has_first_line && !self.tip.as_ref().is_some_and(|tip| self.may_grow(tip)) {
            return Ok(None);
        }
        let mut open_line = OpenLine::None;
        if is_complete && parser.is_complete(self.tail()) {
            self.text.close_tail();
            open_line = OpenLine::Judged;
        }
        if self.text.lines.len() == 0 {
            return Ok(None);
        }
        let lines = self.text.lines.take(self.text.lines.len());
        let place = self.place.clone();
        let (counted, stats) = self.judge(&lines, &place, clock::process_now());
        let ordinal = self.candidates.len();
        self.forget_candidates();
        self.start = self.text.position();
        // What is added to a chunk that grows; a new chunk has nothing else.
        let (tip, added) = match self.tip.take() {
            Some(tip) if self.may_grow(&tip) => (tip.grow(&lines, &counted), Some(counted)),
            _ => (Tip::new(&self.place, &lines, &self.identity, counted, ordinal), None),
        };
        let chunk = tip.chunk(self.text.digest(), open_line);
        let change = match tip.digest_before() {
            Some(digest_before) => ChunkChange::Grown { digest_before, chunk: chunk.clone() },
            None => ChunkChange::Inserted { parent_digest: self.place.digest, chunk: chunk.clone() },
        };
        self.place = Place { chunk: chunk.id, digest: Some(chunk.digest), open_line, unjudged: Vec::new() };
        let prepared = self.chunk(change, added.as_ref().unwrap_or(tip.counted()), tip.counted(), stats)?;
        self.tip = Some(tip.written(chunk.digest));
        Ok(Some(prepared))
    }

    /// Returns the chunk that adds `counted`, of which `all_counted` is stored.
    fn chunk(
        &self,
        change: ChunkChange,
        counted: &Counted,
        all_counted: &Counted,
        stats: ImportStats,
    ) -> Result<Chunk, ImportError> {
        let increments = counted.iter().map(|(page, hour, views)| {
            let title = counted.title(page).and_then(Title::of_page);
            let (page, views) = (PageName::new(page.to_owned())?, Views::of_import(views)?);
            Ok(Increment { page, views, hour, at: Some(hour.start()), title })
        });
        let increments = increments.collect::<Result<_, ValidationError>>()?;
        let lines = ImportedLines {
            lines: signed(stats.lines),
            counted: signed(stats.counted),
            left_out: signed(stats.left_out_lines()),
            unreadable: signed(stats.unreadable),
        };
        let counts = ChunkCounts { views: all_counted.views(), counted: all_counted.encode()? };
        let step = ImportStep { run: self.settings.run.clone(), change, lines, counts: Some(counts) };
        Ok(Chunk { increments, step, stats })
    }

    /// Takes over what an earlier program has imported of the log. Returns a chunk that notes it, without views.
    fn take_over(&mut self, taken: TakenChunk) -> Result<Chunk, ImportError> {
        let lines = self.text.lines.take(taken.lines);
        let mut open_line = OpenLine::None;
        let mut unjudged = Vec::new();
        if taken.is_open {
            // What the earlier program could not read of the last line is judged when the line is whole.
            self.find_format(true)?;
            let last = lines.last();
            let was_readable =
                earlier::ends_with_size(last) || self.parser.as_ref().is_some_and(|parser| parser.is_complete(last));
            open_line = if was_readable { OpenLine::Judged } else { OpenLine::Unjudged };
            unjudged = if was_readable { Vec::new() } else { last.to_vec() };
        }
        let tip = Tip::new(&self.place, &lines, &self.identity, Counted::default(), self.candidates.len());
        let chunk = NewChunk { counts_known: false, ..tip.chunk(taken.digest, open_line) };
        let change = ChunkChange::Inserted { parent_digest: self.place.digest, chunk };
        self.known.lines += count(lines.len());
        self.known.uncertain += count(lines.len());
        self.start += lines.bytes();
        self.place = Place { chunk: tip.id(), digest: Some(taken.digest), open_line, unjudged };
        self.forget_candidates();
        self.skip(&lines)?;
        let step = ImportStep { run: self.settings.run.clone(), change, lines: ImportedLines::default(), counts: None };
        Ok(Chunk { increments: Vec::new(), step, stats: ImportStats::default() })
    }
}

fn count(lines: usize) -> u64 {
    u64::try_from(lines).unwrap_or(u64::MAX)
}

fn signed(lines: u64) -> i64 {
    i64::try_from(lines).unwrap_or(i64::MAX)
}
