//! Limits on one answer: its fields, its bytes, and its share of the memory for all answers.
//!
//! A list is charged for once its length is known, and before its items are made: a field that costs too much fails
//! with a message that says what to ask less of. The charge is reserved in the memory budget that all answers share,
//! until the answer is serialized; then only the bytes of its text stay reserved, as long as anything refers to them.

use std::{
    io::{self, ErrorKind, Write},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_graphql::{Context, Error, ServerError};
use bytes::Bytes;
use serde::Serialize;

use super::errors::error;
use crate::{
    error_code::Code,
    memory_budget::{MemoryBudget, Reservation},
};

/// The most fields that all points and pages of an answer may have: 10,000 points with all their fields, and some more.
pub(super) const LIST_FIELDS_MAX: usize = 100_000;
/// The memory of a list item's field while an answer is made, in bytes, roughly: its resolver and its value (measured:
/// 400 to 700).
const FIELD_BYTES: usize = 512;
/// The most bytes of a text that needs no reservation: an acknowledgement, an error, a few figures.
const SMALL_BYTES_MAX: usize = 4 * 1024;
/// The longest time that an answer waits for memory.
pub(super) const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// The limits of every answer, and the memory budget of all answers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ResponseBounds {
    bytes_max: usize,
    room: MemoryBudget,
}

/// The fields, bytes and memory that one answer has taken so far. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ResponseBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: ResponseBounds,
    spent: Mutex<Spent>,
    /// The memory of the request, held as long as anything of the request may be in use.
    _request: Option<Arc<Reservation>>,
}

#[derive(Debug, Default)]
struct Spent {
    fields: usize,
    bytes: usize,
    room: Option<Reservation>,
}

/// The cost of each item of a list, from its selected fields.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ItemCost {
    pub(super) fields: usize,
    /// The least number of bytes that the item takes without its texts: response keys and punctuation.
    pub(super) bytes: usize,
    /// How often the name of a page or section is selected.
    pub(super) pages: usize,
    /// How often a page's title is selected.
    pub(super) titles: usize,
    /// How often a page's cursor is selected.
    pub(super) cursors: usize,
}

/// An answer as JSON. Its clones share the bytes, whose memory is reserved once.
#[derive(Clone, Debug)]
pub(crate) struct ResponseText(Bytes);

/// The reason why an answer can't be sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoText {
    /// The text would be longer than this many bytes.
    #[error(
        "the answer would have more than {0} bytes (--response-bytes); ask for fewer fields, fewer pages, a coarser \
         granularity or a shorter interval"
    )]
    TooLong(usize),
    /// The memory is used up by answers that wait to be written.
    #[error("too much waits for other clients to read it, try again later")]
    NoRoom,
}

/// Marks the error of a field for which no memory was free.
#[derive(Debug)]
pub(super) struct NoRoom;

struct Text {
    bytes: Vec<u8>,
    _room: Reservation,
}

/// A writer that keeps the bytes written, and errs beyond `bytes_max`.
struct BoundedWriter {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl ResponseBounds {
    /// Limits one answer to `bytes_max` bytes, and all answers that are being made or wait to be written to
    /// `bytes_in_all`.
    pub(crate) fn new(bytes_max: usize, bytes_in_all: usize) -> Self {
        Self { bytes_max, room: MemoryBudget::new(bytes_in_all) }
    }

    /// Returns the budget of a new answer, which holds the request's memory until it is dropped.
    pub(crate) fn budget(&self, request: Option<Arc<Reservation>>) -> ResponseBudget {
        ResponseBudget(Arc::new(Inner { bounds: self.clone(), spent: Mutex::default(), _request: request }))
    }
}

impl ResponseBudget {
    /// Releases all charges, so that the answer can be computed again.
    pub(super) fn reset(&self) {
        *self.spent() = Spent::default();
    }

    /// Charges for `items` items at `cost` each, whose texts take `texts` bytes in the answer, and for `held` bytes in
    /// use while the items are made. Waits for memory, at most as long as `wait`.
    ///
    /// Errs when the answer is too large, or no memory was free in time.
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

    /// Errs if the answer would have too many fields with `more` of them.
    pub(super) fn check_fields(&self, more: usize) -> async_graphql::Result<()> {
        if self.spent().fields.saturating_add(more) > LIST_FIELDS_MAX {
            return Err(too_many_fields());
        }
        Ok(())
    }

    /// Errs if the answer is too large already, so that nothing more is queried for it.
    pub(super) fn check(&self) -> async_graphql::Result<()> {
        self.spend(0, 0)
    }

    fn spend(&self, fields: usize, bytes: usize) -> async_graphql::Result<()> {
        let bytes_max = self.0.bounds.bytes_max;
        let mut spent = self.spent();
        spent.fields = spent.fields.saturating_add(fields);
        spent.bytes = spent.bytes.saturating_add(bytes);
        if spent.fields > LIST_FIELDS_MAX {
            return Err(too_many_fields());
        }
        if spent.bytes > bytes_max {
            return Err(error(Code::AnswerTooLarge, NoText::TooLong(bytes_max).to_string()));
        }
        Ok(())
    }

    /// Serializes the answer and reserves the memory of its text. The budget is then that of a new answer.
    ///
    /// Errs when the text is too long, or no memory is free.
    pub(crate) fn text(&self, answer: &impl Serialize) -> Result<ResponseText, NoText> {
        let bounds = &self.0.bounds;
        let room = take(&mut *self.spent()).room;
        let mut writer = BoundedWriter { bytes: Vec::new(), bytes_max: bounds.bytes_max };
        serde_json::to_writer(&mut writer, answer).map_err(|_full| NoText::TooLong(bounds.bytes_max))?;
        self.reserved(writer.bytes, room)
    }

    /// Reserves the memory of an answer's text.
    ///
    /// Errs when it is too long, or no memory is free.
    pub(super) fn text_of(&self, bytes: Vec<u8>) -> Result<ResponseText, NoText> {
        let bytes_max = self.0.bounds.bytes_max;
        if bytes.len() > bytes_max {
            return Err(NoText::TooLong(bytes_max));
        }
        self.reserved(bytes, None)
    }

    /// Returns the text with memory for it, of which `room` is reserved already.
    fn reserved(&self, mut bytes: Vec<u8>, room: Option<Reservation>) -> Result<ResponseText, NoText> {
        if bytes.len() <= SMALL_BYTES_MAX {
            return Ok(ResponseText(bytes.into()));
        }
        bytes.shrink_to_fit();
        let missing = bytes.len().saturating_sub(room.as_ref().map_or(0, Reservation::bytes));
        let more = self.0.bounds.room.try_take(missing).ok_or(NoText::NoRoom)?;
        let room = match room {
            Some(mut taken) => {
                taken.keep(bytes.len());
                taken.merge(more);
                taken
            }
            None => more,
        };
        Ok(ResponseText(Bytes::from_owner(Text { bytes, _room: room })))
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many_fields() -> Error {
    let message = format!(
        "the points and pages of an answer may have {LIST_FIELDS_MAX} fields in all; ask for fewer fields, fewer pages, a \
         coarser granularity or a shorter interval"
    );
    error(Code::AnswerTooLarge, message)
}

impl ItemCost {
    /// Returns the cost of each item of the list field in `context`.
    pub(super) fn of_item(context: &Context<'_>) -> Self {
        let mut cost = Self { fields: 1, bytes: "{},".len(), ..Self::default() };
        cost.add(&context.field(), 1);
        cost
    }

    /// Returns the least number of bytes that a page's name, title and cursor take in the answer.
    pub(super) fn texts(&self, name: &str, title: Option<&str>) -> usize {
        let title = title.map_or("null".len(), |title| title.len() + "\"\"".len());
        // A cursor contains the name in Base64: four characters for three bytes.
        let cursor = name.len().saturating_mul(4).div_ceil(3);
        self.pages * (name.len() + "\"\"".len()) + self.titles * title + self.cursors * cursor
    }

    fn add(&mut self, field: &async_graphql::SelectionField<'_>, times: usize) {
        // `pageInfo` and `totalCount` stand once beside the items, so they are not part of their cost.
        for field in field.selection_set().filter(|field| !matches!(field.name(), "pageInfo" | "totalCount")) {
            let key = field.alias().unwrap_or_else(|| field.name());
            self.fields += times;
            self.bytes += times * (key.len() + "\"\":0,".len());
            match field.name() {
                "page" | "name" => self.pages += times,
                "title" => self.titles += times,
                "cursor" => self.cursors += times,
                _ => {}
            }
            self.add(&field, times);
        }
    }
}

impl ResponseText {
    /// Serializes a short answer without reserving memory.
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

    /// Returns whether a field failed because no memory was free.
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
    async fn too_large_answer_fails_before_it_takes_memory() {
        let bounds = ResponseBounds::new(1_000_000, 1_000_000_000);
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
    async fn text_keeps_its_memory_as_long_as_it_is_referred_to() {
        let bounds = ResponseBounds::new(20_000, 100_000);
        let budget = bounds.budget(None);
        assert_eq!(code(budget.charge(10, cost(10, 0), 0, 0, ROOM_WAIT_MAX).await), None);
        let text = budget.text(&"x".repeat(10_000)).unwrap();
        assert_eq!(bounds.room.taken(), 10_002, "the rest is given back");
        let held = text.bytes().slice(..1);
        drop(text);
        assert_eq!(bounds.room.taken(), 10_002);
        // A text that was not charged for takes memory all the same.
        let more: Vec<_> = (0..8).map(|_| budget.text(&"x".repeat(10_000)).unwrap()).collect();
        assert_eq!(budget.text(&"x".repeat(10_000)).unwrap_err(), NoText::NoRoom);
        assert_eq!(code(budget.charge(100, cost(1, 0), 0, 0, ROOM_WAIT_MAX).await).as_deref(), Some("OVERLOADED"));
        assert!(budget.text(&"x".repeat(1_000)).is_ok(), "a small text takes no memory");
        drop((held, more));
        assert_eq!(budget.text(&"x".repeat(20_000)).unwrap_err(), NoText::TooLong(20_000));
        assert_eq!(bounds.room.taken(), 0);
    }
}
