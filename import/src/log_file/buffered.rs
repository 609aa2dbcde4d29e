//! A buffered reader whose next bytes can be looked at, and which knows how its last read ended.

use std::io::{self, BufRead, Read};

const BUFFER_BYTES: usize = 64 * 1_024;

/// A buffered reader. Unlike [`io::BufReader`] it can be asked for several bytes without taking them, also from a pipe
/// that returns one byte at a time. At the end of a file that grows, it reads on when it is asked again.
pub(super) struct Buffered<R> {
    inner: R,
    buffer: Box<[u8]>,
    /// The bytes of `buffer` that have not been taken are those from `start` to `end`.
    start: usize,
    end: usize,
    /// An error that came when bytes were looked at. It is returned when the bytes before it have been taken.
    error: Option<io::Error>,
    last_read: LastRead,
}

/// The end of the last read of the inner reader, other than by [`Buffered::peek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastRead {
    Bytes,
    End,
    Error,
}

impl<R: Read> Buffered<R> {
    pub(super) fn new(inner: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { inner, buffer, start: 0, end: 0, error: None, last_read: LastRead::Bytes }
    }

    pub(super) fn last_read(&self) -> LastRead {
        self.last_read
    }

    /// Returns the next bytes, fewer than `bytes_max` only at the end or before an error.
    ///
    /// # Errors
    /// When no byte can be read.
    pub(super) fn peek(&mut self, bytes_max: usize) -> io::Result<&[u8]> {
        if self.start + bytes_max > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < bytes_max && self.error.is_none() {
            match read(&mut self.inner, &mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(bytes) => self.end += bytes,
                Err(error) => self.error = Some(error),
            }
        }
        match self.error.take_if(|_| self.start == self.end) {
            Some(error) => Err(error),
            None => Ok(&self.buffer[self.start..self.end.min(self.start + bytes_max)]),
        }
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            let result = match self.error.take() {
                Some(error) => Err(error),
                None => read(&mut self.inner, &mut self.buffer),
            };
            self.last_read = match result {
                Ok(0) => LastRead::End,
                Ok(_) => LastRead::Bytes,
                Err(_) => LastRead::Error,
            };
            (self.start, self.end) = (0, 0);
            self.end = result?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start = self.end.min(self.start + bytes);
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

/// Reads once, and again when a signal interrupts that.
fn read(inner: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match inner.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
