//! Opens a log: a file or standard input, plain or compressed with gzip.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

const BUFFER_BYTES: usize = 64 * 1_024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const STANDARD_INPUT: &str = "-";

/// An open log, and how much of it has been read.
pub struct LogFile {
    /// The log's text, decompressed.
    pub reader: Box<dyn BufRead + Send>,
    /// The number of bytes read from the file so far, before decompression.
    pub bytes_read: Arc<AtomicU64>,
    /// The file's size in bytes, before decompression. `None` if it is not a regular file.
    pub size_bytes: Option<u64>,
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogFile").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

/// Opens the log at `path`, or standard input for `-`. Detects compression by the first bytes, since rotated logs can
/// have any name.
///
/// # Errors
/// When the file can't be opened or its first bytes can't be read. If a compressed file is corrupt, [`LogFile::reader`]
/// fails when it is read.
pub fn open(path: &Path) -> io::Result<LogFile> {
    if path == Path::new(STANDARD_INPUT) {
        return from_raw(io::stdin(), None);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    from_raw(file, metadata.is_file().then_some(metadata.len()))
}

/// Like [`open`], for a reader.
///
/// # Errors
/// When its first bytes can't be read.
pub fn from_raw(raw: impl Read + Send + 'static, size_bytes: Option<u64>) -> io::Result<LogFile> {
    let bytes_read = Arc::new(AtomicU64::new(0));
    let counted = CountedReader { raw, bytes_read: Arc::clone(&bytes_read) };
    let mut buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
    // A pipe may return one byte at a time, so the first two bytes are read, and not peeked at.
    let mut magic = Vec::new();
    buffered.by_ref().take(2).read_to_end(&mut magic)?;
    let is_gzip = magic == GZIP_MAGIC;
    let whole = Cursor::new(magic).chain(buffered);
    let reader: Box<dyn BufRead + Send> = if is_gzip {
        // A log often has several gzip members: concatenated rotated parts, or one per flush.
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole)))
    } else {
        Box::new(whole)
    };
    Ok(LogFile { reader, bytes_read, size_bytes })
}

/// A reader that counts the bytes that are read.
struct CountedReader<R> {
    raw: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.raw.read(buffer)?;
        // Relaxed is enough for a progress bar.
        self.bytes_read.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A reader that returns one byte at a time, like a slow pipe.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(raw: Vec<u8>) -> (io::Result<usize>, Vec<u8>, u64) {
        let mut log = from_raw(Trickle(Cursor::new(raw)), None).unwrap();
        let mut text = Vec::new();
        let end = log.reader.read_to_end(&mut text);
        (end, text, log.bytes_read.load(Ordering::Relaxed))
    }

    #[test]
    fn plain_and_gzip_are_told_apart_by_content() {
        for plain in [&b""[..], b"a", b"\x1f", b"one\ntwo\n"] {
            let (end, text, bytes_read) = read(plain.to_vec());
            assert_eq!((end.unwrap(), &text[..]), (plain.len(), plain));
            assert_eq!(bytes_read, u64::try_from(plain.len()).unwrap());
            let packed = gzip(plain);
            let packed_bytes = u64::try_from(packed.len()).unwrap();
            let (end, text, bytes_read) = read(packed);
            assert_eq!((end.unwrap(), &text[..], bytes_read), (plain.len(), plain, packed_bytes));
        }
    }

    #[test]
    fn all_gzip_members_are_read() {
        let (end, text, _) = read([gzip(b"one\n"), gzip(b""), gzip(b"two\n")].concat());
        end.unwrap();
        assert_eq!(text, b"one\ntwo\n");
    }

    #[test]
    fn truncated_gzip_file_is_an_error() {
        let whole = gzip(b"one\ntwo\n");
        for bytes in 2..whole.len() {
            let (end, _, _) = read(whole[..bytes].to_vec());
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{bytes}");
        }
    }

    #[test]
    fn file_has_a_size_and_missing_file_is_an_error() {
        let log = open(Path::new(env!("CARGO_MANIFEST_PATH"))).unwrap();
        assert!(log.size_bytes.unwrap() > 0);
        assert_eq!(open(Path::new("/nonexistent")).err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
