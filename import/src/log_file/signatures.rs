//! Knows files that are no logs by their first bytes.

use std::fmt;

/// The number of bytes by which a file is known. Only tar needs more than a few.
pub(super) const SIGNATURE_BYTES: usize = 512;

/// The name of a kind of file that is no log, and how to read the log in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    name: &'static str,
    /// The command that writes the file's content to standard output.
    command: Option<&'static str>,
}

/// Kinds of files: where their signature is, the signature, the name, and the command that writes their content.
const KNOWN: [(usize, &[u8], &str, Option<&str>); 30] = [
    (0, b"\x1f\x9d", "compress (.Z) data", Some("zcat")),
    (0, b"\x1f\x1e", "pack (.z) data", Some("zcat")),
    (0, b"\x1f\xa0", "LZH data", Some("zcat")),
    (0, b"\x04\x22\x4d\x18", "lz4 data", Some("lz4 -dc")),
    (0, b"\x02\x21\x4c\x18", "lz4 data of the legacy format", Some("lz4 -dc")),
    (0, b"LZIP", "lzip data", Some("lzip -dc")),
    (0, b"LRZI", "lrzip data", Some("lrzip -dqo-")),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop data", Some("lzop -dc")),
    (0, b"\x5d\0\0", "LZMA data", Some("xz -dc --format=lzma")),
    (0, b"\xff\x06\0\0sNaPpY", "Snappy data", Some("snzip -dc")),
    (0, b"PK\x03\x04", "a ZIP archive", Some("unzip -p")),
    (0, b"PK\x05\x06", "an empty ZIP archive", None),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", Some("7z x -so")),
    (0, b"Rar!\x1a\x07", "a RAR archive", Some("unrar p -inul")),
    (257, b"ustar", "a tar archive", Some("tar -xOf")),
    (0, b"!<arch>\n", "an ar archive", None),
    (0, b"xar!", "a xar archive", None),
    (0, b"\x25\xb5\x2f\xfd", "zstd data of version 0.5", Some("zstd -dc")),
    (0, b"\x26\xb5\x2f\xfd", "zstd data of version 0.6", Some("zstd -dc")),
    (0, b"\x27\xb5\x2f\xfd", "zstd data of version 0.7", Some("zstd -dc")),
    (0, b"\x37\xa4\x30\xec", "a zstd dictionary", None),
    (0, b"LPKSHHRH", "a journal of systemd", Some("journalctl -o cat --file")),
    (0, b"SQLite format 3\0", "an SQLite database", None),
    (0, b"PAR1", "a Parquet file", None),
    (0, b"Obj\x01", "an Avro file", None),
    (0, b"\x7fELF", "a program", None),
    (0, b"%PDF-", "a PDF file", None),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture", None),
    (0, b"\xff\xd8\xff", "a JPEG picture", None),
    (0, b"age-encryption.org/", "a file encrypted with age", Some("age -d")),
];

impl Signature {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, command: None }
    }

    /// Returns the kind of a file that begins with `bytes`, if it is known and no log.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let known =
            KNOWN.iter().find(|(offset, magic, ..)| bytes.get(*offset..).is_some_and(|at| at.starts_with(magic)));
        known.map(|(_, _, name, command)| Self { name, command: *command })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.command {
            Some(command) => write!(f, ", which is not read; try: {command} FILE | analytics import -"),
            None => f.write_str(", which is no log"),
        }
    }
}
