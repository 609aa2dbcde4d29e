//! Writing to clients that may take nothing.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What a client has to take within the time that it is waited for, unless less waits for it.
const TAKEN_BYTES_MIN: usize = 64 * 1024;

/// A connection on which writing fails once its client has taken less than `TAKEN_BYTES_MIN` for so long, though more waits.
pub(super) struct WriteTimeout<S> {
    stream: S,
    timeouts: Duration,
    /// Since when the client is waited for, as the time when that ends, and what it has taken since.
    waiting: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: Unpin> WriteTimeout<S> {
    pub(super) fn new(stream: S, timeouts: Duration) -> Self {
        Self { stream, timeouts, waiting: None }
    }

    /// Judges a write of `offered` bytes.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => {
                let (until, _) = self.waiting.get_or_insert_with(|| (Box::pin(sleep(self.timeouts)), 0));
                if until.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the client takes nothing")));
                }
            }
            Poll::Ready(Ok(size)) => {
                if let Some((_, taken)) = &mut self.waiting {
                    *taken += size;
                    if *size >= offered || *taken >= TAKEN_BYTES_MIN {
                        self.waiting = None;
                    }
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, bufs.iter().map(|buf| buf.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (near, _far) = duplex(1_000);
        let begun = Instant::now();
        let mut near = WriteTimeout::new(near, PATIENCE);
        near.write_all(&[0; 1_000]).await.unwrap();
        assert_eq!(near.write_all(&[0]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_little_is_given_up_and_one_that_takes_enough_is_not() {
        for (bytes, is_enough) in [(32 * 1024, true), (8 * 1024, false)] {
            let (near, mut far) = duplex(16 * 1024);
            let mut near = WriteTimeout::new(near, PATIENCE);
            let reading = async {
                let mut taken = vec![0; bytes];
                while far.read_exact(&mut taken).await.is_ok() {
                    sleep(PATIENCE / 3).await;
                }
            };
            let writing = async {
                let written = near.write_all(&[0; 8 * TAKEN_BYTES_MIN]).await;
                drop(near);
                written
            };
            assert_eq!(tokio::join!(reading, writing).1.is_ok(), is_enough, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_taken_all_may_be_silent() {
        let (near, mut far) = duplex(1_000);
        let mut near = WriteTimeout::new(near, PATIENCE);
        for _ in 0..3 {
            let mut all = [0; 1_500];
            let reading = async {
                sleep(PATIENCE / 2).await;
                far.read_exact(&mut all).await
            };
            let (read, written) = tokio::join!(reading, near.write_all(&[0; 1_500]));
            assert!(read.is_ok() && written.is_ok());
            sleep(2 * PATIENCE).await;
        }
    }
}
