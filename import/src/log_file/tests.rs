use std::error::Error as _;
use std::io::{Cursor, Write};

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use proptest::prelude::*;
use ruzstd::encoding::CompressionLevel;

use super::*;

const KINDS: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2];
/// `printf 'one\ntwo\n'` in `zstd -19`, `zstd --no-check`, `pzstd` (with a frame to skip), `xz`, `bzip2` and `gzip -n`.
const BY_COMMANDS: [(Compression, &str); 6] = [
    (Compression::Zstd, "28b52ffd24084100006f6e650a74776f0ae6a60e40"),
    (Compression::Zstd, "28b52ffd20084100006f6e650a74776f0a"),
    (Compression::Zstd, "502a4d18040000001500000028b52ffd04584100006f6e650a74776f0ae6a60e40"),
    (
        Compression::Xz,
        "fd377a585a000004e6d6b4460200210116000000742fe5a30100076f6e650a74776f0a0051ab9eaf5775704900012008bb19d9bb1fb6f3\
         7d010000000004595a",
    ),
    (Compression::Bzip2, "425a6839314159265359a7142b77000002c180001002018480200021800c0238f51b8bb9229c2848538a15bb80"),
    (Compression::Gzip, "1f8b0800000000000003cbcf4be52a29cfe70200e60bba1208000000"),
];
/// Nothing, in `bzip2`: a stream without a block.
const EMPTY_BZIP2: &str = "425a683917724538509000000000";

/// `one\ntwo\n` in `xz` with dictionaries of 96 and 128 MiB. The second needs a little more memory than that.
const XZ_DICTIONARIES: (&str, &str) = (
    "fd377a585a000004e6d6b446020021011d00000075a8e4740100076f6e650a74776f0a0051ab9eaf5775704900012008bb19d9bb1fb6f37d01\
     0000000004595a",
    "fd377a585a000004e6d6b446020021011e0000009b0751660100076f6e650a74776f0a0051ab9eaf5775704900012008bb19d9bb1fb6f37d01\
     0000000004595a",
);

/// A reader that returns one byte at a time, like a slow pipe.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

fn packed(kind: Compression, text: &[u8]) -> Vec<u8> {
    match kind {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => ruzstd::encoding::compress_to_vec(text, CompressionLevel::Fastest),
        Compression::Xz => {
            let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Returns the end of reading, the text before it, and the number of compressed bytes that were read.
fn read(raw: Vec<u8>) -> (io::Result<usize>, Vec<u8>, u64) {
    let mut text = Vec::new();
    match from_raw(Trickle(Cursor::new(raw)), None) {
        Ok(mut log) => {
            let end = log.reader.read_to_end(&mut text);
            (end, text, log.bytes_read.load(Ordering::Relaxed))
        }
        Err(error) => (Err(error), text, 0),
    }
}

fn error_of(raw: Vec<u8>) -> LogFileError {
    let error = read(raw).0.unwrap_err();
    error.downcast().unwrap()
}

/// Lines that don't compress to nearly nothing, so that a member has several blocks.
fn long_text() -> Vec<u8> {
    (0..60_000_u64).flat_map(|line| format!("{:x}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()).collect()
}

#[test]
fn compression_is_told_by_content() {
    for plain in [&b""[..], b"a", b"\x1f", b"BZh9", b"BZh91AY&S", b"\xfd7z", b"(\xb5/", b"P*M", b"one\ntwo\n"] {
        let (end, text, bytes_read) = read(plain.to_vec());
        assert_eq!((end.unwrap(), &text[..]), (plain.len(), plain));
        assert_eq!(bytes_read, u64::try_from(plain.len()).unwrap());
        for kind in KINDS {
            let packed = packed(kind, plain);
            let packed_bytes = u64::try_from(packed.len()).unwrap();
            assert_eq!(from_raw(Cursor::new(packed.clone()), None).unwrap().compression, Some(kind));
            let (end, text, bytes_read) = read(packed);
            assert_eq!((end.unwrap(), &text[..], bytes_read), (plain.len(), plain, packed_bytes), "{kind}");
        }
    }
    for (kind, hex) in BY_COMMANDS {
        let raw = hex::decode(hex).unwrap();
        assert_eq!(from_raw(Cursor::new(raw.clone()), None).unwrap().compression, Some(kind));
        assert_eq!(read(raw).1, b"one\ntwo\n", "{hex}");
    }
}

#[test]
fn all_members_are_read_with_zeros_between_and_behind_them() {
    for first in KINDS {
        for second in KINDS {
            for zeros in [0, 1, 4, 70_000] {
                let padding = vec![0; zeros];
                let parts =
                    [&packed(first, b"one\n")[..], &padding, &packed(first, b""), &packed(second, b"two\n"), &padding];
                let (end, text, _) = read(parts.concat());
                end.unwrap();
                assert_eq!(text, b"one\ntwo\n", "{first} {second} {zeros}");
            }
        }
    }
    let pzstd = hex::decode(BY_COMMANDS[2].1).unwrap();
    assert_eq!(read([&pzstd[..], &pzstd, b"\x5f\x2a\x4d\x18\x03\0\0\0abc"].concat()).1, b"one\ntwo\none\ntwo\n");
    let empty = hex::decode(EMPTY_BZIP2).unwrap();
    assert_eq!(read([empty.clone(), packed(Compression::Bzip2, b"a"), empty].concat()).1, b"a");
}

#[test]
fn truncated_file_gives_its_text_and_then_says_so() {
    for kind in KINDS {
        let whole = packed(kind, b"one\ntwo\n");
        for bytes in 10..whole.len() {
            let (end, text, _) = read(whole[..bytes].to_vec());
            let error = end.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{kind} {bytes}: {error}");
            assert!(b"one\ntwo\n".starts_with(&text[..]));
            let text = error.to_string();
            assert_eq!(
                text,
                format!("the file ends within its {kind} data: it was cut off, or is still being written")
            );
        }
        let text = long_text();
        let whole = packed(kind, &text);
        let half = whole.len().div_euclid(2);
        let (end, read_text, bytes_read) = read(whole[..half].to_vec());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{kind}");
        assert_eq!(bytes_read, u64::try_from(half).unwrap());
        // The largest block is one of bzip2 at its lowest level, 100 kB of text.
        assert!(read_text.len() + 300_000 > text.len().div_euclid(2) && text.starts_with(&read_text), "{kind}");
    }
    for bytes in 4..10 {
        let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0ab"[..bytes].to_vec();
        assert!(matches!(error_of(skippable), LogFileError::EndsEarly(Compression::Zstd)));
    }
}

#[test]
fn damaged_file_is_an_error_with_its_cause() {
    for kind in KINDS {
        let text = long_text();
        let mut raw = packed(kind, &text);
        let middle = raw.len().div_euclid(2);
        raw[middle] ^= 0x55;
        let (end, before, _) = read(raw);
        let error = end.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{kind}");
        assert_eq!(error.to_string(), format!("its {kind} data are damaged"));
        assert!(error.source().is_some());
        assert!(before != text);
    }
    let mut wrong_checksum = hex::decode(BY_COMMANDS[0].1).unwrap();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    assert!(matches!(error_of(wrong_checksum), LogFileError::Damaged { compression: Compression::Zstd, .. }));
}

#[test]
fn what_follows_compressed_data_is_compressed_or_zeros() {
    for kind in KINDS {
        for trailing in [&b"one\n"[..], b"\0\0a", b"\x1f", b"\xff"] {
            let raw = [&packed(kind, b"one\n")[..], trailing].concat();
            let (end, text, _) = read(raw);
            assert_eq!(text, b"one\n");
            let error = end.unwrap_err();
            assert_eq!(error.to_string(), format!("behind its {kind} data is something that is not compressed"));
        }
    }
}

#[test]
fn memory_of_decompression_is_bounded_whatever_a_file_claims() {
    // A window of 128 MiB (`--ultra -22`) and of 2 GiB (`--long=31`), and one raw block of a byte.
    for (window, is_read) in [(17 << 3, true), (18 << 3, false), (21 << 3, false)] {
        let raw = [b"\x28\xb5\x2f\xfd\x00", &[window][..], b"\x09\0\0a"].concat();
        let (end, text, _) = read(raw);
        assert_eq!((end.is_ok(), text == b"a"), (is_read, is_read), "{window}");
        if let Err(error) = end {
            let expected = "its zstd data need more than 128 MiB of memory: decompress it with the zstd command";
            assert_eq!(error.to_string(), expected);
        }
    }
    let (is_read, too_much) = XZ_DICTIONARIES;
    assert_eq!(read(hex::decode(is_read).unwrap()).1, b"one\ntwo\n");
    let error = error_of(hex::decode(too_much).unwrap());
    assert!(matches!(error, LogFileError::Memory { compression: Compression::Xz }), "{error:?}");
}

#[test]
fn file_that_is_no_log_is_refused_with_what_it_looks_like() {
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases = [
        (b"\x1f\x9d\x90".to_vec(), "compress (.Z) data, which is not read; try: zcat FILE | analytics import -"),
        (b"PK\x03\x04".to_vec(), "a ZIP archive, which is not read; try: unzip -p FILE | analytics import -"),
        (b"SQLite format 3\0".to_vec(), "an SQLite database, which is no log"),
        (tar.clone(), "a tar archive, which is not read; try: tar -xOf FILE | analytics import -"),
    ];
    for (raw, expected) in cases {
        assert_eq!(error_of(raw.clone()).to_string(), format!("it looks like {expected}"));
        for kind in KINDS {
            assert_eq!(error_of(packed(kind, &raw)).to_string(), format!("it looks like {expected}"), "{kind}");
        }
    }
    let twice = packed(Compression::Gzip, &packed(Compression::Xz, b"one\n"));
    assert_eq!(error_of(twice).to_string(), "it looks like xz data that were compressed again, which is no log");
}

#[test]
fn file_has_a_size_and_missing_file_is_an_error() {
    let log = open(Path::new(env!("CARGO_MANIFEST_PATH"))).unwrap();
    assert!(log.size_bytes.unwrap() > 0);
    assert_eq!(open(Path::new("/nonexistent")).err().unwrap().kind(), io::ErrorKind::NotFound);
    assert!(open(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
}

#[test]
fn growing_file_is_read_on_behind_its_end() {
    let mut file = tempfile::tempfile().unwrap();
    let mut log = from_file(file.try_clone().unwrap()).unwrap();
    let mut text = Vec::new();
    // The clone shares the position, so what is written is read by seeking back.
    for part in ["one", "\ntwo\n", &"three\n".repeat(20_000)] {
        file.write_all(part.as_bytes()).unwrap();
        let written = i64::try_from(part.len()).unwrap();
        io::Seek::seek(&mut file, io::SeekFrom::Current(-written)).unwrap();
        text.clear();
        log.reader.read_to_end(&mut text).unwrap();
        assert_eq!(text, part.as_bytes());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_go_on_for_ever(kind in 0..4_usize, flips in prop::collection::vec((0..400_usize, 1..=255_u8), 0..4), end in 0..2_000_usize) {
        let mut raw = packed(KINDS[kind], &long_text()[..1_000]);
        for (at, bits) in flips {
            if let Some(byte) = raw.get_mut(at) {
                *byte ^= bits;
            }
        }
        raw.truncate(end);
        // Whatever it is, it ends, with a text or an error.
        drop(read(raw));
    }
}
