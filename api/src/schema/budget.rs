//! What one answer may take: fields, bytes, and room among all answers.
//!
//! Lists are charged for when it is known how long they are, and before anything is made of them: a field that costs too
//! much fails with words that say what to ask less of. What is charged is taken of the room that all answers share, until
//! the answer is a text; then as many bytes as that has stay taken, for as long as anybody holds the text.

use std::{
    io::{self, ErrorKind, Write},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_graphql::{Context, Error, ServerError};
use axum::body::Bytes;
use serde::Serialize;

use super::errors::{Code, error};
use crate::memory_budget::{MemoryBudget, Reservation};

/// How many fields the points and pages of an answer may have in all: 10,000 points with all their fields, and a few more.
const LIST_FIELDS_MAX: usize = 100_000;
/// What a field of a list takes while an answer is put together, in bytes, about: its resolver and its value (measured: 400
/// to 700).
const FIELD_BYTES: usize = 512;
/// Texts of at most so many bytes take no room: an acknowledgement, a refusal, a few figures.
const SMALL_BYTES_MAX: usize = 4 * 1024;
/// How long an answer waits for room.
pub(super) const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// The bounds of every answer, and the room for all. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(crate) struct AnswerBounds {
    bytes_max: usize,
    room: MemoryBudget,
}

/// What one answer has taken so far. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(crate) struct AnswerBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: AnswerBounds,
    spent: Mutex<Spent>,
    /// The room of the request, which is kept as long as anything of it may be in use.
    _request: Option<Arc<Reservation>>,
}

#[derive(Debug, Default)]
struct Spent {
    fields: usize,
    bytes: usize,
    room: Option<Reservation>,
}

/// What each item of a list costs, by what is selected of it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ItemCost {
    pub(super) fields: usize,
    /// Those of the names under which fields are answered, at least.
    pub(super) bytes: usize,
    /// How often each text is selected.
    pub(super) pages: usize,
    pub(super) titles: usize,
    pub(super) cursors: usize,
}

/// An answer as JSON. All who are told the same hold the same bytes, which take their room once.
#[derive(Clone, Debug)]
pub(crate) struct AnswerText(Bytes);

/// Why an answer can't be told.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoText {
    /// It would be too long.
    #[error(
        "the answer would have more than {0} bytes (--response-bytes); ask for fewer fields, fewer pages, a coarser \
         granularity or a shorter interval"
    )]
    TooLong(usize),
    /// Too much waits to be written.
    #[error("too much waits for other clients to read it, try again later")]
    NoRoom,
}

/// Marks the error of a field for which there was no room.
#[derive(Debug)]
pub(super) struct NoRoom;

struct Text {
    bytes: Vec<u8>,
    _room: Reservation,
}

/// Collects what is written, up to a bound.
struct BoundedWriter {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl AnswerBounds {
    /// An answer has at most `bytes_max` bytes; all answers that are put together, or wait to be written, `bytes_in_all`.
    pub(crate) fn new(bytes_max: usize, bytes_in_all: usize) -> Self {
        Self { bytes_max, room: MemoryBudget::new(bytes_in_all) }
    }

    /// What is known of an answer that has not begun. The request's room is free when the answer is.
    pub(crate) fn budget(&self, request: Option<Arc<Reservation>>) -> AnswerBudget {
        AnswerBudget(Arc::new(Inner { bounds: self.clone(), spent: Mutex::default(), _request: request }))
    }
}

impl AnswerBudget {
    /// Begins the answer anew.
    pub(super) fn reset(&self) {
        *self.spent() = Spent::default();
    }

    /// Charges for `items` that are selected at `cost`, whose texts have so many bytes as they are answered, and `held`
    /// while they are made. Waits for room as long as `wait`.
    pub(super) async fn charge(
        &self,
        items: usize,
        cost: ItemCost,
        texts: usize,
        held: usize,
        wait: Duration,
    ) -> async_graphql::Result<()> {
        let fields = items.saturating_mul(cost.fields);
        let bytes = items.saturating_mul(cost.bytes).saturating_add(texts);
        self.spend(fields, bytes)?;
        let room = fields.saturating_mul(FIELD_BYTES).saturating_add(bytes.saturating_mul(2)).saturating_add(held);
        let Some(taken) = self.0.bounds.room.take(room, wait).await else {
            let mark = Some(Arc::new(NoRoom) as _);
            return Err(Error { source: mark, ..error(Code::Overloaded, NoText::NoRoom.to_string()) });
        };
        match &mut self.spent().room {
            Some(room) => room.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }

    /// Fails if there is too much already: then nothing more need be found out.
    pub(super) fn check(&self) -> async_graphql::Result<()> {
        self.spend(0, 0)
    }

    fn spend(&self, fields: usize, bytes: usize) -> async_graphql::Result<()> {
        let bytes_max = self.0.bounds.bytes_max;
        let mut spent = self.spent();
        spent.fields = spent.fields.saturating_add(fields);
        spent.bytes = spent.bytes.saturating_add(bytes);
        if spent.fields > LIST_FIELDS_MAX {
            let message = format!(
                "the points and pages of an answer may have {LIST_FIELDS_MAX} fields in all; ask for fewer fields, fewer \
                 pages, a coarser granularity or a shorter interval"
            );
            return Err(error(Code::AnswerTooLarge, message));
        }
        if spent.bytes > bytes_max {
            return Err(error(Code::AnswerTooLarge, NoText::TooLong(bytes_max).to_string()));
        }
        Ok(())
    }

    /// The answer's text, with the room that it takes; the budget is that of a new answer then.
    pub(crate) fn text(&self, answer: &impl Serialize) -> Result<AnswerText, NoText> {
        let bounds = &self.0.bounds;
        let room = take(&mut *self.spent()).room;
        let mut writer = BoundedWriter { bytes: Vec::new(), bytes_max: bounds.bytes_max };
        serde_json::to_writer(&mut writer, answer).map_err(|_full| NoText::TooLong(bounds.bytes_max))?;
        let mut bytes = writer.bytes;
        if bytes.len() <= SMALL_BYTES_MAX {
            return Ok(AnswerText(bytes.into()));
        }
        bytes.shrink_to_fit();
        let missing = bytes.len().saturating_sub(room.as_ref().map_or(0, Reservation::bytes));
        let more = bounds.room.try_take(missing).ok_or(NoText::NoRoom)?;
        let room = match room {
            Some(mut taken) => {
                taken.keep(bytes.len());
                taken.merge(more);
                taken
            }
            None => more,
        };
        Ok(AnswerText(Bytes::from_owner(Text { bytes, _room: room })))
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ItemCost {
    /// What each item costs that the field in `context` is a list of.
    pub(super) fn of_item(context: &Context<'_>) -> Self {
        let mut cost = Self { fields: 1, bytes: "{},".len(), ..Self::default() };
        cost.add(&context.field(), 1);
        cost
    }

    /// Those of a page's name and title as they are answered, at least.
    pub(super) fn texts(&self, name: &str, title: Option<&str>) -> usize {
        let title = title.map_or("null".len(), |title| title.len() + "\"\"".len());
        // A cursor has the name in it, four characters for three bytes.
        let cursor = name.len().saturating_mul(4).div_ceil(3);
        self.pages * (name.len() + "\"\"".len()) + self.titles * title + self.cursors * cursor
    }

    fn add(&mut self, field: &async_graphql::SelectionField<'_>, times: usize) {
        // What stands there once is none of the items'.
        for field in field.selection_set().filter(|field| field.name() != "pageInfo") {
            let key = field.alias().unwrap_or_else(|| field.name());
            self.fields += times;
            self.bytes += times * (key.len() + "\"\":0,".len());
            match field.name() {
                "page" => self.pages += times,
                "title" => self.titles += times,
                "cursor" => self.cursors += times,
                _ => {}
            }
            self.add(&field, times);
        }
    }
}

impl AnswerText {
    /// That of a few words, which takes no room.
    pub(crate) fn small(answer: &impl Serialize) -> Self {
        Self(serde_json::to_vec(answer).unwrap_or_default().into())
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl NoText {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::TooLong(_) => Code::AnswerTooLarge,
            Self::NoRoom => Code::Overloaded,
        }
    }

    /// Whether a field of an answer failed for want of room.
    pub(crate) fn is_no_room(failure: &ServerError) -> bool {
        failure.source::<NoRoom>().is_some()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(fields: usize, bytes: usize) -> ItemCost {
        ItemCost { fields, bytes, ..ItemCost::default() }
    }

    fn code(result: async_graphql::Result<()>) -> Option<String> {
        let code = result.err()?.extensions?.get("code")?.to_string();
        Some(code.trim_matches('"').to_owned())
    }

    #[tokio::test]
    async fn what_is_too_much_fails_before_it_takes_room() {
        let bounds = AnswerBounds::new(1_000_000, 1_000_000_000);
        let budget = bounds.budget(None);
        assert_eq!(code(budget.charge(10_000, cost(8, 50), 0, 0, ROOM_WAIT_MAX).await), None);
        let taken = bounds.room.taken();
        assert_eq!(taken, 10_000 * (8 * FIELD_BYTES + 100));
        assert_eq!(
            code(budget.charge(10_000, cost(8, 0), 0, 0, ROOM_WAIT_MAX).await).as_deref(),
            Some("ANSWER_TOO_LARGE")
        );
        budget.reset();
        assert_eq!(
            code(budget.charge(10, cost(1, 0), 1_000_001, 0, ROOM_WAIT_MAX).await).as_deref(),
            Some("ANSWER_TOO_LARGE")
        );
        budget.reset();
        assert_eq!(
            code(budget.charge(usize::MAX, cost(usize::MAX, 0), 0, 0, ROOM_WAIT_MAX).await).as_deref(),
            Some("ANSWER_TOO_LARGE")
        );
        assert_eq!(bounds.room.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_keeps_its_room_as_long_as_anybody_holds_it() {
        let bounds = AnswerBounds::new(20_000, 100_000);
        let budget = bounds.budget(None);
        assert_eq!(code(budget.charge(10, cost(10, 0), 0, 0, ROOM_WAIT_MAX).await), None);
        let text = budget.text(&"x".repeat(10_000)).unwrap();
        assert_eq!(bounds.room.taken(), 10_002, "the rest is given back");
        let held = text.bytes().slice(..1);
        drop(text);
        assert_eq!(bounds.room.taken(), 10_002);
        // What is not charged for is taken of the room all the same.
        let more: Vec<_> = (0..8).map(|_| budget.text(&"x".repeat(10_000)).unwrap()).collect();
        assert_eq!(budget.text(&"x".repeat(10_000)).unwrap_err(), NoText::NoRoom);
        assert_eq!(code(budget.charge(100, cost(1, 0), 0, 0, ROOM_WAIT_MAX).await).as_deref(), Some("OVERLOADED"));
        assert!(budget.text(&"x".repeat(1_000)).is_ok(), "what is small takes none");
        drop((held, more));
        assert_eq!(budget.text(&"x".repeat(20_000)).unwrap_err(), NoText::TooLong(20_000));
        assert_eq!(bounds.room.taken(), 0);
    }
}
