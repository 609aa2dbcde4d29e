//! Requests' bodies, in bounded memory and bounded time.

use std::{error::Error, ops::Deref, sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How much of a body that is too long is read for politeness' sake.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a client may take to send a body.
const READ_MAX: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It has too many bytes.
    #[error("the body is too large")]
    TooLarge,
    /// All bodies at once have too many bytes.
    #[error("too much is being read already")]
    NoRoom,
    /// It takes too long.
    #[error("the body must be sent within {} seconds", READ_MAX.as_secs())]
    TooSlow,
    /// The connection fails.
    #[error("the body can't be read: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

/// The room for the bodies that are read at the same time.
#[derive(Clone, Debug)]
pub(super) struct BodyRoom(Arc<Semaphore>);

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Bytes {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl BodyRoom {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bytes {
    /// Whoever finds no room gives back what it has: nobody waits for another.
    fn extend(&mut self, chunk: &[u8], room: &BodyRoom) -> Result<(), BodyError> {
        let size = u32::try_from(chunk.len()).map_err(|_more_than_any_chunk| BodyError::NoRoom)?;
        let more = Arc::clone(&room.0).try_acquire_many_owned(size).map_err(|_full| BodyError::NoRoom)?;
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
pub(super) async fn read(body: Body, bytes_max: usize, room: &BodyRoom) -> Result<Bytes, BodyError> {
    let read = async {
        let mut collected = Bytes { bytes: Vec::new(), room: None };
        let mut refused = None;
        let mut size = 0_usize;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|broken| BodyError::Broken(broken.into()))?;
            size = size.saturating_add(chunk.len());
            if size > bytes_max {
                refused = Some(BodyError::TooLarge);
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
    drop(read(body, 0, &BodyRoom::new(0)).await);
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
        let room = BodyRoom::new(100);
        assert_eq!(&*read(body(&["abc", "de"]), 5, &room).await.unwrap(), b"abcde");
        assert!(matches!(read(body(&["abc", "def"]), 5, &room).await, Err(BodyError::TooLarge)));
    }

    #[tokio::test]
    async fn all_bodies_share_the_room() {
        let room = BodyRoom::new(5);
        let held = read(body(&["abcd"]), 5, &room).await.unwrap();
        assert!(matches!(read(body(&["a", "b"]), 5, &room).await, Err(BodyError::NoRoom)));
        assert_eq!(&*read(body(&["a"]), 5, &room).await.unwrap(), b"a", "what found no room took none");
        drop(held);
        assert_eq!(&*read(body(&["abc", "de"]), 5, &room).await.unwrap(), b"abcde");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        assert!(matches!(read(endless, 5, &BodyRoom::new(5)).await, Err(BodyError::TooSlow)));
    }
}
