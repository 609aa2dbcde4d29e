//! Reads request bodies in bounded memory and bounded time.

use std::{error::Error, ops::Deref, time::Duration};

use axum::body::Body;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::memory_budget::{MemoryBudget, Reservation};

/// The most bytes that are read and discarded beyond the limit of a body.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The time in which a client has to send a whole body.
const READ_MAX: Duration = Duration::from_secs(30);

/// The most values in a request's JSON: each field, list item, object and list counts. 10,000 increments with all their
/// fields have 50,000.
const VALUES_MAX: usize = 100_000;
/// The approximate memory of a parsed value, in bytes: a field with its name and its entry in a map, which validation
/// copies.
const VALUE_BYTES: usize = 256;
/// The memory that a parsed query takes, in bytes for each byte of its text.
const DOCUMENT_FACTOR: usize = 8;

/// An error of reading a request's body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The body has more bytes than its limit.
    #[error("the body must be at most {0} bytes")]
    TooLarge(usize),
    /// The body's JSON has more than [`VALUES_MAX`] values.
    #[error("the request's JSON must have at most {VALUES_MAX} values, fields and items of lists counted")]
    TooManyValues,
    /// The memory budget that all requests share is exhausted.
    #[error("too many large requests at once, try again later")]
    BudgetExhausted,
    /// The body was not complete within [`READ_MAX`].
    #[error("the body must be sent within {} seconds", READ_MAX.as_secs())]
    TooSlow,
    /// The connection failed while the body was read.
    #[error("the body can't be read: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

/// A body and its reservation of the memory budget.
#[derive(Debug)]
pub(super) struct BufferedBody {
    bytes: Vec<u8>,
    reservation: Option<Reservation>,
}

impl Deref for BufferedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl BufferedBody {
    /// Drops the body and returns its reservation.
    pub(super) fn into_reservation(self) -> Option<Reservation> {
        self.reservation
    }

    /// Appends a chunk. Fails at once when the budget is exhausted: bodies that waited while they hold memory could
    /// wait for each other.
    fn extend(&mut self, chunk: &[u8], memory: &MemoryBudget) -> Result<(), BodyError> {
        let more = memory.try_take(chunk.len()).ok_or(BodyError::BudgetExhausted)?;
        match &mut self.reservation {
            Some(reservation) => reservation.merge(more),
            none => *none = Some(more),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// Reads a body of at most `bytes_max` bytes.
///
/// The rest of a body that is refused is read and discarded, up to [`DISCARDED_BYTES_MAX`] beyond the limit: a client
/// that is still sending when the connection is closed reports a broken connection and never reads the response.
pub(super) async fn read(body: Body, bytes_max: usize, memory: &MemoryBudget) -> Result<BufferedBody, BodyError> {
    let read = async {
        let mut collected = BufferedBody { bytes: Vec::new(), reservation: None };
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
                refused = collected.extend(&chunk, memory).err();
            }
            if refused.is_some() {
                collected = BufferedBody { bytes: Vec::new(), reservation: None };
            }
            if size > bytes_max.saturating_add(DISCARDED_BYTES_MAX) {
                break;
            }
        }
        refused.map_or(Ok(collected), Err)
    };
    timeout(READ_MAX, read).await.unwrap_or(Err(BodyError::TooSlow))
}

/// Reads and discards a body, so that its client reads the response (see [`read`]).
pub(super) async fn discard(body: Body) {
    drop(read(body, 0, &MemoryBudget::new(0)).await);
}

/// Reserves the memory that the values of the request in `json` take once parsed, beside its text. The reservation is
/// to be held as long as they exist.
pub(super) fn reserve_values(json: &[u8], memory: &MemoryBudget) -> Result<Reservation, BodyError> {
    let values = values(json);
    if values > VALUES_MAX {
        return Err(BodyError::TooManyValues);
    }
    memory.try_take(values.saturating_mul(VALUE_BYTES)).ok_or(BodyError::BudgetExhausted)
}

/// Reserves the memory that a query takes once it is parsed.
pub(super) fn reserve_document(query: &str, memory: &MemoryBudget) -> Result<Reservation, BodyError> {
    memory.try_take(query.len().saturating_mul(DOCUMENT_FACTOR)).ok_or(BodyError::BudgetExhausted)
}

/// Returns an upper bound of the number of values in a JSON text, by its commas and opening brackets outside of
/// strings. For text that is not JSON the number means nothing.
fn values(json: &[u8]) -> usize {
    let mut values = 1_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => values += 1,
            // Skips to the end of the string.
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
    async fn body_longer_than_its_limit_is_refused() {
        let memory = MemoryBudget::new(100);
        assert_eq!(&*read(body(&["abc", "de"]), 5, &memory).await.unwrap(), b"abcde");
        assert!(matches!(read(body(&["abc", "def"]), 5, &memory).await, Err(BodyError::TooLarge(5))));
    }

    #[tokio::test]
    async fn bodies_share_one_memory_budget() {
        let memory = MemoryBudget::new(5);
        let held = read(body(&["abcd"]), 5, &memory).await.unwrap();
        assert!(matches!(read(body(&["a", "b"]), 5, &memory).await, Err(BodyError::BudgetExhausted)));
        assert_eq!(&*read(body(&["a"]), 5, &memory).await.unwrap(), b"a", "a refused body holds no memory");
        drop(held);
        assert_eq!(&*read(body(&["abc", "de"]), 5, &memory).await.unwrap(), b"abcde");
    }

    #[test]
    fn json_values_are_counted_and_limited() {
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
        let memory = MemoryBudget::new(1_000_000_000);
        let list = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
        assert_eq!(
            reserve_values(list(VALUES_MAX - 2).as_bytes(), &memory).unwrap().bytes(),
            (VALUES_MAX - 1) * VALUE_BYTES
        );
        assert!(matches!(reserve_values(list(VALUES_MAX).as_bytes(), &memory), Err(BodyError::TooManyValues)));
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_never_ends_times_out() {
        let endless = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        assert!(matches!(read(endless, 5, &MemoryBudget::new(5)).await, Err(BodyError::TooSlow)));
    }
}
