//! Requests' bodies, in bounded memory and bounded time.

use std::{error::Error, ops::Deref, time::Duration};

use axum::body::Body;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::memory_budget::{MemoryBudget, Reservation};

/// How much of a body that is too long is read for politeness' sake.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a client may take to send a body.
const READ_MAX: Duration = Duration::from_secs(30);

/// How many values the JSON of a request may have: each field, each item and each container. 10,000 increments with all
/// their fields have 50,000.
const VALUES_MAX: usize = 100_000;
/// What a value takes once it is read, in bytes, about: a field with its name and its place in a map that is copied when it
/// is validated.
const VALUE_BYTES: usize = 256;
/// How many bytes each byte of a query's text takes once it is read.
const DOCUMENT_FACTOR: usize = 8;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It has too many bytes.
    #[error("the body must be at most {0} bytes")]
    TooLarge(usize),
    /// Its JSON has too many values.
    #[error("the request's JSON must have at most {VALUES_MAX} values, fields and items of lists counted")]
    TooManyValues,
    /// All bodies at once have too many bytes.
    #[error("too many large requests at once, try again later")]
    NoRoom,
    /// It takes too long.
    #[error("the body must be sent within {} seconds", READ_MAX.as_secs())]
    TooSlow,
    /// The connection fails.
    #[error("the body can't be read: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Bytes {
    bytes: Vec<u8>,
    room: Option<Reservation>,
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bytes {
    /// Only the room that it takes.
    pub(super) fn into_room(self) -> Option<Reservation> {
        self.room
    }

    /// Whoever finds no room gives back what it has: nobody waits for another.
    fn extend(&mut self, chunk: &[u8], room: &MemoryBudget) -> Result<(), BodyError> {
        let more = room.try_take(chunk.len()).ok_or(BodyError::NoRoom)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// Reads a body of at most `bytes_max`.
///
/// A client that is still sending when it is answered takes the closed connection for a failure and never reads why:
/// what is too much is read on, and thrown away.
pub(super) async fn read(body: Body, bytes_max: usize, room: &MemoryBudget) -> Result<Bytes, BodyError> {
    let read = async {
        let mut collected = Bytes { bytes: Vec::new(), room: None };
        let mut refused = None;
        let mut size = 0_usize;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|broken| BodyError::Broken(broken.into()))?;
            size = size.saturating_add(chunk.len());
            if size > bytes_max {
                refused = Some(BodyError::TooLarge(bytes_max));
            }
            if refused.is_none() {
                refused = collected.extend(&chunk, room).err();
            }
            if refused.is_some() {
                collected = Bytes { bytes: Vec::new(), room: None };
            }
            if size > bytes_max.saturating_add(DISCARDED_BYTES_MAX) {
                break;
            }
        }
        refused.map_or(Ok(collected), Err)
    };
    timeout(READ_MAX, read).await.unwrap_or(Err(BodyError::TooSlow))
}

/// Reads a body for politeness' sake only.
pub(super) async fn discard(body: Body) {
    drop(read(body, 0, &MemoryBudget::new(0)).await);
}

/// Takes the room that the request in `json` needs beside its text, as long as its variables live.
pub(super) fn room_for_values(json: &[u8], room: &MemoryBudget) -> Result<Reservation, BodyError> {
    let values = values(json);
    if values > VALUES_MAX {
        return Err(BodyError::TooManyValues);
    }
    room.try_take(values.saturating_mul(VALUE_BYTES)).ok_or(BodyError::NoRoom)
}

/// The same for its query.
pub(super) fn room_for_document(query: &str, room: &MemoryBudget) -> Result<Reservation, BodyError> {
    room.try_take(query.len().saturating_mul(DOCUMENT_FACTOR)).ok_or(BodyError::NoRoom)
}

/// How many values a JSON text has at most; of what is none, any number.
fn values(json: &[u8]) -> usize {
    let mut values = 1_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => values += 1,
            // Up to its end.
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(*chunk)).collect();
        Body::from_stream(futures_util::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_may_have_as_many_bytes_as_allowed() {
        let room = MemoryBudget::new(100);
        assert_eq!(&*read(body(&["abc", "de"]), 5, &room).await.unwrap(), b"abcde");
        assert!(matches!(read(body(&["abc", "def"]), 5, &room).await, Err(BodyError::TooLarge(5))));
    }

    #[tokio::test]
    async fn all_bodies_share_the_room() {
        let room = MemoryBudget::new(5);
        let held = read(body(&["abcd"]), 5, &room).await.unwrap();
        assert!(matches!(read(body(&["a", "b"]), 5, &room).await, Err(BodyError::NoRoom)));
        assert_eq!(&*read(body(&["a"]), 5, &room).await.unwrap(), b"a", "what found no room took none");
        drop(held);
        assert_eq!(&*read(body(&["abc", "de"]), 5, &room).await.unwrap(), b"abcde");
    }

    #[test]
    fn values_are_counted_where_they_are() {
        for (json, count) in [
            ("1", 1),
            ("\"a,[{\\\",\"", 1),
            ("[1,2]", 3),
            ("{\"a,b\":[],\"c\":{\"d\":1}}", 5),
            ("[[[[", 5),
            ("\"\\\\\",1", 2),
        ] {
            assert_eq!(values(json.as_bytes()), count, "{json}");
        }
        let room = MemoryBudget::new(1_000_000_000);
        let list = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
        assert_eq!(
            room_for_values(list(VALUES_MAX - 2).as_bytes(), &room).unwrap().bytes(),
            (VALUES_MAX - 1) * VALUE_BYTES
        );
        assert!(matches!(room_for_values(list(VALUES_MAX).as_bytes(), &room), Err(BodyError::TooManyValues)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        assert!(matches!(read(endless, 5, &MemoryBudget::new(5)).await, Err(BodyError::TooSlow)));
    }
}
