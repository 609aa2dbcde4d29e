//! A time limit on writing to clients that read slowly or not at all.

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

/// The bytes that a client has to read within the timeout, unless fewer are waiting to be written.
const TAKEN_BYTES_MIN: usize = 64 * 1024;

/// A connection on which writing fails with `TimedOut` once its client has read less than [`TAKEN_BYTES_MIN`] within
/// the timeout although more was waiting to be written.
pub(super) struct WriteTimeout<S, P> {
    stream: S,
    timeout: Duration,
    /// The deadline and the bytes written since the connection began to wait for its client; none while it does not
    /// wait.
    waiting: Option<(Pin<Box<Sleep>>, usize)>,
    /// Held until the connection is dropped, also after it was upgraded.
    _permits: P,
}

impl<S, P> WriteTimeout<S, P> {
    pub(super) fn new(stream: S, timeout: Duration, permits: P) -> Self {
        Self { stream, timeout, waiting: None, _permits: permits }
    }

    /// Starts, ends or enforces the deadline by the outcome of a write of `offered` bytes, and returns that outcome or
    /// the error.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => {
                let (until, _) = self.waiting.get_or_insert_with(|| (Box::pin(sleep(self.timeout)), 0));
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

impl<S: AsyncRead + Unpin, P: Unpin> AsyncRead for WriteTimeout<S, P> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, P: Unpin> AsyncWrite for WriteTimeout<S, P> {
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

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn write_to_a_client_that_reads_nothing_times_out() {
        let (near, _far) = duplex(1_000);
        let begun = Instant::now();
        let mut near = WriteTimeout::new(near, TIMEOUT, ());
        near.write_all(&[0; 1_000]).await.unwrap();
        assert_eq!(near.write_all(&[0]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn write_times_out_only_when_the_client_reads_less_than_the_minimum() {
        for (bytes, is_enough) in [(32 * 1024, true), (8 * 1024, false)] {
            let (near, mut far) = duplex(16 * 1024);
            let mut near = WriteTimeout::new(near, TIMEOUT, ());
            let reading = async {
                let mut taken = vec![0; bytes];
                while far.read_exact(&mut taken).await.is_ok() {
                    sleep(TIMEOUT / 3).await;
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
    async fn client_that_has_read_everything_may_be_idle() {
        let (near, mut far) = duplex(1_000);
        let mut near = WriteTimeout::new(near, TIMEOUT, ());
        for _ in 0..3 {
            let mut all = [0; 1_500];
            let reading = async {
                sleep(TIMEOUT / 2).await;
                far.read_exact(&mut all).await
            };
            let (read, written) = tokio::join!(reading, near.write_all(&[0; 1_500]));
            assert!(read.is_ok() && written.is_ok());
            sleep(2 * TIMEOUT).await;
        }
    }
}
