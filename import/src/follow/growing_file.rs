//! A file that a server writes to, read from its beginning, and whether it still has what was read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

/// The number of bytes before the present place that are remembered, to know whether the file is still the same.
const TIP_BYTES: usize = 4 * 1_024;

/// The device and the number of a file, which stay when it is renamed.
pub(super) type FileId = (u64, u64);

/// The size and the time of the last change of a file.
pub(super) type Stamp = (u64, Option<SystemTime>);

pub(super) fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

pub(super) fn stamp_of(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

/// An open file. Clones read on from the same place.
///
/// Reading ends, as at the end of the file, when the file turns out to have been truncated and when `stop` is cancelled.
#[derive(Clone, Debug)]
pub(super) struct GrowingFile {
    file: Arc<File>,
    place: Arc<Mutex<Place>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Place {
    /// The number of bytes that were read.
    position: u64,
    /// The last of these bytes.
    tip: Vec<u8>,
    /// Whether the file was truncated since.
    is_truncated: bool,
    /// The memory for what is read together with the tip.
    buffer: Vec<u8>,
}

/// What became of a file since it was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Same,
    More,
    /// What was read is not there any more: the file was truncated, and may have grown again.
    Truncated,
}

impl GrowingFile {
    pub(super) fn open(path: &Path, stop: &CancellationToken) -> io::Result<(FileId, Self)> {
        let file = File::open(path)?;
        let id = id_of(&file.metadata()?);
        Ok((id, Self { file: Arc::new(file), place: Arc::default(), stop: stop.clone() }))
    }

    /// Returns the same file, to be read from its beginning.
    pub(super) fn again(&self) -> Self {
        Self { place: Arc::default(), ..self.clone() }
    }

    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        Ok(stamp_of(&self.file.metadata()?))
    }

    /// Returns what became of the file since it was read last.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn growth(&self) -> io::Result<Growth> {
        let bytes = self.file.metadata()?.len();
        let mut place = self.place();
        place.check_tip(&self.file, 0)?;
        Ok(match bytes > place.position {
            _ if place.is_truncated => Growth::Truncated,
            true => Growth::More,
            false => Growth::Same,
        })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Reads up to `more` bytes behind the tip into the buffer, and checks in the same read that the tip is still there:
    /// a file that is truncated and grows again must not be read on in its middle. Returns these bytes.
    fn check_tip(&mut self, file: &File, more: usize) -> io::Result<&[u8]> {
        let tip_bytes = self.tip.len();
        let start = self.position.saturating_sub(u64::try_from(tip_bytes).unwrap_or(u64::MAX));
        self.buffer.resize(tip_bytes + more, 0);
        let mut filled = 0;
        while filled < tip_bytes.max(1).min(self.buffer.len()) {
            let at = start + u64::try_from(filled).unwrap_or(u64::MAX);
            match file.read_at(&mut self.buffer[filled..], at) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.buffer[..filled].strip_prefix(&self.tip[..]) {
            Some(read) if !self.is_truncated => Ok(read),
            _ => {
                self.is_truncated = true;
                Ok(&[])
            }
        }
    }
}

impl Read for GrowingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Ok(0);
        }
        let mut place = self.place();
        let read = place.check_tip(&self.file, buffer.len())?;
        let bytes = read.len();
        buffer[..bytes].copy_from_slice(read);
        place.position += u64::try_from(bytes).unwrap_or(u64::MAX);
        place.tip.extend_from_slice(&buffer[..bytes]);
        let forgotten = place.tip.len().saturating_sub(TIP_BYTES);
        place.tip.drain(..forgotten);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    struct Written {
        file: File,
        growing: GrowingFile,
        stop: CancellationToken,
    }

    impl Written {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let file = File::options().create(true).append(true).open(&path).unwrap();
            let stop = CancellationToken::new();
            let growing = GrowingFile::open(&path, &stop).unwrap().1;
            Self { file, growing, stop }
        }

        fn write(&mut self, text: &str) {
            self.file.write_all(text.as_bytes()).unwrap();
        }

        fn growth(&self) -> Growth {
            self.growing.growth().unwrap()
        }

        fn read(&mut self) -> String {
            let mut text = String::new();
            self.growing.read_to_string(&mut text).unwrap();
            text
        }
    }

    #[test]
    fn file_is_read_on_as_it_grows() {
        let mut written = Written::new();
        assert_eq!((written.growth(), written.read()), (Growth::Same, String::new()));
        for text in ["a", "b\nc", &"long ".repeat(30_000), "d\n"] {
            written.write(text);
            assert_eq!(written.growth(), Growth::More);
            assert_eq!(written.read(), text);
            assert_eq!(written.growth(), Growth::Same);
        }
        let mut again = String::new();
        written.growing.again().read_to_string(&mut again).unwrap();
        assert_eq!(again.len(), 150_000 + 6);
    }

    #[test]
    fn truncated_file_is_not_read_on_however_far_it_has_grown_again() {
        for text in ["", "a", "new1\nnew2\n", "new1\nnew2\nand longer than before\n"] {
            let mut written = Written::new();
            written.write("old1\nold2\n");
            written.read();
            written.file.set_len(0).unwrap();
            written.file.seek(SeekFrom::Start(0)).unwrap();
            written.write(text);
            // Whether it is looked at or read first.
            assert_eq!(written.growing.clone().read(&mut [0; 9]).unwrap(), 0, "{text}");
            assert_eq!(written.growth(), Growth::Truncated, "{text}");
            let mut again = String::new();
            written.growing.again().read_to_string(&mut again).unwrap();
            assert_eq!(again, text);
        }
    }

    #[test]
    fn reading_ends_when_it_is_stopped() {
        let mut written = Written::new();
        written.write("text");
        written.stop.cancel();
        assert_eq!(written.read(), "");
    }
}
