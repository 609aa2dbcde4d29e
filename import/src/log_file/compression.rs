//! Decompresses a file that consists of one or more compressed members.

use std::fmt;
use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError};

use super::buffered::LastRead;
use super::signatures::Signature;
use super::{LogFileError, Raw};

/// The most memory that a decompression may take, in MiB. It is that of `zstd --ultra -22` and `zstd --long`; `xz -9`
/// takes 65 MiB.
pub(super) const MEMORY_MAX_MIB: u32 = 128;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The last bytes of the magic numbers 0x184D2A50 to 0x184D2A5F, after which come a length and bytes to be skipped.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
const ZSTD_SKIPPABLE_HEADER_BYTES: usize = 8;
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// What begins a block, and what ends a stream that has none.
const BZIP2_BLOCKS: [[u8; 6]; 2] = [[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];
/// Enough for [`Compression::of`].
const MAGIC_BYTES: usize = 10;

/// A kind of compression that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, with any number of members.
    Gzip,
    /// RFC 8878, with any number of frames.
    Zstd,
    /// The `.xz` format, with any number of streams.
    Xz,
    /// bzip2, with any number of streams.
    Bzip2,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}

impl Compression {
    /// Returns the compression of a file that begins with `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let is_bzip2 = |rest: &[u8]| {
            rest.split_first().is_some_and(|(level, block)| {
                (b'1'..=b'9').contains(level) && BZIP2_BLOCKS.iter().any(|magic| block.starts_with(magic))
            })
        };
        if bytes.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else if bytes.starts_with(&ZSTD) || is_skippable(bytes) {
            Some(Self::Zstd)
        } else if bytes.starts_with(&XZ) {
            Some(Self::Xz)
        } else {
            bytes.strip_prefix(b"BZh").is_some_and(is_bzip2).then_some(Self::Bzip2)
        }
    }

    /// Returns what a file is called that is still compressed after it was decompressed.
    pub(super) fn signature(self) -> Signature {
        Signature::new(match self {
            Self::Gzip => "gzip data that were compressed again",
            Self::Zstd => "zstd data that were compressed again",
            Self::Xz => "xz data that were compressed again",
            Self::Bzip2 => "bzip2 data that were compressed again",
        })
    }
}

fn is_skippable(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0xf0 == 0x50) && bytes[1..].starts_with(&ZSTD_SKIPPABLE)
}

/// The decompressed text of all members of a file, which may be of several kinds. Zeros behind a member are skipped:
/// tapes, tar and xz pad with them.
pub(super) struct Decompressed {
    /// The compression of the current member.
    compression: Compression,
    /// The current member. `None` at the end, and after an error.
    member: Option<Member>,
}

enum Member {
    Gzip(GzDecoder<Raw>),
    Zstd(Box<FrameDecoder>, Raw),
    Xz(Box<XzReader<Raw>>),
    Bzip2(BzDecoder<Raw>),
}

impl Decompressed {
    /// Returns the text of `raw`, which begins with a member of `compression`.
    pub(super) fn new(compression: Compression, raw: Raw) -> io::Result<Self> {
        let mut decompressed = Self { compression, member: None };
        decompressed.begin_member(raw)?;
        Ok(decompressed)
    }

    /// Begins the next member, if there is one.
    fn begin_member(&mut self, mut raw: Raw) -> io::Result<()> {
        loop {
            skip_zeros(&mut raw)?;
            let magic = raw.peek(MAGIC_BYTES)?;
            if magic.is_empty() {
                return Ok(());
            }
            if !is_skippable(magic) {
                break;
            }
            self.skip_frame(&mut raw)?;
        }
        let next = Compression::of(raw.peek(MAGIC_BYTES)?).ok_or(LogFileError::Trailing(self.compression))?;
        self.compression = next;
        self.member = Some(match next {
            Compression::Gzip => Member::Gzip(GzDecoder::new(raw)),
            Compression::Bzip2 => Member::Bzip2(BzDecoder::new(raw)),
            Compression::Xz => Member::Xz(Box::new(XzReader::new_mem_limit(raw, false, MEMORY_MAX_MIB * 1_024))),
            Compression::Zstd => {
                let mut decoder = Box::new(FrameDecoder::new());
                decoder.set_max_window_size(u64::from(MEMORY_MAX_MIB) * 1_024 * 1_024);
                decoder.init(&mut raw).map_err(|error| self.error(&raw, zstd_error(error)))?;
                Member::Zstd(decoder, raw)
            }
        });
        Ok(())
    }

    fn skip_frame(&self, raw: &mut Raw) -> io::Result<()> {
        let header = raw.peek(ZSTD_SKIPPABLE_HEADER_BYTES)?;
        let length = header.last_chunk().filter(|_| header.len() == ZSTD_SKIPPABLE_HEADER_BYTES);
        let length = u64::from(u32::from_le_bytes(*length.ok_or(LogFileError::EndsEarly(self.compression))?));
        raw.consume(ZSTD_SKIPPABLE_HEADER_BYTES);
        match io::copy(&mut raw.take(length), &mut io::sink())? {
            skipped if skipped == length => Ok(()),
            _ => Err(LogFileError::EndsEarly(self.compression).into()),
        }
    }

    /// Returns the error of a decoder as what it means for the file.
    fn error(&self, raw: &Raw, error: io::Error) -> io::Error {
        let compression = self.compression;
        match raw.last_read() {
            LastRead::Error => error,
            LastRead::End => LogFileError::EndsEarly(compression).into(),
            LastRead::Bytes if error.kind() == io::ErrorKind::OutOfMemory => {
                LogFileError::Memory { compression }.into()
            }
            LastRead::Bytes => LogFileError::Damaged { compression, error }.into(),
        }
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            match member.read(buffer) {
                Ok(0) if !buffer.is_empty() => {
                    let raw =
                        member.end().map_err(|error| LogFileError::Damaged { compression: self.compression, error })?;
                    self.begin_member(raw)?;
                }
                Ok(bytes) => {
                    self.member = Some(member);
                    return Ok(bytes);
                }
                Err(error) => return Err(self.error(member.raw(), error)),
            }
        }
        Ok(0)
    }
}

impl Member {
    fn raw(&self) -> &Raw {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(_, raw) => raw,
            Self::Xz(decoder) => decoder.inner(),
            Self::Bzip2(decoder) => decoder.get_ref(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder, raw) => {
                while decoder.can_collect() == 0 && !decoder.is_finished() {
                    decoder.decode_blocks(&mut *raw, BlockDecodingStrategy::UptoBlocks(1)).map_err(zstd_error)?;
                }
                decoder.read(buffer)
            }
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
        }
    }

    /// Returns what follows a member that has been read to its end.
    fn end(self) -> io::Result<Raw> {
        match self {
            Self::Gzip(decoder) => Ok(decoder.into_inner()),
            Self::Zstd(decoder, raw) => match decoder.get_checksum_from_data() {
                Some(checksum) if decoder.get_calculated_checksum() != Some(checksum) => {
                    Err(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum"))
                }
                _ => Ok(raw),
            },
            Self::Xz(decoder) => Ok(decoder.into_inner()),
            Self::Bzip2(decoder) => Ok(decoder.into_inner()),
        }
    }
}

fn zstd_error(error: FrameDecoderError) -> io::Error {
    let kind = match error {
        FrameDecoderError::WindowSizeTooBig { .. } => io::ErrorKind::OutOfMemory,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

fn skip_zeros(raw: &mut Raw) -> io::Result<()> {
    loop {
        let bytes = raw.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_end = zeros < bytes.len() || bytes.is_empty();
        raw.consume(zeros);
        if is_end {
            return Ok(());
        }
    }
}
