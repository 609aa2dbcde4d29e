//! Finds the files into which a log has been rotated, by their names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::growing_file::{FileId, Stamp, id_of, stamp_of};

/// The most rotated files of a log that are looked at: those that were changed last.
pub(crate) const ROTATIONS_MAX: usize = 100;

const COMPRESSED: [&str; 5] = ["gz", "zst", "zstd", "xz", "bz2"];
/// What logrotate and newsyslog are told to append other than numbers and dates.
const WORDS: [&str; 3] = [".old", ".prev", ".bak"];

/// The digits of a date such as 2026-11-26.
const DATE_DIGITS: usize = 8;

/// A file into which a log may have been rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Returns the files beside `log` that may be older parts of it, except for empty ones.
///
/// # Errors
/// When the folder can't be read.
pub(super) fn rotations(log: &Path) -> io::Result<BTreeMap<FileId, Rotation>> {
    let (Some(name), Some(folder)) = (log.file_name(), log.parent()) else { return Ok(BTreeMap::new()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_rotation(&entry.file_name(), name) {
            continue;
        }
        // A file that has been renamed or deleted meanwhile is found under its new name the next time.
        if let Ok(metadata) = fs::metadata(entry.path())
            && metadata.is_file()
            && metadata.len() > 0
        {
            found.push((id_of(&metadata), Rotation { path: entry.path(), stamp: stamp_of(&metadata) }));
        }
    }
    let changed_at = |rotation: &Rotation| rotation.stamp.1.unwrap_or(SystemTime::UNIX_EPOCH);
    found.sort_unstable_by_key(|(_, rotation)| std::cmp::Reverse(changed_at(rotation)));
    found.truncate(ROTATIONS_MAX);
    Ok(found.into_iter().collect())
}

/// Returns whether `name` is that of `log` with a number or a date, or compressed: `access.log.1`, `access.log-20261126`,
/// `access-2026-11-26.log`, `access.log.2.gz`. Other files, such as `access.log.filtered`, may repeat what the log has.
fn is_rotation(name: &OsStr, log: &OsStr) -> bool {
    let (Some(name), Some(log)) = (name.to_str(), log.to_str()) else { return false };
    let plain = match name.rsplit_once('.') {
        Some((plain, extension)) if COMPRESSED.contains(&extension) => plain,
        _ => name,
    };
    if name == log {
        return false;
    }
    let behind = plain.strip_prefix(log);
    let within = log
        .rsplit_once('.')
        .and_then(|(stem, extension)| plain.strip_suffix(extension)?.strip_suffix('.')?.strip_prefix(stem));
    // Without a date, `access-2.log` is rather the log of another site.
    behind.is_some_and(|part| part.is_empty() || digits(part) > 0 || WORDS.contains(&part))
        || within.is_some_and(|part| digits(part) >= DATE_DIGITS || (part.starts_with('.') && digits(part) > 0))
}

/// Returns the number of digits in a number or a date behind a separator; 0 if it is none.
fn digits(part: &str) -> usize {
    let is_whole = part.starts_with(['.', '-', '_'])
        && part.bytes().all(|byte| byte.is_ascii_digit() || b"-_.:+TZ".contains(&byte));
    if is_whole { part.bytes().filter(u8::is_ascii_digit).count() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_known_by_a_number_or_a_date_in_their_names() {
        for name in [
            "access.log.1",
            "access.log.12.gz",
            "access.log-20261126",
            "access.log-20261126-1795683600.zst",
            "access-2026-11-26.log",
            "access-2026-11-26T10-00-00.000.log.gz",
            "access.1.log",
            "access.log.2026-11-26_10:00.xz",
            "access.log.gz",
            "access.log.old",
        ] {
            assert!(is_rotation(name.as_ref(), "access.log".as_ref()), "{name}");
        }
        for name in [
            "access.log",
            "access.log.filtered",
            "access.log.1.lz4",
            "access.log2",
            "error.log.1",
            "access-api.log",
            "access-2.log",
            "access20261126.log",
            "access.logs.1",
            "myaccess.log.1",
            "access",
        ] {
            assert!(!is_rotation(name.as_ref(), "access.log".as_ref()), "{name}");
        }
        assert!(is_rotation("access_log.1".as_ref(), "access_log".as_ref()));
        assert!(!is_rotation("access.log.1".as_ref(), "access.log.1".as_ref()));
    }

    #[test]
    fn empty_files_and_folders_are_no_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("access.log.3")).unwrap();
        for (name, text) in [("access.log", "a"), ("access.log.1", "b"), ("access.log.2", "")] {
            fs::write(path(name), text).unwrap();
        }
        let found: Vec<_> = rotations(&path("access.log")).unwrap().into_values().collect();
        assert_eq!(found.iter().map(|rotation| &rotation.path).collect::<Vec<_>>(), [&path("access.log.1")]);
        assert!(rotations(&path("missing/access.log")).is_err());
    }
}
