//! Opens a log: a file or standard input, plain or compressed, whatever its name.

mod buffered;
mod compression;
mod signatures;

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use buffered::Buffered;
pub use compression::Compression;
use compression::Decompressed;
use signatures::{SIGNATURE_BYTES, Signature};

const STANDARD_INPUT: &str = "-";

/// The compressed or plain bytes of a log.
type Raw = Buffered<CountedReader>;

/// An open log, and how much of it has been read.
pub struct LogFile {
    /// The log's text, decompressed. Its errors are those of the file, or a [`LogFileError`] in an [`io::Error`].
    pub reader: Box<dyn BufRead + Send>,
    /// The number of bytes read from the file so far, before decompression.
    pub bytes_read: Arc<AtomicU64>,
    /// The file's size in bytes, before decompression. `None` if it is not a regular file.
    pub size_bytes: Option<u64>,
    /// The compression of the file's beginning.
    pub compression: Option<Compression>,
}

/// A file that is no log, or of which not all can be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum LogFileError {
    /// The file, or the decompressed file, is known to be something else.
    #[error("it looks like {0}")]
    NoLog(Signature),
    /// The file ends before its compressed data do.
    #[error("the file ends within its {0} data: it was cut off, or is still being written")]
    EndsEarly(Compression),
    /// The compressed data can't be decompressed.
    #[error("its {compression} data are damaged")]
    Damaged {
        /// The compression of the damaged part.
        compression: Compression,
        /// The error of the decompression.
        #[source]
        error: io::Error,
    },
    /// The compressed data end, and something else follows.
    #[error("behind its {0} data is something that is not compressed")]
    Trailing(Compression),
    /// Decompression would need more memory than is allowed.
    #[error(
        "its {compression} data need more than {} MiB of memory: decompress it with the {compression} command",
        compression::MEMORY_MAX_MIB
    )]
    Memory {
        /// The compression that needs it.
        compression: Compression,
    },
}

impl From<LogFileError> for io::Error {
    fn from(error: LogFileError) -> Self {
        let kind = match error {
            LogFileError::EndsEarly(_) => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl LogFile {
    /// Returns the first line, as far as it is read at once. Nothing is taken away from the text.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn first_line(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogFile").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

/// Opens the log at `path`, or standard input for `-`.
///
/// # Errors
/// When the file can't be opened, and as [`from_raw`].
pub fn open(path: &Path) -> io::Result<LogFile> {
    if path == Path::new(STANDARD_INPUT) { from_raw(io::stdin(), None) } else { from_file(File::open(path)?) }
}

/// Like [`open`], for an open file, which is read from where it stands.
///
/// # Errors
/// As [`from_raw`].
pub fn from_file(file: File) -> io::Result<LogFile> {
    let metadata = file.metadata()?;
    from_raw(file, metadata.is_file().then_some(metadata.len()))
}

/// Like [`open`], for a reader. Detects compression by the first bytes, since rotated logs can have any name.
///
/// # Errors
/// When its first bytes can't be read, or show that it is no log. If compressed data are damaged or cut off,
/// [`LogFile::reader`] fails behind the last byte that can be decompressed.
pub fn from_raw(raw: impl Read + Send + 'static, size_bytes: Option<u64>) -> io::Result<LogFile> {
    let bytes_read = Arc::new(AtomicU64::new(0));
    let counted = CountedReader { raw: Box::new(raw), bytes_read: Arc::clone(&bytes_read) };
    let mut raw = Buffered::new(counted);
    let compression = Compression::of(raw.peek(SIGNATURE_BYTES)?);
    let reader: Box<dyn BufRead + Send> = match compression {
        None => Box::new(checked(raw)?),
        Some(compression) => {
            let mut text = checked(Buffered::new(Decompressed::new(compression, raw)?))?;
            if let Some(inner) = Compression::of(text.peek(SIGNATURE_BYTES)?) {
                return Err(LogFileError::NoLog(inner.signature()).into());
            }
            Box::new(text)
        }
    };
    Ok(LogFile { reader, bytes_read, size_bytes, compression })
}

/// Returns `text` if it does not begin like a file that is no log.
fn checked<R: Read>(mut text: Buffered<R>) -> io::Result<Buffered<R>> {
    match Signature::of(text.peek(SIGNATURE_BYTES)?) {
        Some(signature) => Err(LogFileError::NoLog(signature).into()),
        None => Ok(text),
    }
}

/// A reader that counts the bytes that are read.
struct CountedReader {
    raw: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.raw.read(buffer)?;
        // Relaxed is enough for a progress bar.
        self.bytes_read.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
